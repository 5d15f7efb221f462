#!/usr/bin/env python3
"""Writes scikit-learn.txt beside it: what scikit-learn 1.9.1 says of some rows, for the tests of our own detectors of
benign rows. Numbers only, each block behind its name and its rows and columns.

    python3 -m venv V && V/bin/pip install scikit-learn==1.9.1 && V/bin/python tests/anomaly/make_fixture.py
"""

from pathlib import Path

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import IsolationForest

random = np.random.default_rng(5)
rows = 400
base = random.normal(size=(rows, 2))
table = np.column_stack([
    base[:, 0],
    0.8 * base[:, 0] + 0.3 * random.normal(size=rows),  # follows from the first
    np.round(np.exp(base[:, 1] * 2), 3),                # a heavy tail
    random.integers(0, 3, size=rows),
    np.full(rows, 7.0),                                 # never varies
]).astype(np.float32)
odd = table[:40].copy()
odd[::2, 0] += 6
odd[1::4, 4] = 9

out = []


def block(name, values):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    out.append(f"{name} {values.shape[0]} {values.shape[1]}")
    out.extend(" ".join(repr(float(x)) for x in row) for row in values)


block("table", table)
block("odd", odd)

# In the limit of many trees the score of a row does not depend on the seed: the mean path is what it is.
forest = IsolationForest(n_estimators=4000, contamination=0.07, random_state=1).fit(table)
block("isolation", -forest.score_samples(odd))

scores = np.round(random.gamma(2, size=101), 6)
block("scores", scores)
block("offsets", [np.percentile(-scores, 100 * c) for c in (0.01, 0.07, 0.1, 0.333, 0.5)])

wide = table.astype(float)
mean, deviation = wide.mean(0), wide.std(0)
deviation[deviation == 0] = 1
# Held within ten deviations, which is ours.
covariance, shrinkage = ledoit_wolf(np.clip((wide - mean) / deviation, -10, 10), assume_centered=True)
precision = np.linalg.inv(covariance)
off = np.clip((odd.astype(float) - mean) / deviation, -10, 10)
block("shrinkage", [shrinkage])
block("mahalanobis", np.einsum("ij,jk,ik->i", off, precision, off))

Path(__file__).with_name("scikit-learn.txt").write_text("\n".join(out) + "\n")
