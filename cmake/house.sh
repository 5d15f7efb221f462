# What ./run, ./test and .ci/run share: install the packages that are missing, configure, build. Sourced by a
# POSIX shell with $house set to the root of the repository. Talks on stderr only, and only when there is
# something to do.

say() { printf 'nidus: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The packages of cmake/packages that are needed at the given times, of run, test, ci.
packages_for() {
  for when in "$@"; do
    awk -v when="$when" '$1 !~ /^#/ && $2 == when { print $1 }' "$house/cmake/packages"
  done
}

# need WHEN… - makes sure that the packages are installed. Calls apt only if one is missing.
need() {
  if ! command -v dpkg-query >/dev/null 2>&1; then
    command -v cmake >/dev/null 2>&1 && return  # not Debian: cmake names what it does not find
    die "this is not Debian; install what cmake/packages lists, by your system's names"
  fi
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null | sed -n 's/ installed$//p')
  missing=
  for package in $(packages_for "$@"); do
    printf '%s\n' "$installed" | grep -qx "$package" || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0

  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      as_root=sudo
    else
      say "these packages are missing, and only root can install them:$missing"
      die "as root: apt-get update && apt-get install --no-install-recommends$missing"
    fi
  fi
  say "installing$missing"
  log=$(mktemp)
  apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120"
  $apt update >"$log" 2>&1 </dev/null || say "apt-get update failed; trying with the package lists that are here"
  # shellcheck disable=SC2086 # both are lists of words
  if ! $apt install --no-install-recommends --yes $missing >>"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    die "could not install$missing; all that apt said is in $log"
  fi
  rm -f "$log"
}

# One compiler per processor and one more, so that none idles while the last and largest sources are compiled; but none
# that has less than 700 MB of memory: our largest source takes about 500.
jobs_here() {
  by_memory=$(awk '/^MemAvailable:/ { print int($2 / 700000) }' /proc/meminfo 2>/dev/null)
  jobs=$(($(nproc 2>/dev/null || echo 2) + 1))
  [ "${by_memory:-$jobs}" -ge "$jobs" ] || jobs=$by_memory
  [ "$jobs" -ge 1 ] || jobs=1
  echo "$jobs"
}

# build PRESET [TARGET] - brings build/PRESET, or TARGET in it, up to date. A second caller waits for the first.
build() {
  folder=$house/build/$1
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  flock 9
  # A tree that was copied or moved carries absolute paths of its old place.
  cache=$folder/CMakeCache.txt
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$house" "$cache"; then
    rm -rf "$cache" "$folder/CMakeFiles"
  fi
  if [ ! -f "$folder/build.ninja" ] || [ ! -f "$cache" ]; then
    say "configuring build/$1"
    (cd "$house" && cmake --preset "$1") >&2 9>&- || die "configuring failed"
  fi
  case $(ninja -C "$folder" -n ${2+"$2"} 2>&1) in
    *"no work to do"*) ;;
    *)
      say "building ${2+$2 in }build/$1"
      ninja -C "$folder" -j "$(jobs_here)" ${2+"$2"} >&2 9>&- || die "the build failed"
      ;;
  esac
  exec 9>&-
}
