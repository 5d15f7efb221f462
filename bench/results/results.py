#!/usr/bin/env python3
"""Runs the rows of docs/results.md; see bench/results/run."""

import argparse
import json
import os
import shutil
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

import experiments
import figures
import fitting

# The columns of each table: a title, a figure, how it is written, and whether less of it is better.
AT_LINE = [("recall at the 1 % line", "recall_0.01", "%"), ("false alarms there", "fpr_0.01", "%", True)]
COLUMNS = {
    "nsl-binary": [("accuracy at ½", "accuracy", "3"), ("AUC", "auc", "4"),
                   ("recall at FPR 5 %", "recall_at_0.05", "%"), ("accuracy at the 1 % line", "accuracy_0.01", "3"),
                   *AT_LINE, ("recall of new attacks there", "novel", "%"),
                   ("accuracy at the 5 % line", "accuracy_0.05", "3"), ("false alarms there", "fpr_0.05", "%", True),
                   ("KDDTest-21: accuracy at ½", "hard_accuracy", "3"),
                   ("at the 1 % line", "hard_accuracy_0.01", "3")],
    "nsl-five": [("accuracy, most likely class", "argmax_accuracy", "3"), ("macro-F1", "argmax_f1", "3"),
                 ("accuracy, 1 % line first", "line0.01_accuracy", "3"), ("macro-F1", "line0.01_f1", "3"),
                 ("accuracy, 5 % line first", "line0.05_accuracy", "3"), ("macro-F1", "line0.05_f1", "3"),
                 ("recall R2L there", "line0.05_recall_r2l", "%"), ("U2R", "line0.05_recall_u2r", "%")],
    "unsw-binary": [("accuracy at ½", "accuracy", "4"), ("AUC", "auc", "4"),
                    ("recall at FPR 1 %", "recall_at_0.01", "%"), *AT_LINE],
    "unsw-ten": [("accuracy, most likely class", "argmax_accuracy", "4"), ("macro-F1", "argmax_f1", "3"),
                 ("recall DoS", "argmax_recall_DoS", "%"), ("Backdoor", "argmax_recall_Backdoor", "%"),
                 ("Analysis", "argmax_recall_Analysis", "%"), ("Worms", "argmax_recall_Worms", "%")],
    "cic-day": [("AUC", "auc", "4"), *AT_LINE, ("mean over kinds of attack", "macro_family", "%"),
                ("worst kind", "worst_family", "%")],
    "cic-attack": [("AUC", "auc", "4"), *AT_LINE],
    "iot": [("AUC", "auc", "4"), *AT_LINE],
    "ctu": [("AUC", "auc", "4"), *AT_LINE],
}


# Of titles that lean on the column before them.
FULL_TITLE = {"fpr_0.01": "false alarms at the 1 % line", "fpr_0.05": "false alarms at the 5 % line",
              "novel": "recall of new attacks at the 1 % line", "argmax_f1": "macro-F1, most likely class",
              "line0.01_f1": "macro-F1, 1 % line first", "line0.05_f1": "macro-F1, 5 % line first",
              "line0.05_recall_r2l": "recall R2L, 5 % line first", "line0.05_recall_u2r": "recall U2R, 5 % line first",
              "hard_accuracy_0.01": "KDDTest-21: accuracy at the 1 % line"}


