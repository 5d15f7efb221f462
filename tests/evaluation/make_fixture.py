#!/usr/bin/env python3
"""Makes metrics.json: scores, and what scikit-learn, SciPy and statsmodels say of them.

    python3 make_fixture.py > metrics.json

learn/metrics_fixture_test.cc reads the file and holds our figures against it; building and testing need no
Python. What those libraries do not have (DeLong, mid-p, calibration error, recall at a rate) is computed here
from its definition, slowly: all pairs, all thresholds. Made with scikit-learn 1.2 or later.
"""
import json
import sys

import numpy as np
from scipy.stats import binom, norm
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

BINS = 15


def number(x):
    return None if x is None or np.isnan(x) else float(x)


def expected_error(y, s, w):
    # Bins (low, high], the first with 0, found by comparing with every edge.
    error = largest = 0.0
    for i in range(BINS):
        low, high = i / BINS, (i + 1) / BINS
        inside = ((s > low) | ((i == 0) & (s == 0))) & (s <= high)
        if w[inside].sum() == 0:
            continue
        gap = abs(np.average(y[inside], weights=w[inside]) - np.average(s[inside], weights=w[inside]))
        error += gap * w[inside].sum() / w.sum()
        largest = max(largest, gap)
    return error, largest


def recall_at(rate, y, s, w):
    best = 0.0
    benign, attacks = w[y == 0].sum(), w[y == 1].sum()
    for t in np.unique(s):
        if w[(y == 0) & (s >= t)].sum() <= rate * benign * (1 + 1e-12):
            best = max(best, w[(y == 1) & (s >= t)].sum() / attacks)
    return best


def binary(name, y, s, w=None):
    y, s = np.asarray(y), np.asarray(s, float)
    used = np.ones(len(y)) if w is None else np.asarray(w, float)
    counts = used > 0
    both = len(set(y[counts])) == 2
    attacks = (y[counts] == 1).any()
    some = counts.any()
    error, largest = expected_error(y, s, used) if some else (None, None)
    return {
        "name": name, "positive": [int(v) for v in y], "scores": s.tolist(),
        "weights": [] if w is None else used.tolist(),
        "roc_auc": number(metrics.roc_auc_score(y[counts], s[counts], sample_weight=used[counts])) if both else None,
        "average_precision": number(metrics.average_precision_score(y, s, sample_weight=used)) if attacks else None,
        "brier": number(np.average((y - s) ** 2, weights=used)) if some else None,
        "expected_error": error, "maximum_error": largest,
        "recall_at": [recall_at(r, y, s, used) if both else None for r in (1e-1, 1e-2, 1e-3)],
    }


def classes(name, y, said, count):
    y, said = np.asarray(y), np.asarray(said)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        y, said, labels=range(count), zero_division=0)
    predicted = np.bincount(said, minlength=count)
    return {
        "name": name, "classes": count, "truth": y.tolist(), "said": said.tolist(),
        "accuracy": metrics.accuracy_score(y, said),
        "balanced_accuracy": metrics.recall_score(y, said, labels=np.unique(y), average="macro", zero_division=0),
        "macro_f1": metrics.f1_score(y, said, average="macro", zero_division=0),
        "mcc": metrics.matthews_corrcoef(y, said),
        "precision": [number(p) if n else None for p, n in zip(precision, predicted)],
        "recall": [number(r) if n else None for r, n in zip(recall, support)],
        "f1": [number(f) if n + m else None for f, n, m in zip(f1, support, predicted)],
    }


