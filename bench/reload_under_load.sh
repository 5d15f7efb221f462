#!/bin/sh
# reload_under_load.sh NIDUS [RELOADS [SECONDS]]: what reloading costs a service that is asked all the time. RELOADS (10,000)
# times another version of a small detector is put in the place of the one before and loaded through the API, while
# wrk asks /predict; it stops after SECONDS, if they are given. Prints memory, open files and times of answers before, during and
# after. Needs wrk and Python 3.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
exec python3 "$here/steadiness.py" reloads "$1" --reloads "${2:-10000}" --seconds "${3:-0}"
