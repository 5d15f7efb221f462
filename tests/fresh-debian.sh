#!/bin/bash
# Proves ./run and ./test on a bare Debian 12: makes a minimal root with debootstrap, puts a clone of the
# committed repository in, and runs there, as root, with two processors and nothing else installed:
#
#   ./run          the first time: installs, builds, judges the sample capture     at most 300 s, 600 MB of packages
#   ./run          the second time                                                 at most 5 s, no apt
#   ./run as a user without sudo on a root without the packages                    says which are missing
#   ./test         installs the rest, builds and runs every test
#
#   sudo tests/fresh-debian.sh FOLDER [--keep]
#
# FOLDER is made for the root (about 2 GB; with --keep it stays). Packages come from the mirror that this
# machine's apt uses for bookworm; debootstrap and git are needed here, in the root only what it installs itself.
set -euo pipefail

[ $# -ge 1 ] && [ "$(id -u)" -eq 0 ] || { echo "as root: tests/fresh-debian.sh FOLDER [--keep]" >&2; exit 2; }
folder=$(realpath -m -- "$1")
keep=${2:-}
house=$(cd "$(dirname "$0")/.." && pwd -P)
root=$folder/root
report=$folder/report.txt
allowed=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status)
cpus=$(for range in ${allowed//,/ }; do seq "${range%-*}" "${range#*-}"; done | head -2 | paste -sd,)

[ ! -e "$root" ] || { echo "$root exists already" >&2; exit 2; }
mkdir -p "$folder"

cleanup() {
  for mount in dev proc; do mountpoint -q "$root/$mount" && umount "$root/$mount"; done
  [ "$keep" = --keep ] || rm -rf --one-file-system "$root"
}
trap cleanup EXIT

# The first bookworm source of this machine, in either of apt's two notations.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CREATED_BY)' 2>/dev/null |
  awk '$2 == "bookworm" && $3 == "Packages" { print $1; exit }')
[ -n "$mirror" ] || { echo "no bookworm source in this machine's apt configuration" >&2; exit 1; }

debootstrap --variant=minbase bookworm "$root" "$mirror" >"$folder/debootstrap.log" 2>&1 ||
  { tail "$folder/debootstrap.log" >&2; exit 1; }
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
[ ! -e /etc/apt/apt.conf ] || cp /etc/apt/apt.conf "$root/etc/apt/"
grep -rhsi '^ *Acquire::.*proxy' /etc/apt/apt.conf.d >"$root/etc/apt/apt.conf.d/99mirror" || true
cp /etc/resolv.conf "$root/etc/resolv.conf"
git clone -q --no-hardlinks "$house" "$root/home/nidus"

: >"$report"
note() { printf '%-46s %s\n' "$1" "$2" | tee -a "$report"; }
failed=0
limit() {  # what, measured, allowed, unit
  if awk "BEGIN { exit !($2 <= $3) }"; then note "$1" "$2 $4 (limit $3)"; else
    note "$1" "$2 $4: OVER $3"
    failed=1
  fi
}
# Runs a command in the root; leaves its seconds in $seconds, its exit code in $code, its output in FOLDER/NAME.*
inside() {
  local name=$1 begin
  shift
  begin=$(date +%s.%N)
  code=0
  taskset -c "$cpus" chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@" \
    >"$folder/$name.out" 2>"$folder/$name.err" </dev/null || code=$?
  seconds=$(awk "BEGIN { printf \"%.1f\", $(date +%s.%N) - $begin }")
}
installed_kb() { chroot "$root" dpkg-query -W -f '${Installed-Size}\n' | awk '{ s += $1 } END { print s }'; }
expect_code() {  # name, code
  [ "$code" -eq "$2" ] && return
  note "$1" "exit code $code instead of $2"
  tail -20 "$folder/$1.err" >&2
  failed=1
}

note commit "$(git -C "$house" rev-parse --short HEAD)"
note "processors used" "$cpus of $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //')"
before_kb=$(installed_kb)
before=$(chroot "$root" dpkg-query -W | wc -l)

inside user setpriv --reuid=65534 --regid=65534 --clear-groups /home/nidus/run
expect_code user 1
grep -q 'g++' "$folder/user.err" || { note "user without sudo" "is not told what is missing"; failed=1; }

inside run1 /home/nidus/run
expect_code run1 0
limit "first ./run" "$seconds" 300 s
limit "packages installed by ./run" $((($(installed_kb) - before_kb) / 1024)) 600 MB
note "number of packages installed by ./run" $(($(chroot "$root" dpkg-query -W | wc -l) - before))

inside run2 /home/nidus/run
expect_code run2 0
limit "second ./run" "$seconds" 5 s
[ ! -s "$folder/run2.err" ] || note "second ./run, on stderr" "$(wc -l <"$folder/run2.err") lines"

inside version /home/nidus/run version
expect_code version 0
limit "./run version" "$seconds" 5 s
[ ! -s "$folder/version.err" ] || { note "./run version" "is not silent on stderr"; failed=1; }
inside usage /home/nidus/run no-such-verb
expect_code usage 2

inside test /home/nidus/test
expect_code test 0
note "./test" "$seconds s, $(grep -m1 'tests passed' "$folder/test.out" || echo 'no summary')"
note "packages installed by both" "$((($(installed_kb) - before_kb) / 1024)) MB"
inside test2 env CI=true /home/nidus/test
expect_code test2 0
note "second ./test" "$seconds s"

[ "$failed" -eq 0 ] && note result good || note result "NOT good"
exit "$failed"
