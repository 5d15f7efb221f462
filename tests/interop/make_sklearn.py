"""What scikit-learn says of rows, and the pickles of the estimators that say it: fixtures of src/interop/sklearn_test.cc.

    tests/interop/requirements-sklearn-{0.23,0.24,1.2,1.9}.txt; 0.23 needs Python 3.8, 0.24 Python 3.9.
    python tests/interop/make_sklearn.py [NAME…]

Writes tests/interop/sklearn/NAME-VERSION/{model.pkl,expected.json}. Data are seeded, models small.
"""
import json, pickle, sys, warnings
from pathlib import Path

import joblib
import numpy as np
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import *
try:
    from sklearn.experimental import enable_hist_gradient_boosting  # noqa: needed by 0.24
    from sklearn.ensemble import HistGradientBoostingClassifier
except ImportError:
    from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import *
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

warnings.simplefilter("ignore")
out = Path(__file__).parent / "sklearn"
version = ".".join(sklearn.__version__.split(".")[:2])
number = tuple(map(int, version.split(".")))
new, before_1, first = number >= (1, 3), number < (1, 0), number < (0, 24)  # 0.23 lacks some options
random = np.random.default_rng(7)
N, F = 240, 5
X = random.normal(size=(N, F)) * [1, 10, 100, 1e-3, 5] + [0, 5, -20, 0, 1]
X[:, 4] = np.round(X[:, 4])
y2 = (X[:, 0] + X[:, 1] / 10 + random.normal(size=N) * 0.5 > 0.6).astype(int)
y3 = np.digitize(X[:, 0] + X[:, 4] / 5, [-0.3, 0.6])
names3 = np.array(["BENIGN", "DoS", "Probe"])[y3]
labels2 = np.array(["attack", "benign"], dtype=object)[y2]
weird = X.copy()
weird[::7, 1] = np.nan
weird[::11, 3] = np.nan
codes = np.column_stack([random.integers(0, 4, N), random.integers(0, 3, N)]).astype(float)
mixed = np.column_stack([X[:, :2], codes])


def numbers(array):
    def one(x):
        x = float(x)
        return "nan" if x != x else "inf" if x == float("inf") else "-inf" if x == float("-inf") else x
    return [[one(x) for x in row] for row in np.asarray(array, dtype=float)]


def edges(base, thresholds, floats=True):
    """Rows that stand exactly on thresholds and beside them, each (column, value)."""
    rows = []
    for column, value in thresholds[:9]:
        for x in ([np.float32(value)] if floats else [value]):
            near = [x, np.nextafter(x, x.dtype.type(-np.inf)), np.nextafter(x, x.dtype.type(np.inf))]
            for z in near:
                row = base.copy()
                row[column] = z
                rows.append(row)
    return rows


def thresholds_of(model):
    found = []
    for estimator in np.ravel(getattr(model, "estimators_", [model])):
        tree = getattr(estimator, "tree_", None)
        if tree is None:
            continue
        for i in range(tree.node_count):
            if tree.children_left[i] >= 0:
                found.append((int(tree.feature[i]), np.float64(tree.threshold[i])))
    random.shuffle(found)
    return found


def rows_for(data, thresholds=(), nan=False, inf=False, floats=True):
    base = np.nan_to_num(data[3].copy())
    rows = [data[i] for i in range(12)] + [np.zeros(data.shape[1]), np.full(data.shape[1], -0.0), base * 1e6, base * -1e6,
                                          base * 1e-300, np.full(data.shape[1], 1e30)]
    rows += edges(base, list(thresholds), floats)
    if nan:
        rows.append(np.full(data.shape[1], np.nan))
        for i in range(data.shape[1]):
            row = base.copy(); row[i] = np.nan; rows.append(row)
    if inf:
        for sign in (np.inf, -np.inf):
            row = base.copy(); row[0] = sign; rows.append(row)
    rows = np.array(rows, dtype=float)
    return rows if nan else np.nan_to_num(rows, nan=1.0, posinf=np.inf, neginf=-np.inf)


