#!/usr/bin/env python3
"""Whether oblique splits pay in an isolation forest: the extended isolation forest of Hariri, Carrasco Kind and Brunner
(2019) beside the plain one, both written down here in numpy and grown from the same rows.

    bench/results/oblique_isolation.py DATA [--seeds N] [--trees N]

On KDDTrain+ four fifths of the benign rows are learnt from, and every category of its attacks is told from the other
fifth; on CIC-IDS2017 (improved, sample) the benign rows of Monday and Tuesday, and the attacks of Wednesday from its own
benign rows. Columns are divided by their deviations, as they are or after a signed logarithm; words are columns of 0 and
1. KDDTest+ is not opened. Needs a Python environment with bench/results/requirements.txt (of these numpy, pandas and
zstandard).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import experiments as ex  # noqa: E402
from choose_nsl import area  # noqa: E402

SAMPLES = 256


def mean_path(rows):
    rows = np.asarray(rows, float)
    return np.where(rows > 2, 2 * (np.log(np.maximum(rows - 1, 1)) + 0.5772156649) - 2 * (rows - 1) / np.maximum(rows, 1),
                    np.where(rows == 2, 1.0, 0.0))


def paths(learnt, asked, random, oblique):
    """How deep each asked row ends in one tree grown from SAMPLES of the learnt ones."""
    sample = learnt[random.choice(len(learnt), SAMPLES, replace=False)]
    out = np.zeros(len(asked))
    nodes = [(sample, np.arange(len(asked)), 0)]
    while nodes:
        rows, here, depth = nodes.pop()
        if len(here) == 0:
            continue
        if len(rows) == 0:  # an oblique cut through the box of the rows may leave all of them on one side
            out[here] = depth
            continue
        low, high = rows.min(0), rows.max(0)
        varies = np.flatnonzero(high > low)
        if len(rows) < 2 or depth == 8 or len(varies) == 0:
            out[here] = depth + mean_path(len(rows))
            continue
        if oblique:
            normal = np.zeros(rows.shape[1])
            normal[varies] = random.normal(size=len(varies))
            cut = random.uniform(low, high) @ normal
        else:
            normal = np.zeros(rows.shape[1])
            column = random.choice(varies)
            normal[column] = 1
            cut = random.uniform(low[column], high[column])
        left, ask_left = rows @ normal <= cut, asked[here] @ normal <= cut
        nodes.append((rows[left], here[ask_left], depth + 1))
        nodes.append((rows[~left], here[~ask_left], depth + 1))
    return out


def score(learnt, asked, trees, seed, oblique):
    random = np.random.default_rng(seed)
    depth = sum(paths(learnt, asked, random, oblique) for _ in range(trees)) / trees
    return 2 ** (-depth / mean_path(SAMPLES))


def numbers(cells, texts):
    columns = []
    for name in cells.columns:
        if name in texts:
            columns += [(cells[name] == word).to_numpy(float) for word in sorted(set(cells[name]))]
        else:
            columns.append(np.nan_to_num(cells[name].astype(float).to_numpy(), posinf=0, neginf=0))
    return np.column_stack(columns)


def scaled(values, learnt, log):
    values = np.sign(values) * np.log1p(np.abs(values)) if log else values
    deviation = values[learnt].std(0)
    return (values - values[learnt].mean(0)) / np.where(deviation > 0, deviation, 1)


def thin(at, most, random):
    return at if len(at) <= most else random.choice(at, most, replace=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trees", type=int, default=200)
    given = parser.parse_args()
    random = np.random.default_rng(1)
    sets = []
    train = ex.read_zst(given.data, "KDDTrain+.txt", header=None, names=ex.NSL_NAMES)
    kind = np.array([ex.NSL_CLASS.get(name, "benign") for name in train.label])
    values = numbers(train[ex.NSL_NAMES[:41]], ["protocol_type", "service", "flag"])
    benign = random.permutation(np.flatnonzero(kind == "benign"))
    fifth = len(benign) // 5
    for category in ("dos", "probe", "r2l", "u2r"):
        sets.append((f"NSL-KDD, {category}", values, benign[fifth:], thin(benign[:fifth], 3000, random),
                     thin(np.flatnonzero(kind == category), 2000, random)))
    days = ex.cic(True)(given.data)
    values = numbers(days.cells, [])
    early = np.isin(days.origin, ["monday", "tuesday"])
    learnt = np.flatnonzero(early & (days.family == "benign"))
    own = np.flatnonzero((days.origin == "wednesday") & (days.family == "benign"))
    for family in ("DoS Hulk", "DoS GoldenEye", "DoS Slowloris", "DoS Slowhttptest"):
        sets.append((f"CIC Wednesday, {family}", values, learnt, own,
                     thin(np.flatnonzero(days.family == family), 1500, random)))
    print("| against | columns | plain, AUC | oblique, AUC | plain, recall at 1 %, % | oblique, % |")
    print("|---|---|---|---|---|---|")
    for name, values, learnt, own, attacks in sets:
        for log in (False, True):
            table = scaled(values, learnt, log)
            cells = []
            for oblique in (False, True):
                areas, recalls = [], []
                for seed in range(1, given.seeds + 1):
                    said = score(table[learnt], table[np.concatenate([own, attacks])], given.trees, seed, oblique)
                    areas.append(area(said[: len(own)], said[len(own):]))
                    line = np.sort(said[: len(own)])[::-1][int(0.01 * len(own))]
                    recalls.append(100 * (said[len(own):] > line).mean())
                cells.append((f"{min(areas):.4f} to {max(areas):.4f}", f"{min(recalls):.1f} to {max(recalls):.1f}"))
            (a, c), (b, d) = cells
            print(f"| {name} | {'logarithms' if log else 'as they are'} | {a} | {b} | {c} | {d} |", flush=True)


if __name__ == "__main__":
    main()