def delong(name, y, a, b):
    y = np.asarray(y)
    placed = []
    for s in (np.asarray(a, float), np.asarray(b, float)):
        win = (s[y == 1][:, None] > s[y == 0][None, :]) + 0.5 * (s[y == 1][:, None] == s[y == 0][None, :])
        placed.append((win.mean(1), win.mean(0)))
    v10 = np.cov(np.array([placed[0][0], placed[1][0]]))
    v01 = np.cov(np.array([placed[0][1], placed[1][1]]))
    s = v10 / (y == 1).sum() + v01 / (y == 0).sum()
    variance = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    difference = placed[0][0].mean() - placed[1][0].mean()
    z = difference / np.sqrt(variance)
    return {"name": name, "positive": y.tolist(), "a": list(map(float, a)), "b": list(map(float, b)),
            "auc_a": metrics.roc_auc_score(y, a), "auc_b": metrics.roc_auc_score(y, b),
            "standard_error": float(np.sqrt(variance)), "z": float(z), "p": float(2 * norm.sf(abs(z)))}


def mcnemar(b, c):
    from statsmodels.stats.contingency_tables import mcnemar as theirs
    exact = theirs([[0, b], [c, 0]], exact=True).pvalue
    k, n = min(b, c), b + c
    return {"only_a": b, "only_b": c, "exact": float(exact),
            "mid": float(min(1, 2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5)))}


def main():
    random = np.random.default_rng(20261121)

    def draw(n, share, step=None, shift=0.25):
        y = (random.random(n) < share).astype(int)
        s = np.clip(random.normal(0.4 + shift * y, 0.2), 0, 1)
        s = np.round(s, 4) if step is None else np.round(np.round(s / step) * step, 10)
        return y, s

    y, s = draw(200, 0.4)
    many, many_s = draw(2500, 0.3, shift=0.45)
    tied, tied_s = draw(200, 0.3, 0.1)
    weights = random.integers(0, 4, 200) * 0.5
    one_side = np.where(tied == 1, 0.0, 1.0)  # all attacks weigh nothing
    edges = np.arange(16) / 15
    three = random.integers(0, 3, 300)
    three_said = np.where(random.random(300) < 0.7, three, random.integers(0, 3, 300))
    rare = np.where(random.random(300) < 0.02, 3, three)
    b_scores = np.round(np.clip(s + random.normal(0, 0.15, 200), 0, 1), 4)
    b_tied = np.round(np.clip(tied_s + random.normal(0, 0.2, 200), 0, 1), 1)
    out = {
        "binary": [
            binary("plain", y, s),
            binary("enough benign rows to resolve a rate", many, many_s),
            binary("ties", tied, tied_s),
            binary("all tied", [0, 1, 1, 0, 0], [0.5] * 5),
            binary("separated", [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
            binary("separated the wrong way", [1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
            binary("attacks only", [1, 1, 1], [0.1, 0.5, 0.9]),
            binary("benign only", [0, 0, 0], [0.1, 0.5, 0.9]),
            binary("weights", y, s, random.random(200)),
            binary("weights of zero", tied, tied_s, weights),
            binary("attacks that weigh nothing", tied, tied_s, one_side),
            binary("nothing weighs anything", [0, 1], [0.2, 0.8], [0, 0]),
            binary("on the edges of bins", [0, 1] * 8, edges),
        ],
        "classes": [
            classes("three", three, three_said, 3),
            classes("rare, never said", rare, three_said, 4),
            classes("a class without rows", np.minimum(three, 1), three_said, 3),
            classes("always the same answer", three, np.zeros(300, int), 3),
            classes("one class only", [1, 1, 1], [1, 0, 1], 2),
        ],
        "delong": [delong("plain", y, s, b_scores), delong("ties", tied, tied_s, b_tied)],
        "mcnemar": [mcnemar(*pair) for pair in
                    [(0, 0), (1, 0), (3, 9), (9, 3), (5, 5), (10, 11), (120, 80), (900, 1100), (40000, 41000)]],
        "wilson": [dict(zip(("low", "high"), map(float, proportion_confint(k, n, 0.05, "wilson"))), k=k, n=n)
                   for k, n in [(0, 10), (8, 10), (10, 10), (1, 1000), (5000, 100000)]],
    }
    json.dump(out, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
