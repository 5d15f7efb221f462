"""What the Python classes of XGBoost and LightGBM say of rows, and their pickles: fixtures of src/interop/sklearn_test.cc.

Run once for each version under tests/interop/requirements-boosters.txt, in an environment that has one library or both:

    python tests/interop/make_wrappers.py

Writes tests/interop/sklearn/{xgb,lgb}-NAME-VERSION/{model.pkl,expected.json}: classifiers, boosters, and classifiers behind
a scaler, as pickles and joblib files. Data are seeded.
"""
import importlib.metadata
import json
import pickle
import warnings
from pathlib import Path

import joblib
import numpy as np
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from listing import listed

warnings.simplefilter("ignore")
out = Path(__file__).parent / "sklearn"
random = np.random.default_rng(8)
X = random.normal(size=(300, 4)) * [1, 10, 1e3, 1e-2]
X[:, 3] = np.round(X[:, 3], 3)
y = (X[:, 0] + X[:, 1] / 10 + random.normal(size=300) * 0.4 > 0).astype(int)
y3 = np.digitize(X[:, 0], [-0.5, 0.5])
holes = X.copy()
holes[random.random(X.shape) < 0.1] = np.nan
names3 = np.array(["BENIGN", "DoS", "Probe"])[y3]


def rows_for(thresholds, sentinel=None):
    """Of the data, on thresholds and beside them, and extremes."""
    rows = [holes[i] for i in range(10)]
    for column, threshold in thresholds[:12]:
        for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
            row = X[len(rows)].copy()
            row[column] = value
            rows.append(row)
    rows += [np.full(4, value) for value in (np.nan, 0.0, -0.0, 1e-36, 3e38, -3e38)]
    if sentinel is not None:
        rows += [np.full(4, float(sentinel)), np.array([sentinel, 0, 1, sentinel], float)]
    return np.array(rows, dtype=float)


def write(name, version, library, what, model, rows, scores, tolerance, packed=None):
    folder = out / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    if packed is None:
        (folder / "model.pkl").write_bytes(pickle.dumps(model, 4))
    else:
        joblib.dump(model, folder / "model.pkl", compress=packed)
    scores = np.asarray(scores, dtype=float)
    scores = scores.reshape(-1, 1) if scores.ndim == 1 else scores[:, 1:] if scores.shape[1] == 2 else scores
    (folder / "expected.json").write_text(json.dumps({
        "library": library, "what": what, "tolerance": tolerance, "rows": listed(rows),
        "scores": listed(scores)}, separators=(",", ":")) + "\n")
    print(folder.name, (folder / "model.pkl").stat().st_size)


