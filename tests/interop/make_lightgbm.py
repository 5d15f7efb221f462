#!/usr/bin/env python3
"""Makes the fixtures of tests/interop/lightgbm with one version of the real library.

    python tests/interop/make_lightgbm.py tests/interop/lightgbm [NAME...]

Every folder gets the text model as the library wrote it and expected.json: rows, what predict says of them (scores)
and the raw scores, which a reader must match to the last bit.
"""
import json
import math
import pathlib
import sys

import lightgbm as lgb
import numpy as np

from listing import listed

FEATURES = 5
NAN = float("nan")


def data(seed, classes=2, missing=0.1, zeros=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, FEATURES)) * np.array([1, 10, 1e6, 1e-3, 3])
    signal = x[:, 0] + 0.1 * x[:, 1] + rng.normal(size=300) * 0.5
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))
    x[rng.random(x.shape) < missing] = NAN
    x[rng.random(x.shape) < zeros] = 0.0
    return x, y


def thresholds(booster):
    out = []
    for tree in booster.dump_model()["tree_info"][:6]:
        stack = [tree["tree_structure"]]
        while stack:
            node = stack.pop(0)
            if "split_feature" in node:
                stack += [node["left_child"], node["right_child"]]
                if node["decision_type"] == "<=":
                    out.append((node["split_feature"], float(node["threshold"])))
    return out[:24]


def rows_for(booster, x, count=40):
    rng = np.random.default_rng(7)
    rows = [x[i].copy() for i in range(8)]
    for feature, threshold in thresholds(booster):
        for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
            if rng.random() < 0.4 and len(rows) < count:
                row = x[rng.integers(0, len(x))].copy()
                row[feature] = value
                rows.append(row)
    zero = float(np.float32(1e-35))
    for value in (NAN, 0.0, -0.0, zero, -zero, np.nextafter(zero, 1), np.nextafter(-zero, -1), 5e-324, 1.7e308, -1.7e308,
                  math.inf, -math.inf, 1.0, -1.0):
        rows.append(np.full(x.shape[1], value))
    return np.array(rows)


def write(name, booster, rows, **more):
    if len(sys.argv) > 2 and name not in sys.argv[2:]:
        return
    folder = pathlib.Path(sys.argv[1]) / f"{lgb.__version__}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    text = booster.model_to_string()
    (folder / "model.txt").write_text(text)
    expected = {"library": f"lightgbm {lgb.__version__}", "what": "predict", "tolerance": 2e-16, "rows": listed(rows),
                "scores": listed(booster.predict(rows)), "raw": listed(booster.predict(rows, raw_score=True))}
    expected.update(more)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(folder.name, len(text), "bytes,", len(rows), "rows")


def train(x, y, rounds=4, categorical="auto", **parameters):
    options = dict(objective="binary", num_leaves=6, learning_rate=0.3, min_data_in_leaf=5, verbose=-1, num_threads=1,
                   seed=1, deterministic=True)
    options.update(parameters)
    return lgb.train(options, lgb.Dataset(x, label=y, categorical_feature=categorical), rounds)


def main():
    x, y = data(1)
    binary = train(x, y, sigmoid=1.5, scale_pos_weight=2.0)
    write("binary", binary, rows_for(binary, x))
    x, y = data(2, missing=0, zeros=0.2)
    zero = train(x, y, zero_as_missing=True)
    write("zero", zero, rows_for(zero, x))
    plain = train(x, y, use_missing=False, boosting="dart", drop_rate=0.5)
    write("none-dart", plain, rows_for(plain, x))
    x, y = data(3, classes=3)
    multi = train(x, y, rounds=3, objective="multiclass", num_class=3, num_leaves=4)
    write("multi", multi, rows_for(multi, x, 20))
    ova = train(x, y, rounds=2, objective="multiclassova", num_class=3, num_leaves=4, sigmoid=0.7)
    write("ova", ova, rows_for(ova, x, 20))
    x, y = data(4)
    forest = train(x, y, rounds=5, boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    write("forest", forest, rows_for(forest, x), tolerance=4e-16)
    entropy = train(x, np.clip(y + 0.1, 0, 1), objective="cross_entropy")
    write("entropy", entropy, rows_for(entropy, x, 20))

    # Some categories, split one against the rest, and many, split set against set.
    rng = np.random.default_rng(5)
    x = np.column_stack([rng.integers(0, 3, 600), rng.integers(0, 70, 600), rng.normal(size=600),
                         rng.integers(0, 7, 600), rng.normal(size=600)]).astype(float)
    y = ((x[:, 0] == 1) ^ np.isin(x[:, 1], rng.permutation(70)[:30]) ^ (x[:, 2] > 0.3)).astype(int)
    x[rng.random(x.shape) < 0.05] = NAN
    category = train(x, y, rounds=3, categorical=[0, 1, 3], num_leaves=8, min_data_per_group=5, cat_smooth=1,
                     min_data_in_leaf=3)
    rows = [x[i].copy() for i in range(10)]
    for column, values in ((0, 3), (1, 70), (3, 7)):
        for value in list(range(0, values, 2)) + [NAN, -1.0, -0.5, -0.999, -0.0, 0.5, values - 0.5, values, 1000, 2147483647.0,
                                                  2147483648.0, -3e9, 1e300, math.inf, -math.inf]:
            row = x[rng.integers(0, len(x))].copy()
            row[column] = value
            rows.append(row)
    write("categories", category, np.array(rows))

    x, y = data(6)
    constant = train(x, np.arange(300) % 2, rounds=2, min_data_in_leaf=200)
    write("constant", constant, rows_for(constant, x, 10)[:8])
    if int(lgb.__version__.split(".")[0]) >= 4:
        import pandas
        rng = np.random.default_rng(10)
        frame = pandas.DataFrame({
            "protocol": pandas.Categorical(rng.choice(["tcp", "udp", "icmp"], 300), categories=["udp", "tcp", "icmp"]),
            "bytes in": rng.normal(size=300),
            "port": pandas.Categorical(rng.choice([22, 53, 80], 300), categories=[80, 53, 22]),
        })
        y = ((frame["protocol"] == "udp") ^ (frame["bytes in"] > 0) ^ (frame["port"] == 22)).astype(int)
        named = train(frame, y, rounds=3)
        rows = np.column_stack([frame["protocol"].cat.codes, frame["bytes in"], frame["port"].cat.codes]).astype(float)[:20]
        write("vocabulary", named, rows, scores=listed(named.predict(frame.iloc[:20])),
              raw=listed(named.predict(frame.iloc[:20], raw_score=True)),
              vocabularies=[["udp", "tcp", "icmp"], [], ["80", "53", "22"]])
        x, y = data(7, missing=0)
        linear = train(x, y, linear_tree=True)
        folder = pathlib.Path(sys.argv[1]) / f"{lgb.__version__}-linear-refused"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(linear.model_to_string())


main()
