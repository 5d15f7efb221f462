#!/bin/bash
# One request after the other on 64 connections: `nidus serve` and the services that people run today, on the same model
# files, in one run. The server has processor 0, the load generator, wrk, processor 1.
#
#   bench/service_peers.sh NIDUS PYTHON [FOLDER]
#
# PYTHON is that of an environment with what bench/service_peers.py names. The answers of both to the same row are shown,
# so that it can be seen that they did the same work.
set -euo pipefail
nidus=$(realpath "$1") python=$2
folder=$(realpath -m "${3:-$(mktemp -d)}")
seconds=${SECONDS_EACH:-10}
here=$(cd "$(dirname "$0")" && pwd -P)
mkdir -p "$folder"
[ -e "$folder/table.csv" ] || python3 "$here/serve_inputs.py" "$folder"
[ -e "$folder/score.json" ] || "$python" "$here/service_peers.py" models "$folder"
cat >"$folder/post.lua" <<'LUA'
local file = io.open(os.getenv("BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
LUA
server=
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }; server=; }
trap stop EXIT

declare -A rate
# measure NAME PATH BODY PORT: waits for the server, shows an answer, then counts.
measure() {
  until curl -sf -o "$folder/answer" -H 'Content-Type: application/json' -d @"$3" "http://127.0.0.1:$4$2"; do
    sleep 0.2
    kill -0 "$server"
  done
  printf '%s %s\n' "$1" "$(cat "$folder/answer")"
  BODY=$3 taskset -c 1 wrk -t1 -c64 -d"$seconds"s --timeout 60s --latency -s "$folder/post.lua" \
    "http://127.0.0.1:$4$2" >"$folder/out"
  rate[$1]=$(awk '/Requests\/sec/ { print $2 }' "$folder/out")
  grep -E '50%|99%|Requests/sec|Non-2xx|Socket errors' "$folder/out"
}
serve() { taskset -c 0 "$nidus" serve "$1" --port 18090 --set server.threads=1 --set store.off=true 2>"$folder/said" & server=$!; }

serve "$folder/ensemble"
measure nidus-predict /predict "$folder/row.json" 18090
stop
cd "$here"
MODELS=$folder/ensemble OMP_NUM_THREADS=1 taskset -c 0 "$python" -m gunicorn -w 1 -b 127.0.0.1:18091 --log-level error \
  service_peers:flask_app & server=$!
measure flask-predict /predict "$folder/row.json" 18091
stop
serve "$folder/anomaly/model.pkl"
measure nidus-score /score "$folder/score.json" 18090
stop
MODELS=$folder/anomaly OMP_NUM_THREADS=1 taskset -c 0 "$python" -m uvicorn --port 18092 --log-level error \
  service_peers:fastapi_app & server=$!
measure fastapi-score /score "$folder/score.json" 18092
stop
awk -v a="${rate[nidus-predict]}" -v b="${rate[flask-predict]}" -v c="${rate[nidus-score]}" -v d="${rate[fastapi-score]}" \
  'BEGIN { printf "/predict: %.0f times Flask and gunicorn; /score: %.0f times FastAPI and uvicorn\n", a / b, c / d }'
