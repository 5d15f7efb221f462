#!/bin/bash
# Measures nidus beside other flow meters: the same warm capture, one core, one after the other, three rounds, the
# best round of each. Prints a Markdown table: packets per second of wall time and of processor time, memory, and how
# many times faster nidus (rows in memory) is by processor time, which other work on the machine disturbs least.
#
#   bench/peers.sh FOLDER [--install] [--rounds N] [--no-python]
#
# FOLDER takes the captures (3 GB), the outputs and a Python environment; it is kept for the next run. --install
# fetches the peers: softflowd, argus-server, nfdump, tcpdump, time and python3-venv from Debian, without starting
# any of their daemons, NFStream and cicflowmeter from PyPI. What is not there is left out of the table and named.
# cicflowmeter reads the first 100,000 packets: all of them would take it half an hour. The two Python meters run
# once; the start of Python is in their times.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(realpath -- "$1")
shift
install='' rounds=3 python=yes
while [ $# -gt 0 ]; do
  case $1 in
    --install) install=yes ;;
    --rounds) rounds=$2; shift ;;
    --no-python) python='' ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
house=$(cd "$(dirname "$0")/.." && pwd -P)
build=${NIDUS_BUILD:-$house/build/bench}
core=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status | sed 's/.*[,-]//')
limit_seconds=900

if [ -n "$install" ]; then
  # Debian starts a daemon when its package is installed; this is its own way of being asked not to.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
    softflowd argus-server nfdump tcpdump time python3-venv >/dev/null
  if [ -n "$python" ] && [ ! -x "$folder/venv/bin/python" ]; then
    python3 -m venv "$folder/venv"
    timeout 600 "$folder/venv/bin/pip" install -q nfstream cicflowmeter || echo "PyPI: not all was installed" >&2
  fi
fi

if [ -z "${NIDUS_BUILD:-}" ]; then
  cmake -S "$house" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DNIDUS_BENCH=ON -DNIDUS_TESTS=OFF >/dev/null
  ninja -C "$build" >/dev/null
fi
nidus=$build/src/cmd/nidus
capture=$folder/traffic.pcap
packets=2000000
[ -e "$capture" ] || "$build/bench/make_capture" "$capture" --packets "$packets"
slice=100000
[ -e "$folder/slice.pcap" ] ||
  timeout 120 tcpdump -r "$capture" -c "$slice" -w "$folder/slice.pcap" 2>/dev/null || true
mkdir -p "$folder/out"

cat >"$folder/count_flows.py" <<'END'
import sys
from nfstream import NFStreamer
if __name__ == "__main__":
    statistics = sys.argv[2] == "statistics"
    print(sum(1 for _ in NFStreamer(source=sys.argv[1], n_dissections=0, statistical_analysis=statistics, n_meters=1)))
END

# What is measured: name | packets | command
runs=(
  "bare read: cat|$packets|cat $capture"
  "bare read: 64 bytes of each packet, mapped|$packets|$build/bench/read_capture $capture"
  "nidus, capture to feature rows in memory|$packets|$build/bench/rows_in_memory $capture"
  "nidus flows, to a CSV file|$packets|$nidus flows --threads 1 --features flow $capture -o $folder/out/nidus.csv"
)
absent=()
offer() {  # program, name, packets, command
  if command -v "$1" >/dev/null 2>&1; then runs+=("$2|$3|$4"); else absent+=("$2"); fi
}
offer softflowd "softflowd, no export" "$packets" "softflowd -d -r $capture"
offer argus "argus, to a file" "$packets" "argus -F /dev/null -r $capture -w $folder/out/argus"
offer nfpcapd "nfpcapd, to files" "$packets" "nfpcapd -r $capture -w $folder/out/nfpcapd"
mkdir -p "$folder/out/nfpcapd"
if [ -n "$python" ]; then
  py=$folder/venv/bin/python
  if [ -x "$py" ] && "$py" -c 'import nfstream' 2>/dev/null; then
    runs+=("NFStream, without statistics|$packets|$py $folder/count_flows.py $capture plain")
    runs+=("NFStream, with statistics|$packets|$py $folder/count_flows.py $capture statistics")
  else absent+=("NFStream"); fi
  if [ -x "$folder/venv/bin/cicflowmeter" ]; then
    runs+=("Python cicflowmeter, to CSV (first 100,000 packets)|$slice|$folder/venv/bin/cicflowmeter -f $folder/slice.pcap -c $folder/out/python.csv")
  else absent+=("Python cicflowmeter"); fi
fi

# Warm, as a file is that was read: evicted, and read back. A file that was just written may lie in memory in pieces of
# 4 KB, which take the kernel twice as long to copy.
sync "$capture"
dd if="$capture" iflag=nocache count=0 status=none
cat "$capture" >/dev/null
results=$folder/out/results.txt
: >"$results"
for round in $(seq "$rounds"); do
  for run in "${runs[@]}"; do
    IFS='|' read -r name count command <<<"$run"
    # The slow Python meters run once.
    case $round-$name in 1-*) ;; *-NFStream* | *-Python*) continue ;; esac
    rm -rf "$folder/out/argus" "$folder/out/python.csv" "$folder"/out/nfpcapd/*
    # shellcheck disable=SC2086 # a command line
    if timeout "$limit_seconds" taskset -c "$core" /usr/bin/time -o "$folder/out/time" -f '%e %U %S %M' \
      $command >/dev/null 2>"$folder/out/stderr" </dev/null; then
      echo "$name|$count|$(tail -1 "$folder/out/time")" >>"$results"
    else
      echo "$name failed or took over $limit_seconds s: $(tail -1 "$folder/out/stderr")" >&2
    fi
  done
done

grep -m1 'model name' /proc/cpuinfo | sed 's/.*: /processor: /'
uptime | sed 's/.*load/load/'
awk -F'|' '
  { split($3, t, " "); cpu = t[2] + t[3]; if (cpu <= 0) cpu = 0.01
    if (!($1 in best)) { order[++n] = $1; count[$1] = $2; best[$1] = cpu; wall[$1] = t[1]; memory[$1] = t[4] }
    if (cpu < best[$1]) best[$1] = cpu
    if (t[1] < wall[$1]) wall[$1] = t[1] }
  END {
    print "| what | million packets/s, wall | million packets/s, processor | memory, MB | nidus is faster by |"
    print "|---|---|---|---|---|"
    nidus = "nidus, capture to feature rows in memory"
    for (i = 1; i <= n; ++i) { w = order[i]
      printf "| %s | %.4g | %.4g | %.0f | %.3g |\n", w, count[w] / wall[w] / 1e6, count[w] / best[w] / 1e6,
        memory[w] / 1024, (nidus in best) ? (count[nidus] / best[nidus]) / (count[w] / best[w]) : 0 } }' "$results"
[ ${#absent[@]} -eq 0 ] || printf 'not here: %s\n' "${absent[@]}"
