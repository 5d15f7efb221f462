#!/usr/bin/env python3
"""Explanations beside the shap package and XGBoost: the same models, the same rows, one core, one after the other.

  python3 bench/explain_peers.py MODEL_BENCH [FOLDER]

MODEL_BENCH is build/PRESET/src/model/model_bench, built with -DNIDUS_BENCH=ON. Needs numpy, xgboost, scikit-learn and
shap, best in an environment of its own; FOLDER (a temporary one if not given) takes the models. Processor time, the
best of three rounds each; prints microseconds a row as a Markdown table. That all say the same is checked on smaller
models by src/model/explain_test.cc.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import shap
import xgboost
from sklearn.ensemble import RandomForestClassifier

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/explain"))
import fixtures

COLUMNS, TRAINING, EXPLAINED = 80, 20000, 200


def data():
    """Flows in miniature: heavy tails, whole numbers, a rule of five columns, a tenth of the labels wrong."""
    random = np.random.default_rng(1)
    rows = np.exp(random.normal(0, 2, (TRAINING, COLUMNS))).astype(np.float32)
    rows[:, ::3] = np.floor(rows[:, ::3])
    labels = (np.log1p(rows[:, :5]).sum(1) + (rows[:, 5] > 2) * rows[:, 6].clip(0, 3) > 6).astype(int)
    labels ^= random.random(TRAINING) < 0.1
    return rows, labels


def as_shap(booster):
    trees = []
    for tree in json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]:
        left, right = (np.array(tree[name], np.int32) for name in ("left_children", "right_children"))
        values = np.where(left < 0, np.array(tree["split_conditions"]), 0.0)
        trees.append({
            "children_left": left, "children_right": right,
            "children_default": np.where(np.array(tree["default_left"], bool), left, right),
            "features": np.array(tree["split_indices"], np.int32),
            "thresholds": np.array([float(fixtures.below(x)) for x in tree["split_conditions"]]),
            "values": values.reshape(-1, 1), "node_sample_weight": np.array(tree["sum_hessian"])})
    return {"trees": trees, "internal_dtype": np.float64, "input_dtype": np.float32, "objective": "binary_crossentropy",
            "tree_output": "log_odds", "base_offset": 0.0}


def best(run):
    times = []
    for _ in range(3):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times) * 1e6 / EXPLAINED


def main():
    bench = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows, labels = data()
    some = rows[:EXPLAINED]
    models = []

    booster = xgboost.train({"max_depth": 6, "eta": 0.1, "objective": "binary:logistic", "nthread": 1, "seed": 1,
                             "base_score": 0.5}, xgboost.DMatrix(rows, labels), 100)
    matrix = xgboost.DMatrix(some)
    own = booster.predict(matrix, pred_contribs=True)
    fixtures.write(folder / "boost_depth6", "boost", 1, [0], fixtures.xgboost_trees(booster), some, own[None])
    # For XGBoost's models shap calls XGBoost; it gets the trees as its own, to time its own algorithm on them.
    explainer = shap.TreeExplainer(as_shap(booster), feature_perturbation="tree_path_dependent")
    theirs = np.asarray(explainer.shap_values(some, check_additivity=False))
    print(f"largest difference of shap and xgboost: {np.abs(theirs.reshape(len(some), -1) - own[:, :-1]).max():.1e}\n")
    models.append(("boost_depth6", "100 boosted trees of depth 6", {
        "shap": best(lambda: explainer.shap_values(some, check_additivity=False)),
        "xgboost pred_contribs": best(lambda: booster.predict(matrix, pred_contribs=True))}))

    for name, depth, text in (("forest_depth6", 6, "forest of 100 trees of depth 6"),
                              ("forest_full", None, "forest of 20 trees, full depth")):
        forest = RandomForestClassifier(100 if depth else 20, max_depth=depth, random_state=1, n_jobs=1)
        forest.fit(rows, labels)
        explainer = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent")
        few = some if depth else some[:10]
        values = np.asarray(explainer.shap_values(few, check_additivity=False)).transpose(2, 0, 1)
        base = np.repeat(np.asarray(explainer.expected_value)[:, None, None], len(few), 1)
        fixtures.write(folder / name, "forest", 2, [0, 0], fixtures.forest_trees(forest), few,
                       np.concatenate([values, base], 2))
        times = best(lambda: explainer.shap_values(few, check_additivity=False)) * EXPLAINED / len(few)
        models.append((name, text, {"shap": times}))

    answer = subprocess.run(
        [bench, "--benchmark_filter=^explain/", "--benchmark_repetitions=3", "--benchmark_format=json"],
        env=os.environ | {"NIDUS_EXPLAIN_MODELS": ":".join(str(folder / name) for name, _, _ in models)},
        stdout=subprocess.PIPE, check=True)
    ours = {}
    for run in json.loads(answer.stdout)["benchmarks"]:
        if run["run_type"] == "iteration":
            name = run["run_name"]
            ours[name] = min(ours.get(name, np.inf), 1e6 / run["items_per_second"])
    print(f"shap {shap.__version__}, xgboost {xgboost.__version__}; load {os.getloadavg()[0]:.1f}\n")
    print("| model | nidus, one row | nidus, batch | peer | peer, batch | nidus is faster by |")
    print("|---|---|---|---|---|---|")
    for name, text, peers in models:
        one, batch = ours[f"explain/{name}/one_row"], ours[f"explain/{name}/batch"]
        for peer, time_of_peer in peers.items():
            print(f"| {text} | {one:.0f} µs | {batch:.0f} µs | {peer} | {time_of_peer:.0f} µs "
                  f"| {time_of_peer / batch:.1f} |")


main()