def scores_of(model, rows, how):
    if how == "predict_proba":
        p = model.predict_proba(rows)
        return p[:, 1:2] if p.shape[1] == 2 else p
    if how == "decision_function":
        d = model.decision_function(rows)
        return d.reshape(-1, 1) if d.ndim == 1 else d
    if how == "transform":
        t = model.transform(rows)
        return t.toarray() if hasattr(t, "toarray") else t
    if how == "-score_samples":
        return -model.score_samples(rows).reshape(-1, 1)
    if how == "votes":
        names = list(model.classes_)
        total = np.zeros((len(rows), len(names)))
        for estimator, weight in zip(model.estimators_, model.weights or [1] * len(model.estimators_)):
            for i, k in enumerate(estimator.predict(rows)):
                total[i, int(k)] += weight
        total /= total.sum(axis=1, keepdims=True)
        return total[:, 1:2] if len(names) == 2 else total


wanted = sys.argv[1:]


def fixture(name, model, rows, how="predict_proba", tolerance=1e-12, wrap=None, dump=None, extra=None):
    if wanted and not any(w in name for w in wanted):
        return
    folder = out / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    content = wrap or model
    if dump:
        dump(content, folder / "model.pkl")
    else:
        (folder / "model.pkl").write_bytes(pickle.dumps(content, 4))
    scores = scores_of(model, rows, how)
    expected = {"library": f"scikit-learn {sklearn.__version__}", "what": f"{type(model).__name__}.{how}",
                "tolerance": tolerance, "rows": numbers(rows), "scores": numbers(scores)}
    expected.update(extra or {})
    (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


def joblib_with(compress):
    return lambda value, path: joblib.dump(value, path, compress=compress)


# Trees
m = RandomForestClassifier(5, max_depth=4, random_state=1).fit(X, y2)
fixture("forest", m, rows_for(X, thresholds_of(m)), tolerance=0)
m = RandomForestClassifier(4, max_depth=5, random_state=1, class_weight="balanced").fit(X, names3)
fixture("forest3", m, rows_for(X, thresholds_of(m)), tolerance=0, dump=joblib_with(("zlib", 3)))
if new:
    m = RandomForestClassifier(4, max_depth=4, random_state=1).fit(weird, labels2)
    fixture("forest-missing", m, rows_for(weird, thresholds_of(m), nan=True), tolerance=0)
m = ExtraTreesClassifier(4, max_depth=5, random_state=2).fit(X, y3)
fixture("extra-trees", m, rows_for(X, thresholds_of(m)), tolerance=0, dump=joblib_with(0))
m = DecisionTreeClassifier(max_leaf_nodes=9, random_state=2).fit(X, labels2)
fixture("tree", m, rows_for(X, thresholds_of(m)), tolerance=0)
m = IsolationForest(n_estimators=6, max_samples=64, random_state=3, contamination=0.1).fit(X)
fixture("isolation", m, rows_for(X, thresholds_of(m)), "-score_samples", extra={"threshold": float(-m.offset_)})
m = IsolationForest(n_estimators=6, max_samples=32, max_features=3, random_state=3).fit(X)
fixture("isolation-features", m, rows_for(X, thresholds_of(m)), "-score_samples")
m = GradientBoostingClassifier(n_estimators=6, random_state=4).fit(X, y2)
fixture("boosting", m, rows_for(X, thresholds_of(m)))
m = GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=4).fit(X, names3)
fixture("boosting3", m, rows_for(X, thresholds_of(m)), dump=joblib_with(0))
m = GradientBoostingClassifier(n_estimators=5, max_depth=2, loss="exponential", random_state=4).fit(X, y2)
fixture("boosting-exponential", m, rows_for(X))


def hist_thresholds(m):
    field = "threshold" if first else "num_threshold"
    return [(int(n["feature_idx"]), np.float64(n[field])) for trees in m._predictors for t in trees
            for n in t.nodes if not n["is_leaf"]]


m = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8, random_state=5).fit(weird, y2)
fixture("hist", m, rows_for(weird, hist_thresholds(m), nan=True, inf=True, floats=False))
m = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, random_state=5).fit(weird, names3)
fixture("hist3", m, rows_for(weird, hist_thresholds(m), nan=True, floats=False))
grid = np.array([[a, b, c, d] for a in (0.0, 1.0) for b in (3.0,) for c in (0, 1, 2, 3, 4, 200, -1, np.nan) for d in (0, 1, 2, 7, np.nan)])
if not before_1:
    hard = ((codes[:, 0] == 2) | (codes[:, 1] == 1)).astype(int)
    m = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, min_samples_leaf=5, random_state=5,
                                       categorical_features=[2, 3]).fit(mixed, hard)
    fixture("hist-categories", m, grid)