class Run:
    def __init__(self, given):
        self.data, self.out, self.nidus, self.threads = given.data, given.out, given.nidus, given.threads
        self.end = time.monotonic() + given.seconds
        self.rows = {}

    def stop_in_time(self):
        if time.monotonic() > self.end:
            sys.exit(75)

    def rows_of(self, experiment):
        # Experiments next to each other often read the same rows; only the last are kept.
        if experiment.name not in self.rows:
            self.rows = {experiment.name: experiment.read(self.data)}
        return self.rows[experiment.name]

    def files_of(self, experiment, seed):
        folder = self.out / "splits" / experiment.name / str(seed)
        known = folder / "columns.json"
        if not known.exists():
            rows = self.rows_of(experiment)
            files = fitting.write_files(folder, rows, experiment.split(rows, seed))
            known.write_text(json.dumps([files.features, files.texts]))
        return fitting.Files(folder, *json.loads(known.read_text()))

    def score_file(self, experiment, model, seed, who):
        return self.out / "scores" / experiment.name / f"{who}-{model}-{seed}.npz"

    def answers_of_peer(self, experiment, model, seed):
        kept = self.score_file(experiment, model, seed, "peer")
        if not kept.exists():
            self.stop_in_time()
            held, test = fitting.ask_peer(model, self.files_of(experiment, seed), seed, experiment.kind == "binary",
                                          experiment.weights == "balanced", self.threads)
            save(kept, held, test)
        return load(kept)

    def answers_of_nidus(self, experiment, model, seed):
        kept = self.score_file(experiment, model, seed, "nidus")
        if not kept.exists():
            self.stop_in_time()
            detector = self.out / "detectors" / f"{experiment.name}-{model}-{seed}"
            shutil.rmtree(detector, ignore_errors=True)
            detector.parent.mkdir(exist_ok=True)
            files = self.files_of(experiment, seed)
            (held, test), evaluation, manifest = fitting.ask_nidus(
                self.nidus, detector, model, files, seed, experiment.kind == "binary", experiment.weights == "balanced",
                self.threads)
            self.agree(experiment, files, held, test, evaluation, manifest, f"{experiment.name}:{model}:{seed}")
            shutil.rmtree(detector)
            save(kept, held, test)
        return load(kept)

    def agree(self, experiment, files, held, test, evaluation, manifest, name):
        """What is computed here from the scores must be what nidus says itself."""
        answers = self.measurable(experiment, held, test, files)
        ours = answers.figures(np.ones(len(answers.score)))
        accuracy = ours["line0.01_accuracy" if answers.classes else "accuracy_0.01"]
        pairs = (("threshold", answers.lines[fitting.RATE], manifest["threshold"]["value"]),
                 ("accuracy", accuracy, evaluation["accuracy"]), ("AUC", ours["auc"], evaluation["roc_auc"]))
        for what, mine, its in pairs:
            if not abs(mine - its) < 1e-9:
                sys.exit(f"{name}: {what} is {mine} here, {its} by nidus")

    def ready_seeds(self, experiment, model):
        """The seeds for which there are scores of both sides."""
        return tuple(seed for seed in experiment.seeds
                     if all(self.score_file(experiment, model, seed, who).exists() for who in ("nidus", "peer")))

    def measurable(self, experiment, held, test, files):
        truth = files.truth()
        if experiment.kind == "classes":
            truth["classes"] = ["benign"] + sorted(set(truth["label"]) - {"benign"})
        return figures.Answers(test, held, **truth)

    def compare(self, experiment, model):
        kept = self.out / "compared" / f"{experiment.name}-{model}-{len(experiment.seeds)}.json"
        scores = [self.score_file(experiment, model, seed, who)
                  for who in ("nidus", "peer") for seed in experiment.seeds]
        if kept.exists() and all(s.exists() and s.stat().st_mtime < kept.stat().st_mtime for s in scores):
            return json.loads(kept.read_text())
        sides = []
        for answers_of in (self.answers_of_nidus, self.answers_of_peer):
            sides.append([self.measurable(experiment, *answers_of(experiment, model, seed),
                                          self.files_of(experiment, seed)) for seed in experiment.seeds])
        result = figures.compare(*sides, experiment.same_test)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(result))
        return result


def save(path, held, test):
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new.npz")
    np.savez_compressed(new, **{f"{part}_{key}": value for part, answer in (("held", held), ("test", test))
                                for key, value in answer.items()})
    new.rename(path)


def load(path):
    with np.load(path) as kept:
        return tuple({key: kept[f"{part}_{key}"] for key in ("score", "attack", "attack_score")}
                     for part in ("held", "test"))


def written(value, style):
    if style == "%":
        return f"{100 * value:.1f}"
    return f"{value:.{style}f}"


def verdict(figure, less_is_better):
    """Whether the interval of the difference leaves zero, and on which side for nidus.

    With one seed no verdict is given: the interval then knows nothing of how much a model varies with its seed.
    """
    if figure["seeds"] == 1:
        return "even"
    low, high = (-figure["high"], -figure["low"]) if less_is_better else (figure["low"], figure["high"])
    return "worse" if high < 0 else "better" if low > 0 else "even"


def table_lines(table, compared):
    """The Markdown rows of a table: for each experiment and model nidus, the peer, and the difference."""
    columns = COLUMNS[table]
    titles = [title + (", %" if style == "%" else "") for title, _, style, *_ in columns]
    lines = ["| row | who | " + " | ".join(titles) + " |", "|---|---|" + "---|" * len(columns)]
    for name, model, result in compared:
        cells = [[], [], []]
        for _, key, style, *less in columns:
            if key not in result:
                for side in cells:
                    side.append("–")
                continue
            figure = result[key]
            for side in (0, 1):
                spread = f" ± {written(figure['sd'][side], style)}" if figure["seeds"] > 1 else ""
                cells[side].append(written(figure["mean"][side], style) + spread)
            said = verdict(figure, bool(less))
            interval = f"{written(figure['low'], style)} … {written(figure['high'], style)}"
            cells[2].append(interval if said == "even" else f"{interval} **{said}**")
        seeds = next(iter(result.values()))["seeds"]
        lines.append(f"| `{name}:{model}` | nidus | " + " | ".join(cells[0]) + " |")
        named = f"| {seeds} seed{'s' if seeds > 1 else ''} | {fitting.PEER[model]} | "
        lines.append(named + " | ".join(cells[1]) + " |")
        lines.append("| | difference | " + " | ".join(cells[2]) + " |")
    return lines


