#!/usr/bin/env python3
"""Makes the fixtures of tests/interop/xgboost with one version of the real library.

Run once for each version under tests/interop/requirements-boosters.txt, in an environment that has it:

    python tests/interop/make_xgboost.py tests/interop/xgboost [NAME...]

which makes those of these names, or all that the version can. Every folder gets a model as the library wrote it and expected.json: rows, what predict says of them (scores) and
the margins (output_margin), which a reader must match to the last bit.
"""
import json
import pathlib
import pickle
import sys

import numpy as np
import xgboost as xgb

from listing import listed

VERSION = tuple(int(part) for part in xgb.__version__.split(".")[:2])
FEATURES = 6
NAN = float("nan")


def data(seed, classes=2, missing=0.1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, FEATURES)) * np.array([1, 10, 1000, 0.01, 1, 3])
    x[:, 4] = rng.integers(0, 5, size=400)
    signal = x[:, 0] + 0.1 * x[:, 1] + np.where(x[:, 4] > 2, 1, -1) + rng.normal(size=400) * 0.5
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))
    x[rng.random(x.shape) < missing] = NAN
    return x, y


def thresholds(booster):
    """Of some splits, as floats: (feature, threshold)."""
    out = []
    for tree in booster.get_dump(dump_format="json", with_stats=False)[:6]:
        stack = [json.loads(tree)]
        while stack and len(out) < 24:
            node = stack.pop(0)
            if "children" not in node:
                continue
            stack += node["children"]
            condition = node["split_condition"]
            if not isinstance(condition, list):
                name = str(node["split"])
                index = booster.feature_names.index(name) if booster.feature_names and name in booster.feature_names \
                    else int(name.lstrip("f"))
                out.append((index, np.float32(condition)))
    return out


def rows_for(booster, x, seed=7):
    """Rows of the data, rows that hit thresholds exactly and from both sides, and extremes."""
    rng = np.random.default_rng(seed)
    rows = [x[i].copy() for i in range(10)]
    inf = np.float32(np.inf)
    for feature, threshold in thresholds(booster):
        below, above = np.nextafter(threshold, -inf), np.nextafter(threshold, inf)
        for value in (float(threshold), float(below), float(above), (float(below) + float(threshold)) / 2,
                      np.nextafter(float(threshold), -np.inf)):
            if rng.random() < 0.4:
                row = x[rng.integers(0, len(x))].copy()
                row[feature] = value
                rows.append(row)
    for value in (NAN, 0.0, -0.0, 1e-45, -1e-45, 3.4028234e38, -3.4028234e38, 1e-39, 1.0, -1.0):
        rows.append(np.full(FEATURES, value))
    return np.array(rows)


def matrix(rows, like):
    options = {}
    if like.feature_names:
        options["feature_names"] = like.feature_names
    if VERSION >= (1, 4) and like.feature_types and "c" in like.feature_types:
        options["feature_types"] = like.feature_types
        options["enable_categorical"] = True
    return xgb.DMatrix(rows, **options)


def write(root, name, suffix, model_bytes, booster, rows, scores=None, **more):
    if not wanted(name):
        return
    folder = root / f"{xgb.__version__}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"model.{suffix}").write_bytes(model_bytes)
    given = matrix(rows, booster)
    margins = booster.predict(given, output_margin=True)
    expected = {
        "library": f"xgboost {xgb.__version__}", "what": "predict", "tolerance": 3e-7, "rows": listed(rows),
        "scores": listed(booster.predict(given) if scores is None else scores), "margins": listed(margins),
    }
    expected.update(more)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(folder.name, len(model_bytes), "bytes,", len(rows), "rows")


def wanted(*names):
    return len(sys.argv) < 3 or any(name in sys.argv[2:] for name in names)


def saved(booster, suffix):
    path = pathlib.Path(f"/tmp/make-xgboost-{xgb.__version__}.{suffix}")
    booster.save_model(str(path))
    content = path.read_bytes()
    path.unlink()
    return content