# Networks and linear models
m = MLPClassifier((6, 4), max_iter=40, random_state=6).fit(StandardScaler().fit_transform(X), y2)
fixture("perceptron", m, rows_for(X / 100)[:17], tolerance=1e-12)
m = MLPClassifier((5,), activation="tanh", max_iter=30, random_state=6).fit(StandardScaler().fit_transform(X), names3)
fixture("perceptron3", m, rows_for(X / 100)[:17])
Z = StandardScaler().fit_transform(X)
m = LogisticRegression().fit(Z, y2)
fixture("logistic", m, rows_for(Z)[:17])
m = LogisticRegression(max_iter=200).fit(Z, names3)
fixture("logistic3", m, rows_for(Z)[:17])
m = LogisticRegression(solver="liblinear").fit(Z, y2)
fixture("logistic-liblinear", m, rows_for(Z)[:17])
m = LinearSVC(random_state=1).fit(Z, y2)
fixture("linear-svc", m, rows_for(Z)[:17], "decision_function", tolerance=1e-9)
m = SGDClassifier(random_state=1).fit(Z, y3)
fixture("sgd3", m, rows_for(Z)[:17], "decision_function", tolerance=1e-7)
m = SGDClassifier(loss="log" if before_1 else "log_loss", random_state=1).fit(Z, y2)
fixture("sgd-log", m, rows_for(Z)[:17])

# Transforms
for name, m in [("standard", StandardScaler()), ("standard-mean", StandardScaler(with_std=False)),
                ("standard-scale", StandardScaler(with_mean=False)), ("min-max", MinMaxScaler((-1, 2))),
                ("max-abs", MaxAbsScaler()), ("robust", RobustScaler())] + ([] if first else [("min-max-clip", MinMaxScaler(clip=True))]):
    m.fit(weird)
    fixture(name, m, rows_for(weird, nan=True), "transform", tolerance=0)
for norm in ("l1", "l2", "max"):
    fixture("normalizer-" + norm, Normalizer(norm=norm).fit(X), rows_for(X)[:17], "transform", tolerance=1e-15)
fixture("power", PowerTransformer().fit(X), rows_for(X)[:14], "transform", tolerance=1e-10)
fixture("power-box-cox", PowerTransformer("box-cox", standardize=False).fit(np.abs(X) + 1), np.abs(rows_for(X)[:12]) + 1, "transform", tolerance=1e-8)
coarse = np.round(X, 1)
fixture("quantile", QuantileTransformer(n_quantiles=20, random_state=0).fit(coarse), rows_for(coarse), "transform", tolerance=1e-14)
fixture("quantile-normal", QuantileTransformer(n_quantiles=20, output_distribution="normal", random_state=0).fit(coarse), rows_for(coarse), "transform")
fixture("pca", PCA(3, random_state=0).fit(X), rows_for(X)[:14], "transform", tolerance=1e-10)
fixture("pca-whiten", PCA(2, whiten=True, random_state=0).fit(X), rows_for(X)[:14], "transform", tolerance=1e-10)
fixture("k-best", SelectKBest(k=2).fit(X, y2), rows_for(X)[:17], "transform", tolerance=0)
constant = np.column_stack([X[:, :2], np.ones(N)])
fixture("variance", VarianceThreshold().fit(constant), constant[:6], "transform", tolerance=0)
for strategy in ("mean", "median") if before_1 else ("mean", "median", "most_frequent"):
    fixture("imputer-" + strategy.replace("_", "-"), SimpleImputer(strategy=strategy).fit(weird), rows_for(weird, nan=True), "transform", tolerance=0)
seen = codes[:50]
fixture("one-hot", OneHotEncoder(handle_unknown="ignore").fit(seen), np.array([[0, 0], [3, 2], [9, 1], [2, 0.5]], float), "transform", tolerance=0)
fixture("one-hot-drop", OneHotEncoder(drop="first").fit(codes), codes[:9], "transform", tolerance=0)
if first:
    fixture("ordinal", OrdinalEncoder().fit(codes * 2), codes[:9] * 2, "transform", tolerance=0)
