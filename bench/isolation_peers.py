#!/usr/bin/env python3
"""Measures the isolation forest beside scikit-learn's: the same rows, one core, one after the other.

    python3 -m venv FOLDER/venv && FOLDER/venv/bin/pip install scikit-learn
    FOLDER/venv/bin/python bench/isolation_peers.py FOLDER [--rows N] [--columns N] [--trees N] [--seeds N]
        [--tool build/test/bench/train_matrix]

Draws rows of a mixture of normal distributions, of which the last hundredth of those to score are far out, fits by
either program and scores 100,000 rows; prints a Markdown table of the seconds of processor time of fit and score, and
the area under the curve, mean and range over the seeds. Processor time is what other work on the machine disturbs
least.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np

SCORED = 100_000


def make_rows(folder, rows, columns):
    random = np.random.default_rng(7)
    centres = random.normal(size=(8, columns)) * 2

    def draw(count, spread):
        return (centres[random.integers(0, 8, count)] + random.normal(size=(count, columns)) * spread).astype(np.float32)

    far = SCORED // 100
    names = [folder / name for name in ("benign.f32", "benign.u8", "scored.f32")]
    draw(rows, 1).tofile(names[0])
    np.zeros(rows, np.uint8).tofile(names[1])
    np.concatenate([draw(SCORED - far, 1), draw(far, 1.6)]).tofile(names[2])
    return names


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tool", default="build/test/bench/train_matrix")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    names = make_rows(given.folder, given.rows, given.columns)
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    from sklearn import __version__
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score

    truth = np.zeros(SCORED, np.uint8)
    truth[-(SCORED // 100):] = 1
    rows = np.fromfile(names[0], np.float32).reshape(-1, given.columns)
    scored = np.fromfile(names[2], np.float32).reshape(-1, given.columns)
    found = {"nidus": [], "scikit-learn": []}
    for seed in range(1, given.seeds + 1):
        out = subprocess.run([given.tool, "isolation", str(given.trees), "1", str(given.columns), *map(str, names),
                              str(given.folder / "scores.f64"), str(seed)], check=True, capture_output=True, text=True).stdout
        result = json.loads(out)
        scores = np.fromfile(given.folder / "scores.f64", np.float64)
        found["nidus"].append((result["seconds"], result["scoring"], roc_auc_score(truth, scores)))
        start = time.process_time()
        forest = IsolationForest(n_estimators=given.trees, random_state=seed, n_jobs=1).fit(rows)
        fitted = time.process_time()
        scores = -forest.score_samples(scored)
        found["scikit-learn"].append((fitted - start, time.process_time() - fitted, roc_auc_score(truth, scores)))
    print(f"{given.rows:,} rows, {given.columns} columns, {given.trees} trees, {SCORED:,} rows scored\n")
    print("| who | fit, s | score, s | AUC |")
    print("|---|---|---|---|")
    for who, runs in found.items():
        fit, score, auc = zip(*runs)
        name = who if who == "nidus" else f"{who} {__version__}"
        print(f"| {name} | {np.mean(fit):.3f} | {np.mean(score):.3f} | {min(auc):.4f} to {max(auc):.4f} |")
    ours, theirs = (np.mean(found[who], axis=0) for who in ("nidus", "scikit-learn"))
    print(f"\nfit {theirs[0] / ours[0]:.0f} times as fast, score {theirs[1] / ours[1]:.0f} times")


if __name__ == "__main__":
    main()
