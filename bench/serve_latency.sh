#!/bin/sh
# serve_latency.sh NIDUS [FOLDER [RATE…]]: how long /predict takes at a steady rate (20,000 requests/s, and others if they
# are given) over 64 connections, counted from when each request was due. The detector is that of bench/serve.sh, made in FOLDER
# or found there. The server has processor 0, the load generator, bench/constant_rate, processor 1.
set -eu
nidus=$(realpath "$1")
work=$(realpath -m "${2:-$(mktemp -d)}")
[ $# -gt 2 ] && shift 2 || set -- 5000 10000 20000 25000
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
generator=${NIDUS_BUILD:-$here/../build/test}/bench/constant_rate
SERVE_ONLY_TRAIN=1 sh "$here/serve.sh" "$nidus" "$work" >/dev/null
cd "$work"
: >said.txt
taskset -c 0 "$nidus" serve d=both --port 0 --set store.off=true --log-file log.txt --set server.threads=1 2>said.txt &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
until grep -q 'listening on' said.txt; do sleep 0.1; kill -0 $server; done
port=$(sed -n 's/.*listening on .*://p' said.txt)
for rate; do
  taskset -c 1 "$generator" "$port" /predict row.json "$rate" 64 "${SECONDS_EACH:-10}"
done