def kinds_lines(compared):
    """For each experiment the recall of each kind of attack at the 1 % line, of nidus and its peer."""
    models = list(dict.fromkeys(model for _, model, _ in compared))
    lines = ["| rows | kind | test rows | " + " | ".join(f"{m}: nidus | {fitting.PEER[m]}" for m in models) + " |",
             "|---|---|" + "---|" * (1 + 2 * len(models))]
    for experiment in dict.fromkeys(name for name, _, _ in compared):
        results = {model: result for name, model, result in compared if name == experiment}
        some = next(iter(results.values()))
        for key in (key for key in some if key.startswith("kind:")):
            cells = []
            for model in models:
                if model not in results:
                    cells += ["–", "–"]
                    continue
                for side in (0, 1):
                    share = results[model][key]["mean"][side]
                    low, high = figures.wilson(share, some[key]["rows"])
                    cells.append(f"{100 * share:.1f} ({100 * low:.1f}–{100 * high:.1f})")
            lines.append(f"| `{experiment}` | {key[5:]} | {some[key]['rows']:,} | " + " | ".join(cells) + " |")
    return lines


def summary_lines(compared):
    """How often nidus is better, even or worse, and each figure in which it is worse."""
    counts, worse = {}, []
    for table, results in compared.items():
        for name, model, result in results:
            for title, key, style, *less in COLUMNS[table]:
                if key not in result:
                    continue
                if result[key]["seeds"] == 1:
                    continue
                said = verdict(result[key], bool(less))
                count = counts.setdefault(model, {"better": 0, "even": 0, "worse": 0})
                count[said] += 1
                if said == "worse":
                    mine, other = (written(value, style) for value in result[key]["mean"])
                    low, high = (written(result[key][end], style) for end in ("low", "high"))
                    worse.append(f"| `{name}:{model}` | {FULL_TITLE.get(key, title)} | {mine} | {other} | "
                                 f"{low} … {high} |")
    lines = ["| model | peer | better | even | worse |", "|---|---|---|---|---|"]
    for model, count in counts.items():
        lines.append(f"| {model} | {fitting.PEER[model]} | {count['better']} | {count['even']} | {count['worse']} |")
    return lines + ["", "Worse in:", "", "| row | figure | nidus | peer | difference |", "|---|---|---|---|---|",
                    *worse]


def put_between_marks(path, name, lines):
    text = path.read_text()
    begin, end = f"<!-- {name}: made by bench/results/run -->\n", f"<!-- end of {name} -->"
    before, there, rest = text.partition(begin)
    _, and_there, after = rest.partition(end)
    if not there or not and_there:
        sys.exit(f"{path}: no marks for the table {name}")
    path.write_text(before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("rows", nargs="*", help="nsl-binary:forest, or nsl-binary")
    parser.add_argument("--nidus", type=Path, required=True)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--peers-only", action="store_true")
    parser.add_argument("--ready", action="store_true")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_intermixed_args()
    run = Run(given)
    all_experiments = experiments.all_experiments()
    for one in all_experiments:
        one.seeds = one.seeds[: given.seeds or None]
    every = [(one, model) for one in all_experiments for model in one.models]
    names = {name for one, model in every for name in (one.name, f"{one.name}:{model}")}
    if unknown := set(given.rows) - names:
        sys.exit(f"no row {', '.join(sorted(unknown))}; --list names them")
    if given.rows:
        every = [(one, model) for one, model in every if {one.name, f"{one.name}:{model}"} & set(given.rows)]
    if given.list:
        print("\n".join(f"{one.name}:{model}" for one, model in every))
        return
    compared, missing = {}, []
    for experiment, model in every:
        if given.ready:
            # As many of the seeds as both sides have.
            experiment.seeds = run.ready_seeds(experiment, model)
            if not experiment.seeds:
                missing.append(f"{experiment.name}:{model}")
                continue
        print(f"{experiment.name}:{model}", file=sys.stderr, flush=True)
        if given.peers_only:
            for seed in experiment.seeds:
                run.answers_of_peer(experiment, model, seed)
            continue
        compared.setdefault(experiment.table, []).append((experiment.name, model, run.compare(experiment, model)))
    tables = {table: table_lines(table, results) for table, results in compared.items()}
    if "cic-day" in compared:
        tables["cic-kinds"] = kinds_lines([one for one in compared["cic-day"] if "no-port" not in one[0]])
    if not given.rows:
        tables["summary"] = summary_lines(compared)
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            tables["summary"] += ["", *textwrap.wrap(f"Not run yet: {names}.", 120, break_on_hyphens=False)]
    for table, lines in tables.items():
        if given.write:
            put_between_marks(given.write, table, lines)
        else:
            print(f"\n{table}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
