#!/usr/bin/env python3
"""How fast tables are read, by nidus and by what people use instead, in one run on the same files.

    table_peers.py READ_TABLE FILE...

READ_TABLE is build/test/bench/read_table. Files are plain CSV with a header. Every reader gets one thread (Polars and
Arrow by their settings), the file is in the page cache, and each number is the best of --rounds, which the readers
take in turns. What is counted is processor time, so that other work on the machine costs them little. Needs pandas,
polars and pyarrow; run it with

    taskset -c 0 python3 bench/table_peers.py build/test/bench/read_table flows.csv
"""
import argparse
import os
import re
import subprocess
import time

os.environ["POLARS_MAX_THREADS"] = "1"

import pandas  # noqa: E402
import polars  # noqa: E402
import pyarrow  # noqa: E402
import pyarrow.csv  # noqa: E402

pyarrow.set_cpu_count(1)


def nidus(path):
    # As with the others, from the path to the finished table: neither starting the program nor freeing is counted. And as
    # with them, whose process lives on, in memory that it has had before: what the system takes for handing out new
    # memory differs by a factor from minute to minute on a virtual machine.
    printed = subprocess.run([args.read_table, path, "1", "3"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return min(map(float, re.findall(r"([0-9.]+) s of processor time", printed)[1:]))


def timed(read):
    def run(path):
        start = time.process_time()
        table = read(path)
        seconds = time.process_time() - start
        del table
        return seconds

    return run


READERS = {
    "nidus": nidus,
    f"Polars {polars.__version__}": timed(lambda path: polars.read_csv(path, infer_schema_length=10000)),
    f"Arrow {pyarrow.__version__}": timed(
        lambda path: pyarrow.csv.read_csv(path, read_options=pyarrow.csv.ReadOptions(use_threads=False))
    ),
    f"pandas {pandas.__version__}": timed(lambda path: pandas.read_csv(path, low_memory=False)),
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("read_table")
parser.add_argument("files", nargs="+")
args = parser.parse_args()
for path in args.files:
    size = os.path.getsize(path) / 1e6
    best = {name: float("inf") for name in READERS}
    for _ in range(args.rounds):
        for name, read in READERS.items():
            try:
                best[name] = min(best[name], read(path))
            except Exception as error:  # a peer that cannot read a file is reported, not hidden
                best[name] = float("nan")
                print(f"{name}: {type(error).__name__}: {str(error)[:100]}")
    print(f"{os.path.basename(path)}, {size:.0f} MB")
    for name, seconds in best.items():
        print(f"  {name:16} {seconds:8.3f} s {size / seconds:8.1f} MB/s {seconds / best['nidus']:6.2f} times nidus")
