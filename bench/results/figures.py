"""The figures of the tables, of rows that may have weights, and how sure they are.

Definitions are those of `nidus evaluate`: results.py compares the two on every detector.
"""

import numpy as np


def threshold_at_rate(benign, rate):
    """The lowest threshold at which no more than `rate` of the benign scores are attacks, midway between two scores."""
    scores = np.sort(benign)[::-1]
    below = scores[int(rate * len(scores) * (1 + 1e-12))]
    above = scores[scores > below]
    return below + (above[-1] - below) / 2 if len(above) else np.nextafter(below, np.inf)


class Answers:
    """What one model says of the test rows, ready to be measured under many weights."""

    def __init__(self, answer, held, label, family, novel, classes=None, hard=None):
        self.score, self.truth = answer["score"], label != "benign"
        self.order = np.argsort(-self.score, kind="stable")
        ordered = self.score[self.order]
        self.ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self.lines = {rate: threshold_at_rate(held["score"], rate) for rate in (0.01, 0.05)}
        self.families, self.family = np.unique(family, return_inverse=True)
        self.novel = np.isin(family, novel)
        self.classes, self.hard = classes, hard
        if classes:
            at = {name: i for i, name in enumerate(classes)}
            self.code = np.array([at[name] for name in label])
            attack = np.array([at[name] for name in answer["attack"]])
            self.said = {"argmax": np.where(1 - self.score >= answer["attack_score"], 0, attack)}
            for rate, line in self.lines.items():
                self.said[f"line{rate:g}"] = np.where(self.score >= line, attack, 0)

    def figures(self, w):
        out = {}
        attacks, benign = (w * self.truth).sum(), (w * ~self.truth).sum()
        hits = np.append(0, np.cumsum((w * self.truth)[self.order])[self.ends])
        alarms = np.append(0, np.cumsum((w * ~self.truth)[self.order])[self.ends])
        out["auc"] = (np.diff(alarms) * (hits[1:] + hits[:-1])).sum() / 2 / attacks / benign
        said = hits + alarms
        out["ap"] = (np.diff(hits) * hits[1:] / np.maximum(said[1:], 1e-300)).sum() / attacks
        for rate in (0.01, 0.05):
            out[f"recall_at_{rate:g}"] = hits[np.searchsorted(alarms, rate * benign + 1e-9, side="right") - 1] / attacks
            alarm = self.score >= self.lines[rate]
            out[f"recall_{rate:g}"] = (w * (alarm & self.truth)).sum() / attacks
            out[f"fpr_{rate:g}"] = (w * (alarm & ~self.truth)).sum() / benign
            out[f"accuracy_{rate:g}"] = (w * (alarm == self.truth)).sum() / w.sum()
        out["accuracy"] = (w * ((self.score >= 0.5) == self.truth)).sum() / w.sum()
        alarm = self.score >= self.lines[0.01]
        there, found = np.bincount(self.family, w), np.bincount(self.family, w * alarm)
        kinds = {f"kind:{name}": found[i] / there[i] if there[i] > 0 else np.nan
                 for i, name in enumerate(self.families) if name != "benign"}
        out["macro_family"], out["worst_family"] = np.nanmean(list(kinds.values())), np.nanmin(list(kinds.values()))
        out.update(kinds)
        if self.novel.any():
            out["novel"] = (w * (alarm & self.novel)).sum() / max((w * self.novel).sum(), 1e-300)
        if self.hard is not None:
            for name, line in (("hard_accuracy", 0.5), ("hard_accuracy_0.01", self.lines[0.01])):
                out[name] = (w * self.hard * ((self.score >= line) == self.truth)).sum() / (w * self.hard).sum()
        if self.classes:
            out.update(self.class_figures(w))
        return out

    def class_figures(self, w):
        out, n = {}, len(self.classes)
        for rule, said in self.said.items():
            table = np.bincount(self.code * n + said, w, n * n).reshape(n, n)
            right, truth, called = np.diag(table), table.sum(1), table.sum(0)
            there = truth + called > 0
            out[f"{rule}_accuracy"] = right.sum() / table.sum()
            out[f"{rule}_f1"] = (2 * right[there] / (truth + called)[there]).mean()
            for i, name in enumerate(self.classes):
                out[f"{rule}_recall_{name}"] = right[i] / truth[i] if truth[i] else np.nan
        return out


def wilson(share, rows, z=1.959963984540054):
    """Where a proportion lies with 95 % confidence (Wilson 1927)."""
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return max(0.0, middle - half), min(1.0, middle + half)


def compare(ours, theirs, same_test, replicates=300):
    """Of two lists of Answers, one for each seed: the mean and the spread of each figure on either side, and a 95 %
    interval of the difference of the means.

    Each replicate draws the test rows with replacement, the same rows for both sides, and the seeds: each side its own
    where all seeds have the same test rows, else the same for both, since the split then belongs to the seed.
    """
    seeds = len(ours)
    points = [[one.figures(np.ones(len(one.score))) for one in side] for side in (ours, theirs)]
    names = list(points[0][0])
    values = np.array([[[point[name] for name in names] for point in side] for side in points])
    random = np.random.default_rng(1)
    differences = np.empty((replicates, len(names)))
    for replicate in range(replicates):
        drawn = np.empty((2, seeds, len(names)))
        for seed in range(seeds):
            if seed == 0 or not same_test:
                n = len(ours[seed].score)
                w = np.bincount(random.integers(0, n, n), minlength=n).astype(float)
            for side, answers in enumerate((ours, theirs)):
                one = answers[seed].figures(w)
                drawn[side, seed] = [one[name] for name in names]
        a = random.integers(0, seeds, seeds)
        b = random.integers(0, seeds, seeds) if same_test else a
        differences[replicate] = drawn[0, a].mean(0) - drawn[1, b].mean(0)
    low, high = np.nanpercentile(differences, [2.5, 97.5], axis=0)
    out = {}
    for i, name in enumerate(names):
        out[name] = {"mean": values[:, :, i].mean(1).tolist(),
                     "sd": values[:, :, i].std(1, ddof=1).tolist() if seeds > 1 else [0, 0],
                     "low": low[i], "high": high[i],
                     "seeds": seeds}
        if name.startswith("kind:"):
            out[name]["rows"] = int((ours[0].families[ours[0].family] == name[5:]).sum())
    return out
