#!/usr/bin/env python3
"""Makes the fixtures of tests/interop/catboost with one version of the real library.

    python tests/interop/make_catboost.py tests/interop/catboost [NAME...]

Every folder gets the JSON model as the library wrote it, without the diary of its training, and expected.json:
rows, the probabilities (scores) and the raw values, which a reader must match to the last bit.
"""
import json
import math
import pathlib
import sys

import catboost
import numpy as np

from listing import listed

FEATURES = 5
NAN = float("nan")


def data(seed, classes=2, missing=0.1):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(300, FEATURES)) * np.array([1, 10, 1e6, 1e-3, 3])).astype(np.float32).astype(float)
    signal = x[:, 0] + 0.1 * x[:, 1] + rng.normal(size=300) * 0.5
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))
    x[rng.random(x.shape) < missing] = NAN
    return x, y


def rows_for(model, x, count=40):
    rng = np.random.default_rng(7)
    rows = [x[i].copy() for i in range(8)]
    inf = np.float32(math.inf)
    for feature, borders in enumerate(model.get_borders().values()):
        for border in borders:
            border = np.float32(border)
            for value in (border, np.nextafter(border, inf), np.nextafter(border, -inf),
                          np.nextafter(float(border), math.inf)):
                if rng.random() < 0.4 and len(rows) < count:
                    row = x[rng.integers(0, len(x))].copy()
                    row[feature] = float(value)
                    rows.append(row)
    for value in (NAN, 0.0, -0.0, 1e-45, 3.4e38, -3.4e38, math.inf, -math.inf):
        rows.append(np.full(x.shape[1], value))
    return np.array(rows)


def write(name, model, rows, **more):
    if len(sys.argv) > 2 and name not in sys.argv[2:]:
        return
    folder = pathlib.Path(sys.argv[1]) / f"{catboost.__version__}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.json"
    model.save_model(str(path), format="json")
    written = json.loads(path.read_text())
    for diary in ("output_options", "training"):
        written["model_info"].pop(diary, None)
    written["model_info"]["params"] = {key: written["model_info"]["params"][key]
                                       for key in ("loss_function", "data_processing_options")}
    path.write_text(json.dumps(written))
    scores = model.predict(rows, prediction_type="Probability")
    if scores.shape[1] == 2:
        scores = scores[:, 1]
    expected = {"library": f"catboost {catboost.__version__}", "what": "predict_proba", "tolerance": 1e-15,
                "rows": listed(rows), "scores": listed(scores),
                "raw": listed(model.predict(rows, prediction_type="RawFormulaVal"))}
    expected.update(more)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(folder.name, path.stat().st_size, "bytes,", len(rows), "rows")


def train(x, y, **parameters):
    options = dict(iterations=5, depth=3, learning_rate=0.4, random_seed=1, thread_count=1, verbose=False,
                   border_count=12, allow_writing_files=False, loss_function="Logloss")
    options.update(parameters)
    return catboost.CatBoostClassifier(**options).fit(x, y)


def main():
    x, y = data(1)
    write("binary", *(lambda model: (model, rows_for(model, x)))(train(x, y)))
    largest = train(x, y, nan_mode="Max")
    write("nan-max", largest, rows_for(largest, x))
    full, labels = data(2, missing=0)
    forbidden = train(full, labels, nan_mode="Forbidden")
    write("forbidden", forbidden, rows_for(forbidden, full)[:30][~np.isnan(rows_for(forbidden, full)[:30]).any(axis=1)])
    for name, policy in (("lossguide", "Lossguide"), ("depthwise", "Depthwise")):
        x, y = data(3)
        grown = train(x, np.array(["benign", "attack"])[y], grow_policy=policy)
        write(name, grown, rows_for(grown, x), classes=["attack", "benign"])
    x, y = data(4, classes=3)
    multi = train(x, np.array(["dos", "normal", "probe"])[y], loss_function="MultiClass", iterations=3)
    write("multi", multi, rows_for(multi, x, 20), classes=["dos", "normal", "probe"])
    multi = train(x, y, loss_function="MultiClass", iterations=3, grow_policy="Lossguide", max_leaves=5)
    write("multi-lossguide", multi, rows_for(multi, x, 20))
    ova = train(x, y, loss_function="MultiClassOneVsAll", iterations=3)
    write("ova", ova, rows_for(ova, x, 20))
    entropy = train(x, (y > 1) * 1, loss_function="CrossEntropy", iterations=3)
    write("entropy", entropy, rows_for(entropy, x, 20))
    scaled = train(x, (y > 1) * 1, iterations=3)
    scaled.set_scale_and_bias(0.3, 0.7)
    write("scaled", scaled, rows_for(scaled, x, 20))
    import pandas
    named = train(pandas.DataFrame(x, columns=[f"column {i}" for i in range(FEATURES)]), (y > 1) * 1, iterations=2)
    write("names", named, rows_for(named, x, 10))
    if len(sys.argv) < 3 or "category-refused" in sys.argv[2:]:
        folder = pathlib.Path(sys.argv[1]) / f"{catboost.__version__}-category-refused"
        folder.mkdir(parents=True, exist_ok=True)
        mixed = pandas.DataFrame({"a": x[:, 0], "b": np.where(x[:, 1] > 0, "tcp", "udp")})
        model = catboost.CatBoostClassifier(iterations=3, depth=2, verbose=False, allow_writing_files=False, one_hot_max_size=1)
        model.fit(mixed, (x[:, 1] > 0) * 1, cat_features=[1])
        model.save_model(str(folder / "model.json"), format="json", pool=catboost.Pool(mixed, cat_features=[1]))


main()