def train(x, y, rounds=6, **parameters):
    options = dict(max_depth=3, eta=0.4, objective="binary:logistic", seed=1, nthread=1, tree_method="hist")
    options.update(parameters)
    return xgb.train(options, xgb.DMatrix(x, label=y), rounds)


def main():
    root = pathlib.Path(sys.argv[1])
    ubjson = VERSION >= (1, 6)

    x, y = data(1)
    binary = train(x, y, scale_pos_weight=2.5, tree_method="exact")
    rows = rows_for(binary, x)
    write(root, "binary", "json", saved(binary, "json"), binary, rows)
    if ubjson:
        write(root, "binary-ubj", "ubj", saved(binary, "ubj"), binary, rows)
        # What a pickle of a Booster holds.
        write(root, "snapshot", "ubj", bytes(binary.__getstate__()["handle"]), binary, rows)

    x, y = data(2, classes=3)
    multi = train(x, y, rounds=4, objective="multi:softprob", num_class=3)
    write(root, "multi", "ubj" if ubjson else "json", saved(multi, "ubj" if ubjson else "json"), multi,
          rows_for(multi, x))

    x, y = data(3)
    dart = train(x, y, rounds=8, booster="dart", rate_drop=0.4, one_drop=1)
    write(root, "dart", "json", saved(dart, "json"), dart, rows_for(dart, x))

    x, y = data(4)
    early = xgb.train(dict(max_depth=3, eta=0.8, objective="binary:logistic", seed=1, nthread=1, num_parallel_tree=2,
                           subsample=0.5, eval_metric="logloss"),
                      xgb.DMatrix(x[:200], label=y[:200]), 30, [(xgb.DMatrix(x[200:], label=y[200:]), "v")],
                      early_stopping_rounds=3, verbose_eval=False)
    early_rows = rows_for(early, x)
    given = matrix(early_rows, early)
    if VERSION >= (1, 4):
        best = early.predict(given, output_margin=True, iteration_range=(0, early.best_iteration + 1))
        all_trees = early.predict(given, iteration_range=(0, early.num_boosted_rounds()))
        more = {"margins": listed(early.predict(given, output_margin=True,
                                                iteration_range=(0, early.num_boosted_rounds())))}
    else:
        best = early.predict(given, output_margin=True, ntree_limit=early.best_ntree_limit)
        all_trees, more = early.predict(given), {}
    write(root, "early", "json", saved(early, "json"), early, early_rows, scores=all_trees, best_margins=listed(best),
          **more)

    x, y = data(5)
    for name, objective in (("logitraw", "binary:logitraw"), ("hinge", "binary:hinge"), ("logistic", "reg:logistic")):
        booster = train(x, y, rounds=3, objective=objective, base_score=0.3)
        some = rows_for(booster, x)[::3]
        margins = booster.predict(matrix(some, booster), output_margin=True)
        write(root, name, "json", saved(booster, "json"), booster, some,
              scores=None if name == "logistic" else margins)

    x, y = data(6, classes=4)
    softmax = train(x, y, rounds=2, objective="multi:softmax", num_class=4, num_parallel_tree=2, subsample=0.7)
    some = rows_for(softmax, x)[::3]
    margins = softmax.predict(matrix(some, softmax), output_margin=True).astype(np.float64)
    shares = np.exp(margins - margins.max(axis=1, keepdims=True))
    write(root, "softmax", "json", saved(softmax, "json"), softmax, some,
          scores=shares / shares.sum(axis=1, keepdims=True))

    if VERSION >= (1, 6) and wanted("sentinel", "forest"):
        wrappers(root)
    if VERSION >= (1, 5) and wanted("categories", "categories-ubj"):
        categories(root)
    if VERSION >= (3, 1) and wanted("vocabulary"):
        vocabulary(root)


