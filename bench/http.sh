#!/bin/bash
# Requests a second of our HTTP server, beside the least that any server must do: epoll, recv and send of the same sizes.
# The server has processor 0, the load generator, wrk (Debian: apt-get install wrk), processor 1. Each request has a body
# of 1.5 KB, each answer one of 250 bytes; each line is one run.
#
#   bench/http.sh [SECONDS [CONNECTIONS]]
set -euo pipefail
seconds=${1:-5} connections=${2:-64}
house=$(cd "$(dirname "$0")/.." && pwd -P)
server=${NIDUS_BUILD:-$house/build/test}/bench/http_server
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cat >"$folder/post.lua" <<'LUA'
wrk.method = "POST"
wrk.path = "/predict"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"features":{' .. string.rep('"a feature":1234.5,', 78) .. '"last":1}}'
LUA

# run NAME PORT: one line of the table.
run() {
  taskset -c 1 wrk -t1 -c"$connections" -d"$seconds"s --latency -s "$folder/post.lua" "http://127.0.0.1:$2/" >"$folder/out"
  awk -v name="$1" '/Requests\/sec/ { rate = $2 } /50%/ { median = $2 } /99%/ { tail = $2 }
    /Socket errors|Non-2xx/ { bad = bad " " $0 }
    END { printf "| %s | %d | %s | %s |%s\n", name, rate, median, tail, bad }' "$folder/out"
}

echo "| $connections connections | requests/s | median | 99 % |"
echo "|---|---|---|---|"
port=18080
for what in raw nidus batched; do
  port=$((port + 1))
  taskset -c 0 "$server" $what $port & pids+=($!)
  sleep 0.3
  run "$what" $port
done
taskset -c 1 "$server" crowd $((port - 1)) 9000 1000 2>/dev/null & pids+=($!)
sleep 5
run "nidus, beside 9,000 idle and 1,000 dripping clients" $((port - 1))
kill "${pids[-1]}"
sleep 1
run "nidus, alone again" $((port - 1))
run "raw again" $((port - 2))
