#!/usr/bin/env python3
"""Detectors of benign rows, ensembles and fusions on public data: the tables "Benign rows alone, and fusions" of
docs/results.md. No peer stands beside them; rows, splits and lines are those of the other tables.

    NIDUS=PROGRAM bench/results/declared.py DATA OUT [--seeds N] [--threads N] [--table] EXPERIMENT:CONFIGURATION…

EXPERIMENT is one of experiments.py (nsl-binary, nsl-five, cic-wednesday, cic-friday). A configuration was declared below
before its test was opened; each opening is a line of OUT/openings, and what it gave is kept and not made again. --table
prints rows of the tables of NSL-KDD as they stand in docs/results.md. Needs a Python environment with
bench/results/requirements.txt (of these numpy, pandas and zstandard):

    python3 -m venv VENV && VENV/bin/pip install -r bench/results/requirements.txt && VENV/bin/python bench/results/declared.py …
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np

import experiments
import figures
import fitting

FEW = "--model ensemble --members"
BENIGN_ONLY = {
    "isolation-forest": "--model isolation-forest",
    "mahalanobis": "--model mahalanobis",
    "histogram": "--model histogram",
    "neighbours": "--model neighbours",
    "autoencoder": "--model autoencoder --scaling standard",
    "autoencoder-robust": "--model autoencoder --scaling robust",
    "autoencoder-log": "--model autoencoder --scaling log",
    "autoencoder-log-noise": "--model autoencoder --scaling log --noise 0.2",
    "benign-mean": f"{FEW} mahalanobis,histogram,neighbours,isolation-forest",
    "benign-two": f"{FEW} mahalanobis,neighbours",
}
NSL = {
    **BENIGN_ONLY,
    "tree": "--model tree",
    "forest": "--model forest",
    "extra-trees": "--model extra-trees",
    "boost": "--model boost",
    "mlp": "--model mlp --scaling log",
    "mlp-standard": "--model mlp --scaling standard",
    "forest-boost-mlp": f"{FEW} forest,boost,mlp --weights-of 0.35,0.35,0.3 --scaling log",
    "forest-boost": f"{FEW} forest,boost --weights-of 0.5,0.5",
    "boost-mahalanobis-max": f"{FEW} boost,mahalanobis --combine max",
    "boost-mahalanobis": f"{FEW} boost,mahalanobis",
    "extra-mahalanobis": f"{FEW} extra-trees,mahalanobis",
    "extra-boost-mahalanobis": f"{FEW} extra-trees,boost,mahalanobis",
    "bundled": f"{FEW} extra-trees,boost,mahalanobis --nodes-max 150000 --rounds 100",
    "three-mean": f"{FEW} forest,boost,mahalanobis",
    "three-vote": f"{FEW} forest,boost,mahalanobis --combine vote",
    "three-max": f"{FEW} forest,boost,mahalanobis --combine max",
    "three-stack": f"{FEW} forest,boost,mahalanobis --combine stack",
}
CONFIGURATIONS = NSL
RATES = (0.005, 0.01, 0.02, 0.05)


def measure(experiment, name, files, seed, nidus, folder, threads):
    words = CONFIGURATIONS[name].split()
    binary = experiment.kind == "binary" or name in BENIGN_ONLY
    detector = folder / f"{experiment.name}-{name}-{seed}"
    shutil.rmtree(detector, ignore_errors=True)
    fitting.call([nidus, "train", *files.parts[:2], "-o", detector, "--features", ",".join(files.features), "--label",
                  "label", "--group", "split", "--validate-on", "held", "--validation", 0.9, "--fpr", 0.01,
                  "--classes", "binary" if binary else "multi", "--weights", experiment.weights, *words, "--seed", seed,
                  "--threads", threads, "--no-checkpoint"])
    with open(folder.parent / "openings", "a") as log:
        log.write(f"{experiment.name}:{name} seed {seed}: {CONFIGURATIONS[name]}\n")
    answers = []
    for path in files.parts[1:]:
        out = fitting.call([nidus, "detect", path, "--detector", detector, "--threshold", 0, "--threads", threads,
                            "--format", "csv"]).splitlines()
        at = {column: i for i, column in enumerate(out[0].split(","))}
        cells = [line.split(",") for line in out[1:]]
        answers.append({"score": np.array([float(row[at["score"]]) for row in cells]),
                        "attack": np.array([row[at["label"]] for row in cells]),
                        "attack_score": np.array([float(row[at["label_score"]]) for row in cells])})
    held, test = answers
    truth = files.truth()
    if not binary:
        truth["classes"] = ["benign"] + sorted(set(truth["label"]) - {"benign"})
    every = np.ones(len(test["score"]))
    found = figures.Answers(test, held, **truth).figures(every)
    attack = truth["label"] != "benign"
    for rate in RATES:
        line = figures.threshold_at_rate(held["score"], rate)
        alarm = test["score"] >= line
        found[f"accuracy_{rate:g}"] = (alarm == attack).mean()
        found[f"recall_{rate:g}"] = alarm[attack].mean()
        found[f"fpr_{rate:g}"] = alarm[~attack].mean()
        found[f"novel_{rate:g}"] = alarm[np.isin(truth["family"], truth["novel"])].mean()
        if not binary:
            said, classes = np.where(alarm, test["attack"], "benign"), truth["classes"]
            f1 = []
            for one in classes:
                hits = ((said == one) & (truth["label"] == one)).sum()
                f1.append(2 * hits / max(1, (said == one).sum() + (truth["label"] == one).sum()))
                found[f"class_{rate:g}_{one}"] = hits / (truth["label"] == one).sum()
            found[f"five_{rate:g}"], found[f"macro_{rate:g}"] = (said == truth["label"]).mean(), np.mean(f1)
    shutil.rmtree(detector)
    return {key: float(value) for key, value in found.items()}


# Figure, decimals, and what it is multiplied by.
BINARY_COLUMNS = [("auc", 4, 1), ("recall_at_0.05", 1, 100), ("accuracy_0.01", 3, 1), ("fpr_0.01", 1, 100),
                  ("accuracy_0.05", 3, 1), ("recall_0.05", 1, 100), ("fpr_0.05", 1, 100), ("novel_0.05", 1, 100)]
FIVE_COLUMNS = [("five_0.01", 3, 1), ("macro_0.01", 3, 1), ("five_0.05", 3, 1), ("macro_0.05", 3, 1),
                *((f"class_0.05_{one}", 1, 100) for one in ("benign", "dos", "probe", "r2l", "u2r"))]


def table_row(row, runs):
    def cell(key, decimals, scale):
        values = [scale * run[key] for run in runs]
        spread = f" ± {np.std(values, ddof=1):.{decimals}f}" if len(runs) > 1 else ""
        return f"{np.mean(values):.{decimals}f}{spread}"

    columns = FIVE_COLUMNS if FIVE_COLUMNS[0][0] in runs[0] else BINARY_COLUMNS
    seeds = f"{len(runs)} seed" + ("s" if len(runs) > 1 else "")
    return f"| `{row}` ({seeds}) | " + " | ".join(cell(*column) for column in columns) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--keys", default="", help="only figures whose names begin so, with commas")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_intermixed_args()
    known = {one.name: one for one in experiments.all_experiments()}
    kept = given.out / "declared"
    kept.mkdir(parents=True, exist_ok=True)
    for row in given.rows:
        where, name = row.split(":")
        if where not in known or name not in CONFIGURATIONS:
            sys.exit(f"{row}: no such row")
        experiment, runs = known[where], []
        for seed in range(1, given.seeds + 1):
            file = kept / f"{where}-{name}-{seed}.json"
            if not file.exists():
                folder = given.out / "splits" / where / str(seed)
                columns = folder / "columns.json"
                if not columns.exists():
                    rows = experiment.read(given.data)
                    files = fitting.write_files(folder, rows, experiment.split(rows, seed))
                    columns.write_text(json.dumps([files.features, files.texts]))
                files = fitting.Files(folder, *json.loads(columns.read_text()))
                nidus = os.environ.get("NIDUS", "build/release/src/cmd/nidus")
                file.write_text(json.dumps(measure(experiment, name, files, seed, nidus, kept, given.threads)))
            runs.append(json.loads(file.read_text()))
        if given.table:
            print(table_row(row, runs), flush=True)
            continue
        print(f"\n{row}: `{CONFIGURATIONS[name]}`, {len(runs)} seeds")
        wanted = tuple(given.keys.split(",")) if given.keys else ("",)
        for key in runs[0]:
            if key.startswith(wanted):
                values = [run[key] for run in runs]
                spread = f" ± {np.std(values, ddof=1):.4f} ({min(values):.4f} to {max(values):.4f})" if len(runs) > 1 else ""
                print(f"  {key}: {np.mean(values):.4f}{spread}", flush=True)


if __name__ == "__main__":
    main()