def xgboost_fixtures():
    import xgboost

    parts = tuple(int(part) for part in xgboost.__version__.split(".")[:2])
    version = "{}.{}".format(*parts)
    library = f"XGBoost {version}"

    def thresholds(booster):
        found = []
        for tree in booster.get_dump(dump_format="json"):
            open_nodes = [json.loads(tree)]
            while open_nodes:
                node = open_nodes.pop()
                if "children" in node:
                    open_nodes += node["children"]
                    found.append((int(str(node["split"]).lstrip("f")), float(np.float32(node["split_condition"]))))
        return found

    def classifier(**options):
        if parts < (1, 6):
            options["use_label_encoder"] = False if parts >= (1, 3) else None
        options = {key: value for key, value in options.items() if value is not None}
        return xgboost.XGBClassifier(n_jobs=1, random_state=1, **options)

    m = classifier(n_estimators=5, max_depth=3).fit(holes, y)
    rows = rows_for(thresholds(m.get_booster()))
    write("xgb-classifier", version, library, "XGBClassifier.predict_proba", m, rows, m.predict_proba(rows), 3e-7)
    booster = m.get_booster()
    write("xgb-booster", version, library, "Booster.predict", booster, rows, booster.predict(xgboost.DMatrix(rows)), 3e-7, packed=("gzip", 3))
    filled = np.nan_to_num(holes, nan=-1.0)
    m = classifier(n_estimators=4, max_depth=2, missing=-1.0).fit(filled, y3)
    rows = np.nan_to_num(rows_for(thresholds(m.get_booster()), sentinel=-1), nan=-1.0)
    write("xgb-sentinel", version, library, "XGBClassifier.predict_proba", m, rows, m.predict_proba(rows), 3e-7, packed=0)
    # The best round is before the last one.
    noise = random.integers(0, 2, 100)
    stop = {"early_stopping_rounds": 4, "eval_metric": "logloss"}
    if parts >= (1, 6):
        m = classifier(n_estimators=30, max_depth=4, learning_rate=0.8, **stop).fit(X[:200], y[:200], eval_set=[(X[200:], noise)], verbose=False)
    else:
        m = classifier(n_estimators=30, max_depth=4, learning_rate=0.8).fit(X[:200], y[:200], eval_set=[(X[200:], noise)], verbose=False, **stop)
    best = m.get_booster().best_iteration
    assert best + 1 < len(m.get_booster().get_dump()), best
    rows = rows_for(thresholds(m.get_booster()))
    write("xgb-early", version, library, "XGBClassifier.predict_proba", m, rows, m.predict_proba(rows), 3e-7, packed=("zlib", 3))
    m = classifier(n_estimators=6, max_depth=2, booster="dart", rate_drop=0.5).fit(X, y)
    rows = rows_for(thresholds(m.get_booster()))
    write("xgb-dart", version, library, "XGBClassifier.predict_proba", m, rows, m.predict_proba(rows), 3e-7)
    m = make_pipeline(StandardScaler(), classifier(n_estimators=3, max_depth=3)).fit(X, y)
    rows = np.nan_to_num(rows_for([]), nan=1.0)
    write("xgb-pipeline", version, f"scikit-learn {sklearn.__version__} Pipeline of StandardScaler, XGBClassifier", "Pipeline.predict_proba", m, rows, m.predict_proba(rows), 3e-7)


def lightgbm_fixtures():
    import lightgbm

    version = ".".join(lightgbm.__version__.split(".")[:2])

    def thresholds(booster):
        found = []
        for tree in booster.dump_model()["tree_info"]:
            open_nodes = [tree["tree_structure"]]
            while open_nodes:
                node = open_nodes.pop()
                if "split_feature" in node:
                    open_nodes += [node["left_child"], node["right_child"]]
                    found.append((node["split_feature"], float(node["threshold"])))
        return found

    m = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=6, min_child_samples=5, verbose=-1, n_jobs=1).fit(holes, y)
    rows = rows_for(thresholds(m.booster_))
    write("lgb-classifier", version, "LightGBM", "LGBMClassifier.predict_proba", m, rows, m.predict_proba(rows), 1e-15)
    write("lgb-booster", version, "LightGBM", "Booster.predict", m.booster_, rows, m.booster_.predict(rows), 1e-15, packed=("xz", 3))
    m = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, min_child_samples=5, verbose=-1, n_jobs=1).fit(holes, names3)
    rows = rows_for(thresholds(m.booster_))
    write("lgb-classes", version, "LightGBM", "LGBMClassifier.predict_proba", m, rows, m.predict_proba(rows), 1e-15, packed=("bz2", 3))
    m = make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1)).fit(X, y)
    rows = np.nan_to_num(rows_for([]), nan=1.0)
    write("lgb-pipeline", version, f"scikit-learn {sklearn.__version__} Pipeline of StandardScaler, LGBMClassifier", "Pipeline.predict_proba", m, rows, m.predict_proba(rows), 1e-15)


for library, make in (("xgboost", xgboost_fixtures), ("lightgbm", lightgbm_fixtures)):
    try:
        importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        print("left out:", library)
    else:
        make()