def wrappers(root):
    # The wrapper: names, classes, a number that stands for missing.
    x, y = data(7)
    x = np.where(np.isnan(x), -1.0, x)
    wrapper = xgb.XGBClassifier(n_estimators=4, max_depth=3, missing=-1.0, n_jobs=1, tree_method="exact")
    wrapper.fit(x, np.array([0, 1])[y])
    booster = wrapper.get_booster()
    booster.feature_names = [f"column {i}" for i in range(FEATURES)]
    some = rows_for(booster, x)
    some[:20:2, :3] = -1.0
    scores = wrapper.predict_proba(some)[:, 1]
    margins = wrapper.predict(some, output_margin=True)
    folder_bytes = bytes(booster.__getstate__()["handle"])
    write(root, "sentinel", "ubj", folder_bytes, booster, some, scores=scores, margins=listed(margins), missing=-1.0)

    forest = xgb.XGBRFClassifier(n_estimators=7, max_depth=3, n_jobs=1, random_state=3)
    x, y = data(8)
    forest.fit(x, y)
    write(root, "forest", "ubj", saved(forest.get_booster(), "ubj"), forest.get_booster(),
          rows_for(forest.get_booster(), x)[::3])


def categories(root):
    # Categories: a few, which are split one against the rest, and many, split set against set.
    rng = np.random.default_rng(9)
    x = np.column_stack([rng.integers(0, 3, 600), rng.integers(0, 40, 600), rng.normal(size=600),
                         rng.integers(0, 7, 600), rng.normal(size=600), rng.normal(size=600)]).astype(float)
    y = ((x[:, 0] == 1) ^ np.isin(x[:, 1], rng.permutation(40)[:17]) ^ (x[:, 2] > 0.3)).astype(int)
    x[rng.random(x.shape) < 0.05] = NAN
    types = ["c", "c", "q", "c", "q", "q"]
    train_set = xgb.DMatrix(x, label=y, feature_types=types, enable_categorical=True)
    category = xgb.train(dict(max_depth=4, eta=0.5, objective="binary:logistic", tree_method="hist", nthread=1,
                              max_cat_to_onehot=4), train_set, 5)
    some = [x[i].copy() for i in range(20)]
    for column, count in ((0, 3), (1, 40), (3, 7)):
        for value in list(range(count)) + [NAN, -1.0, -0.5, -0.0, 0.5, count - 0.5, count, 1000, 16777215, 16777216,
                                           3e9, -3e9, 1e-45]:
            row = x[rng.integers(0, len(x))].copy()
            row[column] = value
            some.append(row)
    write(root, "categories", "json", saved(category, "json"), category, np.array(some))
    if VERSION >= (1, 6):
        write(root, "categories-ubj", "ubj", saved(category, "ubj"), category, np.array(some)[::4])


def vocabulary(root):
    # Texts of a data frame, which are kept in the file.
    import pandas
    rng = np.random.default_rng(10)
    protocols = np.array(["tcp", "udp", "icmp", "gre 47"])
    frame = pandas.DataFrame({
        "protocol": pandas.Categorical(rng.choice(protocols, 300), categories=list(protocols)),
        "port": pandas.Categorical(rng.choice([22, 53, 80, 443], 300), categories=[443, 80, 53, 22]),
        "bytes": rng.normal(size=300),
    })
    y = ((frame["protocol"] == "udp") ^ (frame["port"] == 80) ^ (frame["bytes"] > 0)).astype(int)
    booster = xgb.train(dict(max_depth=3, objective="binary:logistic", tree_method="hist", nthread=1),
                        xgb.DMatrix(frame, label=y, enable_categorical=True), 4)
    if not wanted("vocabulary"):
        return
    folder = root / f"{xgb.__version__}-vocabulary"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.ubj").write_bytes(saved(booster, "ubj"))
    some = frame.iloc[:25]
    given = xgb.DMatrix(some, enable_categorical=True)
    rows = np.column_stack([some["protocol"].cat.codes, some["port"].cat.codes, some["bytes"]])
    expected = {"library": f"xgboost {xgb.__version__}", "what": "predict", "tolerance": 3e-7, "rows": listed(rows),
                "scores": listed(booster.predict(given)), "margins": listed(booster.predict(given, output_margin=True)),
                "vocabularies": [list(protocols), ["443", "80", "53", "22"], []]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(folder.name)


main()
