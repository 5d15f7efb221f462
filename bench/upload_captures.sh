#!/bin/bash
# Measures captures judged by a service beside `nidus detect` on the same file: in turns, the best of each, wall time.
#
#   bench/upload_captures.sh CAPTURE [--rounds N]
#
# The file is read once before. curl sends it over loopback; its time, and that of the service, are in the figure.
# With PINNED=1 `nidus detect --threads 1`, the service and its child have processor 0, one thread each, and curl has
# processor 1, as a client on another machine has one of its own; else all share what there is. The
# second part sends a small capture a hundred times, one after the other: what the sandbox costs those who send little.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
capture=$(realpath -- "$1")
rounds=5
[ "${2:-}" = --rounds ] && rounds=$3
house=$(cd "$(dirname "$0")/.." && pwd -P)
nidus=${NIDUS:-$house/build/release/src/cmd/nidus}
detector=${NIDUS_DETECTOR:-$house/share/detectors/flows-attacks}
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
ours=() theirs=() one=() settings=()
if [ -n "${PINNED:-}" ]; then
  ours=(taskset -c 0) theirs=(taskset -c 1) one=(--threads 1) settings=(--set uploads.threads=1 --set server.threads=1)
fi
"${ours[@]}" "$nidus" serve "flows=$detector" --port 0 --set store.off=true --log-level error --set limits.upload_mb=100000 \
  "${settings[@]}" >"$work/out" 2>"$work/err" &
server=$!
for _ in $(seq 100); do
  url=$(grep -oh 'http://[0-9.:]*' "$work/out" "$work/err" | head -1 || true)
  [ -n "$url" ] && curl -sf "$url/health" >/dev/null && break
  sleep 0.1
done
cat "$capture" >/dev/null
now() { date +%s.%N; }
best() { sort -g | head -1; }
for _ in $(seq "$rounds"); do
  a=$(now); "${ours[@]}" "$nidus" detect "$capture" -d "$detector" "${one[@]}" >/dev/null 2>&1; b=$(now)
  "${theirs[@]}" curl -sf -H 'Content-Type: application/octet-stream' -H 'Expect:' -T "$capture" -X POST "$url/api/v1/detect?format=summary" >/dev/null; c=$(now)
  awk "BEGIN{print $b-$a}" >>"$work/detect"; awk "BEGIN{print $c-$b}" >>"$work/upload"
done
detect=$(best <"$work/detect") upload=$(best <"$work/upload")
echo "| $(basename "$capture"), $(stat -c %s "$capture") bytes | nidus detect $detect s | upload $upload s | $(awk "BEGIN{printf \"%.2f\", $upload/$detect}") |"
small=${SMALL:-$house/share/sample/sample.pcap}
a=$(now)
for _ in $(seq 100); do curl -sf -H 'Content-Type: application/octet-stream' --data-binary @"$small" "$url/detect/ml" >/dev/null; done
b=$(now)
for _ in $(seq 100); do curl -sf "$url/health" >/dev/null; done
c=$(now)
awk "BEGIN{printf \"| $(basename "$small"), 100 times | %.1f ms each, %.1f of which curl takes for /health |\n\", ($b-$a)*10, ($c-$b)*10}"
