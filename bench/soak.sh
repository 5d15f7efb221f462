#!/bin/sh
# soak.sh NIDUS [MINUTES]: a service under mixed load for MINUTES (60): single rows by wrk, rows in bulk, captures,
# jobs, reloads, alerts, connections that come and go. Prints memory, open files and times of answers every minute at most.
# Needs wrk and Python 3.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
exec python3 "$here/steadiness.py" soak "$1" --minutes "${2:-60}"
