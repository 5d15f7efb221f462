#!/usr/bin/env python3
"""Makes the fixtures of src/model/explain_test.cc: small models of others, and what their own TreeSHAP says of them.

  python3 tests/explain/fixtures.py            # needs numpy, xgboost, scikit-learn and shap; none is needed to test

Words between blanks: kind, inputs, outputs, base margins; number of trees; of each tree its group, its number of nodes
and the nodes in our order (leaf COVER VALUES | inner COVER FEATURE THRESHOLD LEFT MISSING_RIGHT); number of rows, the
rows; the contributions of each output, row by row with the base behind them; "end".
"""
import json
import pathlib

import numpy as np
import shap
import sklearn
import xgboost
from sklearn.ensemble import RandomForestClassifier

HERE = pathlib.Path(__file__).parent
INPUTS, ROWS = 6, 12


def data(classes, missing):
    random = np.random.default_rng(classes)
    rows = random.integers(0, 40, (400, INPUTS)).astype(np.float32) / 4
    labels = np.clip((rows[:, 0] + rows[:, 1] * (rows[:, 2] > 4)) * classes / 20, 0, classes - 1).astype(int)
    if missing:
        rows[random.random(rows.shape) < 0.1] = np.nan
    return rows, labels


def below(value):
    return np.nextafter(np.float32(value), np.float32(-np.inf))


def at_most(value):
    """The largest float that is not above a double."""
    single = np.float32(value)
    return single if float(single) <= value else below(single)


def nodes(left, right, describe):
    """A tree in our order: breadth first, children in pairs."""
    order = [0]
    lines = []
    for at in order:
        children = None
        if left[at] >= 0:
            children = len(order)
            order += [left[at], right[at]]
        lines.append(describe(at, children))
    return lines


def write(path, kind, outputs, base, trees, rows, contributions):
    words = [f"{kind} {rows.shape[1]} {outputs}", " ".join(repr(float(b)) for b in base), str(len(trees))]
    for group, lines in trees:
        words += [f"{group} {len(lines)}"] + lines
    words.append(str(len(rows)))
    words += [" ".join(repr(float(x)) for x in row) for row in rows]
    for output in range(outputs):
        for row in contributions[output]:
            words.append(" ".join(f"{float(x):.9g}" for x in row))
    pathlib.Path(path).write_text("\n".join(words + ["end"]) + "\n")


def xgboost_trees(booster):
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    trees = []
    for group, tree in zip(model["tree_info"], model["trees"]):
        def describe(at, children, tree=tree):
            if children is None:
                return f"leaf {tree['sum_hessian'][at]!r} {tree['split_conditions'][at]!r}"
            return (f"inner {tree['sum_hessian'][at]!r} {tree['split_indices'][at]} "
                    f"{float(below(tree['split_conditions'][at]))!r} {children} {1 - int(tree['default_left'][at])}")
        trees.append((group, nodes(tree["left_children"], tree["right_children"], describe)))
    return trees


def forest_trees(model):
    trees = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        def describe(at, children, tree=tree):
            cover = float(tree.weighted_n_node_samples[at])
            if children is None:
                shares = tree.value[at][0] / tree.value[at][0].sum()
                return f"leaf {cover!r} " + " ".join(repr(float(x)) for x in shares)
            return f"inner {cover!r} {tree.feature[at]} {float(at_most(tree.threshold[at]))!r} {children} 0"
        trees.append((0, nodes(tree.children_left, tree.children_right, describe)))
    return trees


def boosted(name, classes):
    rows, labels = data(classes, True)
    parameters = {"max_depth": 4, "eta": 0.5, "seed": 1, "nthread": 1, "base_score": 0.5, "min_child_weight": 2}
    if classes == 2:
        parameters["objective"] = "binary:logistic"
    else:
        parameters |= {"objective": "multi:softprob", "num_class": classes}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, labels), 6 if classes == 2 else 3)
    some = rows[:ROWS]
    contributions = booster.predict(xgboost.DMatrix(some), pred_contribs=True)
    if classes == 2:
        contributions = contributions[:, None, :]
    base = [0.0] if classes == 2 else [0.5] * classes
    write(HERE / name, "boost", contributions.shape[1], base, xgboost_trees(booster), some,
          contributions.transpose(1, 0, 2))


def forest(name):
    rows, labels = data(3, False)
    model = RandomForestClassifier(5, max_depth=6, random_state=1).fit(rows, labels)
    some = rows[:ROWS]
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    values = np.asarray(explainer.shap_values(some)).transpose(2, 0, 1)
    base = np.repeat(np.asarray(explainer.expected_value)[:, None, None], len(some), 1)
    write(HERE / name, "forest", 3, [0] * 3, forest_trees(model), some, np.concatenate([values, base], 2))


if __name__ == "__main__":
    boosted("xgboost_binary.txt", 2)
    boosted("xgboost_classes.txt", 3)
    forest("shap_forest.txt")
    print(f"xgboost {xgboost.__version__}, scikit-learn {sklearn.__version__}, shap {shap.__version__}")
