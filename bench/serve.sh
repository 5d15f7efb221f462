#!/bin/sh
# serve.sh NIDUS [FOLDER]: how many requests and rows a second the service judges, on one core, with the load generator
# on another. The detector is of realistic size: a forest of 100 trees of depth 20 and 100 rounds of boosting of
# depth 6, over 69 named features; raw rows are also judged by the boosting alone. Needs wrk and Python 3.
set -eu
nidus=$(realpath "$1")
work=${2:-$(mktemp -d)}
seconds=${SECONDS_EACH:-10}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
mkdir -p "$work"
cd "$work"

[ -e table.csv ] || python3 "$here/serve_inputs.py" .
train() {  # NAME ARGUMENTS…
  name=$1; shift
  [ -e "$name/detector.json" ] || "$nidus" train table.csv --label label --classes binary -o "$name" "$@" >/dev/null 2>train.log
}
train forest --model forest --trees 100 --depth 20
train boost --model boost --rounds 100 --depth 6
# One detector of the two: --depth would be that of both if they were trained as one.
[ -e both/detector.json ] || python3 "$here/serve_inputs.py" --join forest boost both
[ -z "${SERVE_ONLY_TRAIN:-}" ] || exit 0
"$nidus" inspect both | grep -E 'model|inputs' || true

cat > post.lua <<'LUA'
local file = io.open(os.getenv("BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = os.getenv("TYPE")
if os.getenv("ACCEPT") then wrk.headers["Accept"] = os.getenv("ACCEPT") end
function done(summary, latency, requests)
  local rows, seconds = tonumber(os.getenv("ROWS")), summary.duration / 1e6
  io.write(string.format("%-34s %10.0f requests/s %12.0f rows/s   p50 %.3f ms  p99 %.3f ms  errors %d\n",
    os.getenv("WHAT"), summary.requests / seconds, summary.requests / seconds * rows,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect))
end
LUA

serve() {  # DETECTOR
  : >said.txt
  taskset -c 0 "$nidus" serve "d=$1" --port 0 --set store.off=true --log-file log.txt --set server.threads=1 --set limits.body_mb=512 2>said.txt &
  server=$!
  until grep -q 'listening on' said.txt; do sleep 0.1; kill -0 $server; done
  url=$(sed -n 's/.*listening on //p' said.txt)
}
trap 'kill $server 2>/dev/null || true' EXIT
load() {  # WHAT PATH BODY TYPE ROWS CONNECTIONS
  WHAT=$1 BODY=$3 TYPE=$4 ROWS=$5 taskset -c 1 wrk -t1 -c"$6" -d"$seconds"s --timeout 60s -s post.lua "$url$2" | grep requests/s
}

serve both
load "/predict, 64 connections" /predict row.json application/json 1 64
load "/predict, 1 connection" /predict row.json application/json 1 1
load "/predict/batch, 1,000 rows" /predict/batch batch.json application/json 1000 4
ACCEPT=application/vnd.nidus.verdicts load "/api/v1/predict, raw rows" /api/v1/predict rows.bin application/octet-stream 50000 2
kill $server; wait $server || true
serve boost
load "/predict, boosting alone" /predict row.json application/json 1 64
load "/predict/batch, boosting alone" /predict/batch batch.json application/json 1000 4
ACCEPT=application/vnd.nidus.verdicts load "raw rows, boosting alone" /api/v1/predict rows.bin application/octet-stream 50000 2
