#!/usr/bin/env python3
"""Measures training beside scikit-learn and the xgboost package: the same rows, one core, one after the other.

    python3 -m venv FOLDER/venv && FOLDER/venv/bin/pip install scikit-learn xgboost-cpu
    FOLDER/venv/bin/python bench/training_peers.py FOLDER [--rows N] [--columns N] [--trees N] [--rounds N]
        [--tool build/bench/bench/train_matrix] [--only forest,extra,boost] [--values N]

Draws a table of two overlapping classes (scikit-learn's make_classification, seed 7) with a fifth more rows to test
on, trains full-depth trees and boosting of depth 6, each in a process of its own on one core, and prints a Markdown
table: seconds of processor time a tree, which other work on the machine disturbs least, most memory beyond the rows
themselves, and the area under the curve on the test rows. The times are those of fit() alone.

With --values each column is cut to so many whole numbers, and a seventh of them is missing. Boosting then has a bin for
each number on both sides, so both must grow the same trees: the largest difference between their scores is printed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def make_rows(folder, rows, columns, values):
    kind = f"{rows}x{columns}" + (f"x{values}" if values else "")
    names = [folder / f"{kind}.{part}" for part in ("train.f32", "train.u8", "test.f32", "test.u8")]
    if all(name.exists() for name in names):
        return names
    from sklearn.datasets import make_classification

    test = rows // 5
    x, y = make_classification(
        rows + test, columns, n_informative=columns // 4, n_redundant=columns // 8, n_clusters_per_class=6,
        flip_y=0.03, class_sep=0.7, weights=[0.7], random_state=7)
    x = x.astype(np.float32)
    if values:
        low, high = x.min(0), x.max(0)
        x = np.floor((x - low) / (high - low) * (values - 1e-3)).astype(np.float32)
        x[np.random.default_rng(7).random(x.shape) < 1 / 7] = np.nan
    x[:rows].tofile(names[0])
    y[:rows].astype(np.uint8).tofile(names[1])
    x[rows:].tofile(names[2])
    y[rows:].astype(np.uint8).tofile(names[3])
    return names


def peak_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024


def peer(kind, count, columns, names):
    """In a process of its own: fits one of the peers and prints what train_matrix prints."""
    x = np.fromfile(names[0], np.float32).reshape(-1, columns)
    y = np.fromfile(names[1], np.uint8)
    test = np.fromfile(names[2], np.float32).reshape(-1, columns)
    if kind == "boost":
        import xgboost

        model = xgboost.XGBClassifier(n_estimators=count, max_depth=6, learning_rate=0.3, tree_method="hist",
                                      max_bin=256, n_jobs=1)
    else:
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        make = RandomForestClassifier if kind == "forest" else ExtraTreesClassifier
        model = make(count, n_jobs=1, random_state=1)
    before = peak_mb()
    start = time.process_time()
    model.fit(x, y)
    seconds = time.process_time() - start
    after = peak_mb()
    model.predict_proba(test)[:, 1].astype(np.float64).tofile(names[4])
    print(json.dumps({"seconds": seconds, "data_mb": before, "peak_mb": after}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--peer-trees", type=int, default=None, help="fewer for the peer, which is slower")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--values", type=int, default=0)
    parser.add_argument("--only", default="forest,extra,boost")
    parser.add_argument("--tool", default="build/bench/bench/train_matrix")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    names = make_rows(given.folder, given.rows, given.columns, given.values)
    scores = given.folder / "scores.f64"
    if given.peer:
        peer(given.peer[0], int(given.peer[1]), given.columns, names + [scores])
        return
    from sklearn.metrics import roc_auc_score

    truth = np.fromfile(names[3], np.uint8)
    core = str(max(os.sched_getaffinity(0)))
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    print(f"{given.rows:,} rows, {given.columns} columns\n")
    print("| what | trees | s a tree | memory beyond the rows, MB | AUC on the test rows |")
    print("|---|---|---|---|---|", flush=True)
    for kind in given.only.split(","):
        count = given.rounds if kind == "boost" else given.trees
        theirs = count if kind == "boost" else given.peer_trees or count
        ours = [given.tool, kind, str(count), "1", str(given.columns), *map(str, names[:3]), str(scores)]
        other = [sys.executable, __file__, str(given.folder), "--rows", str(given.rows), "--columns",
                 str(given.columns), "--values", str(given.values), "--peer", kind, str(theirs)]
        name = "xgboost" if kind == "boost" else "scikit-learn"
        said = []
        for who, command, trees in (("nidus", ours, count), (name, other, theirs)):
            out = subprocess.run(["taskset", "-c", core, *command], env=environment, check=True, capture_output=True,
                                 text=True).stdout
            result = json.loads(out.strip().splitlines()[-1])
            said.append(np.fromfile(scores, np.float64))
            auc = roc_auc_score(truth, said[-1])
            print(f"| {who}, {kind} | {trees} | {result['seconds'] / trees:.2f} | "
                  f"{result['peak_mb'] - result['data_mb']:,.0f} | {auc:.4f} |", flush=True)
        if given.values and kind == "boost":
            print(f"\nlargest difference between the scores: {np.abs(said[0] - said[1]).max():.1e}")


if __name__ == "__main__":
    main()