else:
    fixture("ordinal", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(codes * 2), np.array([[0, 0], [6, 4], [3, 2], [2, 9]], float), "transform", tolerance=0)

# Together
m = make_pipeline(StandardScaler(), RandomForestClassifier(4, max_depth=4, random_state=1)).fit(X, y2)
fixture("pipeline", m, rows_for(X), tolerance=0)
m = make_pipeline(SimpleImputer(), PowerTransformer(), PCA(3, random_state=0), LogisticRegression()).fit(weird, y2)
fixture("pipeline-long", m, rows_for(weird, nan=True)[:14], tolerance=1e-10)
m = make_pipeline(ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("codes", OneHotEncoder(handle_unknown="ignore"), slice(2, 4))]),
                  GradientBoostingClassifier(n_estimators=4, random_state=1)).fit(mixed, y2)
fixture("pipeline-columns", m, np.vstack([mixed[:20], grid[~np.isnan(grid).any(axis=1)]]))
m = ColumnTransformer([("a", MinMaxScaler(), [1]), ("b", "drop", [0])], remainder="passthrough").fit(mixed)
fixture("columns", m, mixed[:12], "transform", tolerance=0)
voters = lambda: [("a", RandomForestClassifier(3, max_depth=3, random_state=1)), ("b", DecisionTreeClassifier(max_depth=3)), ("c", LogisticRegression(max_iter=500))]
fixture("voting", VotingClassifier(voters(), voting="soft", weights=[2, 1, 1]).fit(Z, y2), rows_for(Z)[:17])
fixture("voting-hard", VotingClassifier(voters(), weights=[1, 1, 3]).fit(Z, y3), rows_for(Z)[:17], "votes")
fixture("stacking", StackingClassifier(voters()[:2], LogisticRegression()).fit(Z, y2), rows_for(Z)[:17])
fixture("stacking3", StackingClassifier(voters()[1:], LogisticRegression(), passthrough=True).fit(Z, y3), rows_for(Z)[:17], tolerance=1e-11)
fixture("ada", AdaBoostClassifier(n_estimators=5, random_state=1, **({} if new else {"algorithm": "SAMME"})).fit(X, y2), rows_for(X))
fixture("ada3", AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=4, random_state=1, **({} if new else {"algorithm": "SAMME"})).fit(X, names3), rows_for(X))
if not new:
    fixture("ada-r", AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=4, random_state=1).fit(X, y3), rows_for(X))
    fixture("ada-r2", AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=4, random_state=1).fit(X, y2), rows_for(X))
for method in ("sigmoid", "isotonic"):
    for ensemble in (True,) if first else (True, False):
        m = CalibratedClassifierCV(RandomForestClassifier(3, max_depth=3, random_state=1), method=method, cv=2,
                                   **({} if first else {"ensemble": ensemble}))
        fixture(f"calibrated-{method}{'' if ensemble else '-one'}", m.fit(X, y2), rows_for(X)[:17])
m = CalibratedClassifierCV(LinearSVC(random_state=1), cv=2).fit(Z, y3)
fixture("calibrated-svc3", m, rows_for(Z)[:17])
fixture("bayes", GaussianNB().fit(Z, y3), rows_for(Z)[:17], tolerance=1e-11)
fixture("svc", SVC(random_state=1).fit(Z, y2), rows_for(Z)[:17], "decision_function", tolerance=1e-11)
fixture("svc3", SVC(random_state=1).fit(Z[:120], y3[:120]), rows_for(Z)[:17], "decision_function", tolerance=1e-11)
fixture("svc-probability", SVC(probability=True, random_state=1).fit(Z[:100], y2[:100]), rows_for(Z)[:17], tolerance=1e-9)
fixture("svc3-probability", SVC(probability=True, random_state=1).fit(Z[:100], y3[:100]), rows_for(Z)[:17], tolerance=1e-7)

# Bundles and plain values
bundle = {"model": RandomForestClassifier(2, max_depth=3, random_state=1).fit(Z, y2), "scaler": StandardScaler().fit(X),
          "feature_names": [" Flow Duration", "b", "c", "d", "e"], "threshold": 0.4, "encoder": LabelEncoder().fit(names3)}
fixture("bundle", bundle["model"], rows_for(Z), tolerance=0, wrap=bundle, dump=joblib_with(0))
