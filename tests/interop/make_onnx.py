#!/usr/bin/env python3
"""Makes tests/interop/onnx: models written by converters, and what ONNX Runtime says of some rows.

    python3 -m venv v && v/bin/pip install -r tests/interop/onnx-requirements.txt
    v/bin/python tests/interop/make_onnx.py tests/interop/onnx           # writes
    w/bin/python tests/interop/make_onnx.py --check tests/interop/onnx   # another ONNX Runtime, same scores?

Data is drawn from a seed; one thread, so that sums have one order.
"""
import json, math, pathlib, sys
import numpy as np
import onnxruntime as rt

OUT = pathlib.Path(sys.argv[-1])
rt.set_default_logger_severity(4)


def spelled(value):
    value = float(value)
    if math.isnan(value):
        return "nan"
    return "inf" if value == math.inf else "-inf" if value == -math.inf else value


def session(blob):
    options = rt.SessionOptions()
    options.intra_op_num_threads = 1
    return rt.InferenceSession(blob, options, providers=["CPUExecutionProvider"])


def feeds(run, rows):
    """The row spread over the inputs of the graph, in their order."""
    out, at = {}, 0
    for port in run.get_inputs():
        dims = [d if isinstance(d, int) and d > 0 else 1 for d in port.shape[1:]] or [1]
        if len(port.shape) == 2 and not isinstance(port.shape[1], int):
            dims = [rows.shape[1]]
        width = int(np.prod(dims))
        part = rows[:, at:at + width]
        at += width
        kind = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}[port.type]
        out[port.name] = part.astype(kind).reshape([len(rows)] + dims)
    return out


def score(blob, rows, how):
    """Row by row: models of batches of one are judged too."""
    run = session(blob)
    scores = []
    for i in range(len(rows)):
        outputs = run.run(None, feeds(run, rows[i:i + 1]))
        value = how(dict(zip([o.name for o in run.get_outputs()], outputs)), outputs)
        scores.append(np.asarray(value, dtype=np.float64).reshape(-1))
    return np.array(scores)


def of_map(outputs, index):
    first = outputs[index]
    if isinstance(first, list):
        first = np.array([[row[k] for k in row] for row in first])
    return np.asarray(first)


HOW = {
    "binary": lambda named, all: of_map(all, 1)[:, 1],
    "classes": lambda named, all: of_map(all, 1),
    "columns": lambda named, all: np.stack([np.asarray(a).reshape(-1) for a in all[1:]], axis=1),
    "columns binary": lambda named, all: np.asarray(all[2]).reshape(-1),
    "margin": lambda named, all: np.asarray(all[1]).reshape(-1)[-1],
    "outlier": lambda named, all: -np.asarray(all[1]).reshape(-1),
    "only": lambda named, all: np.asarray(all[0]),
    "only second": lambda named, all: np.asarray(all[0]).reshape(-1)[1],
}


def write(name, model, rows, how, tolerance, what, library):
    blob = model if isinstance(model, bytes) else model.SerializeToString()
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(blob)
    scores = score(blob, rows, HOW[how])
    (folder / "expected.json").write_text(json.dumps({
        "library": f"onnxruntime {rt.__version__}, model by {library}", "what": what, "how": how,
        "tolerance": tolerance, "rows": [[spelled(x) for x in row] for row in rows],
        "scores": [[spelled(x) for x in row] for row in scores]}, separators=(",", ":")) + "\n")
    print(f"{name:28} {len(blob):8,} bytes, {len(rows)} rows, {scores.shape[1]} scores")


def check():
    worst = {}
    for folder in sorted(OUT.iterdir()):
        expected = json.loads((folder / "expected.json").read_text())
        rows = np.array([[float(x) for x in row] for row in expected["rows"]])
        try:
            scores = score((folder / "model.onnx").read_bytes(), rows, HOW[expected["how"]])
        except Exception as error:  # an operator set or option this version does not know
            print(f"{folder.name:28} skipped: {str(error)[:90]}")
            continue
        wanted = np.array([[float(x) for x in row] for row in expected["scores"]])
        same_kind = np.isnan(scores) == np.isnan(wanted)
        gap = np.nanmax(np.abs(np.where(np.isfinite(wanted) & np.isfinite(scores), scores - wanted, 0)))
        worst[folder.name] = gap
        print(f"{folder.name:28} {gap:.2e}{'' if same_kind.all() else '  NaN in other places'}")
    print(f"onnxruntime {rt.__version__}: worst {max(worst.values()):.2e} over {len(worst)} models")


if sys.argv[1] == "--check":
    check()
    sys.exit()

import onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh
import skl2onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import *
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import *
from sklearn.svm import LinearSVC

random = np.random.default_rng(20240404)
COLUMNS = 6
X = (random.normal(size=(300, COLUMNS)) * [1, 10, 100, 1, 0.01, 5]).astype(np.float32)
X[:, 5] = np.floor(np.abs(X[:, 5]))
signal = X[:, 0] + X[:, 1] * X[:, 3] / 10
y = (signal > 0).astype(int)
y3 = np.digitize(signal, [-0.5, 0.5])
SKL = f"scikit-learn {__import__('sklearn').__version__} and skl2onnx {skl2onnx.__version__}"


def thresholds(model):
    found = []
    for node in model.graph.node:
        got = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        features = got.get("nodes_featureids", [])
        values = got.get("nodes_values") or (
            list(nh.to_array(got["nodes_values_as_tensor"])) if "nodes_values_as_tensor" in got else
            list(nh.to_array(got["nodes_splits"])) if "nodes_splits" in got else [])
        modes = got.get("nodes_modes", [])
        for i, feature in enumerate(features):
            if not isinstance(modes, list) or modes[i] != b"LEAF":
                found.append((feature, values[i]))
    return found


def rows_for(model, missing=True, infinite=True, wide=False, extremes=True):
    kind = np.float64 if wide else np.float32
    rows = [X[i].astype(kind) for i in range(16)]
    near = thresholds(model) if not isinstance(model, bytes) else []
    random.shuffle(near)
    for feature, value in near[:10]:
        if feature >= COLUMNS:
            continue
        for at in (kind(value), np.nextafter(kind(value), kind(np.inf)), np.nextafter(kind(value), kind(-np.inf))):
            row = X[random.integers(300)].astype(kind)
            row[int(feature)] = at
            rows.append(row)
    rows.append(np.zeros(COLUMNS))
    rows.append(np.full(COLUMNS, -0.0))
    if extremes:
        rows.append(np.full(COLUMNS, 1e4))
        rows.append(np.full(COLUMNS, -1e4))
    if missing:
        for i in range(COLUMNS):
            row = X[20 + i].astype(kind)
            row[i] = np.nan
            rows.append(row)
        rows.append(np.full(COLUMNS, np.nan))
    if infinite:
        for i in range(COLUMNS):
            row = X[30 + i].astype(kind)
            row[i] = np.inf if i % 2 else -np.inf
            rows.append(row)
    return np.array(rows, dtype=np.float64)


OPSET = {"": 18, "ai.onnx.ml": 3}


def sk(name, estimator, target, how, tolerance, options=None, opset=None, initial=None, **rows):
    estimator.fit(X, target)
    kw = {"initial_types": initial} if initial else {"X": X[:1]}
    model = to_onnx(estimator, options=options, target_opset=opset or OPSET, **kw)
    what = f"{type(estimator).__name__} {[n.op_type for n in model.graph.node][:6]}"
    write(name, model, rows_for(model, **rows), how, tolerance, what, SKL)


PLAIN = {"missing": False, "infinite": False}
forest = lambda: RandomForestClassifier(7, max_depth=5, random_state=1)
sk("forest", forest(), y, "binary", 2e-7)
sk("forest_classes", forest(), y3, "classes", 2e-7)
sk("forest_tensor", forest(), y3, "classes", 2e-7, options={"zipmap": False})
sk("forest_columns", forest(), y, "columns binary", 2e-7, options={"zipmap": "columns"})
sk("forest_opset1", forest(), y, "binary", 2e-7, opset={"": 9, "ai.onnx.ml": 1})
sk("forest_prepared", make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), forest()), y, "binary", 2e-7)
sk("forest_selected", make_pipeline(SelectKBest(k=3), forest()), y, "binary", 2e-7)
sk("forest_named", make_pipeline(ColumnTransformer([("a", "passthrough", list(range(COLUMNS)))]), forest()), y, "binary", 2e-7,
   initial=[(f"column {i}", FloatTensorType([None, 1])) for i in range(COLUMNS)])
sk("gradient_boosting", GradientBoostingClassifier(n_estimators=8, random_state=1), y, "binary", 2e-7)
sk("gradient_boosting_classes", GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1), y3, "classes", 3e-7)
sk("ada_boost", AdaBoostClassifier(n_estimators=5, algorithm="SAMME", random_state=1), y, "binary", 1e-6)
sk("isolation_forest", IsolationForest(n_estimators=8, max_samples=32, random_state=1), None, "outlier", 1e-6, **PLAIN)
sk("logistic", LogisticRegression(max_iter=500), y, "binary", 1e-6, infinite=False)
sk("logistic_classes", LogisticRegression(max_iter=500), y3, "classes", 1e-6, **PLAIN)
sk("linear_svc", LinearSVC(), y, "margin", 1e-5, extremes=False, **PLAIN)
sk("sgd_log", SGDClassifier(loss="log_loss", random_state=1), y, "binary", 1e-6, **PLAIN)
sk("sgd_hinge", make_pipeline(StandardScaler(), SGDClassifier(random_state=1)), y, "binary", 1e-4, extremes=False, **PLAIN)
sk("naive_bayes", GaussianNB(), y, "binary", 1e-5, extremes=False, **PLAIN)
mlp = lambda: MLPClassifier((8, 5), max_iter=100, random_state=1)
sk("mlp", make_pipeline(StandardScaler(), mlp()), y, "binary", 1e-6, infinite=False)
sk("mlp_classes", make_pipeline(RobustScaler(), MLPClassifier((8,), activation="tanh", max_iter=100, random_state=1)), y3, "classes", 1e-6, **PLAIN)
sk("voting", VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", forest())], voting="soft", flatten_transform=False), y, "binary", 1e-6, **PLAIN)
sk("stacking", StackingClassifier([("a", LogisticRegression(max_iter=500)), ("b", forest())]), y, "binary", 1e-6, **PLAIN)
sk("calibrated", CalibratedClassifierCV(LinearSVC(), cv=2), y, "binary", 1e-6, extremes=False, **PLAIN)
sk("components", make_pipeline(SimpleImputer(), StandardScaler(), PCA(3, random_state=1), LogisticRegression()), y, "binary", 1e-6, infinite=False)
sk("column_transformer", make_pipeline(ColumnTransformer(
    [("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [3]), ("c", OneHotEncoder(handle_unknown="ignore"), [5])],
    remainder="passthrough"), LogisticRegression(max_iter=500)), y, "binary", 1e-6, extremes=False, **PLAIN)
sk("standard_scaler", StandardScaler(), None, "only", 0)
sk("min_max_scaler", MinMaxScaler(clip=True), None, "only", 1e-6, missing=False)
sk("max_abs_scaler", MaxAbsScaler(), None, "only", 0)
sk("normalizer", Normalizer(), None, "only", 1e-6, **PLAIN)
sk("power_transformer", PowerTransformer(), None, "only", 1e-5, extremes=False, **PLAIN)
sk("binarizer", Binarizer(threshold=0.1), None, "only", 0, missing=False)
sk("k_bins", KBinsDiscretizer(4, encode="ordinal"), None, "only", 0, **PLAIN)
whole = np.floor(np.abs(X[:, :3])).astype(np.int64)


def encoder(name, estimator, kind):
    estimator.fit(whole)
    model = to_onnx(estimator, initial_types=[("codes", kind([None, 3]))], target_opset=OPSET)
    rows = np.concatenate([whole[:20], [[0, 0, 0], [99, 1, 1], [-1, 2, 500]]]).astype(np.float64)
    write(name, model, rows, "only", 0, type(estimator).__name__, SKL)


encoder("one_hot", OneHotEncoder(handle_unknown="ignore", sparse_output=False), Int64TensorType)
encoder("ordinal", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), FloatTensorType)

# Boosters, by the converters of onnxmltools.
import lightgbm, xgboost, onnxmltools
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat

kinds = [("features", ToolsFloat([None, COLUMNS]))]
for name, target, how in (("xgboost", y, "binary"), ("xgboost_classes", y3, "classes")):
    booster = xgboost.XGBClassifier(n_estimators=6, max_depth=3, random_state=1, n_jobs=1)
    booster.fit(X, target)
    model = onnxmltools.convert_xgboost(booster, initial_types=kinds, target_opset=15)
    write(name, model, rows_for(model, infinite=False), how, 3e-7, "XGBClassifier",
          f"xgboost {xgboost.__version__} and onnxmltools {onnxmltools.__version__}")
for name, target, how in (("lightgbm", y, "binary"), ("lightgbm_classes", y3, "classes")):
    booster = lightgbm.LGBMClassifier(n_estimators=6, num_leaves=7, random_state=1, n_jobs=1, verbose=-1)
    booster.fit(X, target)
    model = onnxmltools.convert_lightgbm(booster, initial_types=kinds, target_opset=15, zipmap=False)
    write(name, model, rows_for(model, infinite=False), how, 1e-6, "LGBMClassifier",
          f"lightgbm {lightgbm.__version__} and onnxmltools {onnxmltools.__version__}")


# By hand: what converters write seldom, or not those that are installed.
def graph(nodes, outputs, inputs=((("features"), T.FLOAT, [None, COLUMNS]),), weights=(), opset=18, ml=3):
    made = h.make_graph(nodes, "g", [h.make_tensor_value_info(*i) for i in inputs],
                        [h.make_tensor_value_info(*o) for o in outputs],
                        [nh.from_array(v, k) for k, v in weights])
    model = h.make_model(made, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("ai.onnx.ml", ml)], ir_version=8)
    model.producer_name = "hand"
    onnx.checker.check_model(model)
    return model


SCORES = [("label", T.INT64, [None]), ("scores", T.FLOAT, [None, None])]


def trees(**change):
    at = dict(
        nodes_treeids=[0] * 13 + [1] * 3, nodes_nodeids=list(range(13)) + [0, 1, 2],
        nodes_featureids=[0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0],
        nodes_values=[0.25, -3.0, 40.0, 0.0, 0.001, 3.0] + [0.0] * 7 + [2.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_EQ"] + ["LEAF"] * 7 + ["BRANCH_NEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 3, 5, 6, 8, 10] + [0] * 7 + [1, 0, 0],
        nodes_falsenodeids=[2, 4, 12, 7, 9, 11] + [0] * 7 + [2, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 1, 0, 1, 0] + [0] * 7 + [1, 0, 0],
        class_treeids=[0] * 7 + [1] * 2, class_nodeids=[6, 7, 8, 9, 10, 11, 12, 1, 2], class_ids=[0] * 9,
        class_weights=[0.5, -0.75, 0.25, 1.5, -1.0, 0.125, 0.3, -0.6, 0.7],
        classlabels_int64s=[0, 1], post_transform="LOGISTIC")
    at.update(change)
    return h.make_node("TreeEnsembleClassifier", ["features"], ["label", "scores"], domain="ai.onnx.ml", **at)


for name, change in (("modes", {}), ("modes_none", {"post_transform": "NONE"}),
                     ("modes_softmax_quirk", {"post_transform": "SOFTMAX"}),
                     ("modes_positive", {"post_transform": "NONE", "class_weights": [0.5, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.2, 0.3]}),
                     ("modes_base", {"base_values": [0.3]}), ("modes_second", {"class_ids": [1] * 9}),
                     ("modes_strings", {"classlabels_int64s": None, "classlabels_strings": ["good", "bad"]})):
    outputs = SCORES if name != "modes_strings" else [("label", T.STRING, [None]), SCORES[1]]
    node = trees(**change)
    model = graph([node], outputs)
    write(name, model, rows_for(model), "binary", 3e-7, "TreeEnsembleClassifier of every mode", "hand")
model = graph([trees(class_ids=[0, 1, 2, 0, 1, 2, 0, 1, 2], classlabels_int64s=[3, 5, 9], post_transform="SOFTMAX",
                     base_values=[0.1, -0.2, 0.3])], SCORES)
write("modes_classes", model, rows_for(model), "classes", 3e-7, "TreeEnsembleClassifier of every mode", "hand")


def tensor(values, kind=np.float32):
    return nh.from_array(np.array(values, dtype=kind), "t")


for kind, name in ((np.float32, "tree_ensemble_v5"), (np.float64, "tree_ensemble_v5_doubles")):
    node = h.make_node(
        "TreeEnsemble", ["features"], ["scores"], domain="ai.onnx.ml", n_targets=2, aggregate_function=1, post_transform=0,
        tree_roots=[0, 2], nodes_featureids=[0, 5, 1, 5], nodes_splits=tensor([0.1, 0, -2.5, 3], kind),
        nodes_modes=tensor([0, 6, 1, 4], np.uint8), nodes_truenodeids=[1, 0, 3, 3], nodes_trueleafs=[0, 1, 0, 1],
        nodes_falsenodeids=[2, 1, 4, 5], nodes_falseleafs=[1, 1, 1, 1], nodes_missing_value_tracks_true=[0, 1, 1, 0],
        membership_values=tensor([1, 2, 7, np.nan], kind), leaf_targetids=[0, 1, 1, 0, 1, 0],
        leaf_weights=tensor([0.5, -1.5, 0.25, 2, -0.75, 0.1], kind))
    double = kind is np.float64
    model = graph([node, h.make_node("Softmax", ["scores"], ["probabilities"], axis=1)],
                  [("probabilities", T.DOUBLE if double else T.FLOAT, [None, 2])],
                  inputs=[("features", T.DOUBLE if double else T.FLOAT, [None, COLUMNS])], opset=18, ml=5)
    write(name, model, rows_for(model, missing=True, infinite=False, wide=double), "only second", 3e-7, "TreeEnsemble", "hand")


# Thresholds and leaves of doubles, as converters write them for inputs of doubles.
at = {k: v for k, v in ((a.name, h.get_attribute_value(a)) for a in trees().attribute)}
doubles = {k: v for k, v in at.items() if k.startswith("nodes_") and k != "nodes_values"}
doubles["nodes_modes"] = [m.decode() for m in doubles["nodes_modes"]]
exact = np.array(at["nodes_values"], dtype=np.float64) + 1e-12
node = h.make_node("TreeEnsembleRegressor", ["features"], ["sums"], domain="ai.onnx.ml", n_targets=1, **doubles,
                   nodes_values_as_tensor=nh.from_array(exact, "v"), target_treeids=at["class_treeids"],
                   target_nodeids=at["class_nodeids"], target_ids=at["class_ids"],
                   target_weights_as_tensor=nh.from_array(np.array(at["class_weights"], dtype=np.float64), "w"))
model = graph([node, h.make_node("Sigmoid", ["sums"], ["probabilities"])], [("probabilities", T.FLOAT, [None, 1])],
              inputs=[("features", T.DOUBLE, [None, COLUMNS])])
write("tree_regressor_doubles", model, rows_for(model, wide=True), "only", 3e-7, "TreeEnsembleRegressor", "hand")


def weights(**shapes):
    return [(k, (random.normal(size=s) * 0.5).astype(np.float32)) for k, s in shapes.items()]


def network(name, nodes, w, tolerance=1e-6, out="only", size=1, dims=(None, COLUMNS), opset=18, missing=True):
    model = graph(nodes, [("probabilities", T.FLOAT, [None, size])], inputs=[("features", T.FLOAT, list(dims))], weights=w, opset=opset)
    width = int(np.prod([d for d in dims[1:]]))
    rows = (random.normal(size=(24, width)) ).astype(np.float32).astype(np.float64)
    rows[0] = 0
    rows[1] = 1e3
    rows[2] = -1e3
    if missing:
        rows[3, 0] = np.nan
    write(name, model, rows, out, tolerance, "network of " + ", ".join(n.op_type for n in nodes), "hand")


n = h.make_node
network("dense_activations", [
    n("Gemm", ["features", "w1", "b1"], ["a"], transB=1), n("LeakyRelu", ["a"], ["b"], alpha=0.2),
    n("BatchNormalization", ["b", "s", "o", "m", "v"], ["c"], epsilon=1e-3),
    n("MatMul", ["c", "w2"], ["d"]), n("Add", ["d", "b2"], ["e"]), n("Elu", ["e"], ["f"], alpha=0.7),
    n("Gemm", ["f", "w3"], ["g"], alpha=0.5), n("Selu", ["g"], ["i"]), n("Softplus", ["i"], ["j"]),
    n("HardSigmoid", ["j"], ["k"]), n("Gemm", ["k", "w4", "b4"], ["l"]), n("Sigmoid", ["l"], ["probabilities"])],
    weights(w1=(8, COLUMNS), b1=(8,), s=(8,), o=(8,), m=(8,), w2=(8, 7), b2=(7,), w3=(7, 6), w4=(6, 1), b4=(1,)) +
    [("v", np.abs(random.normal(size=8)).astype(np.float32) + 0.1)])
network("dense_softmax", [
    n("Gemm", ["features", "w1", "b1"], ["a"]), n("Relu", ["a"], ["b"]), n("Dropout", ["b"], ["b2"]),
    n("Gemm", ["b2", "w2"], ["c"]), n("Softmax", ["c"], ["probabilities"], axis=-1)],
    weights(w1=(COLUMNS, 9), b1=(9,), w2=(9, 4)), size=4)
network("dense_logits", [
    n("Gemm", ["features", "w1", "b1"], ["a"]), n("Tanh", ["a"], ["b"]), n("Gemm", ["b", "w2"], ["probabilities"])],
    weights(w1=(COLUMNS, 9), b1=(9,), w2=(9, 1)))
network("autoencoder", [
    n("Gemm", ["features", "w1", "b1"], ["a"]), n("Relu", ["a"], ["b"]), n("Gemm", ["b", "w2", "b2"], ["probabilities"])],
    weights(w1=(COLUMNS, 3), b1=(3,), w2=(3, COLUMNS), b2=(COLUMNS,)), size=COLUMNS, tolerance=1e-3)
axes = lambda *v: np.array(v, dtype=np.int64)
network("convolution", [
    n("Unsqueeze", ["features", "one"], ["a"]), n("Conv", ["a", "w1", "b1"], ["b"], kernel_shape=[3], pads=[1, 1], strides=[1]),
    n("Relu", ["b"], ["c"]), n("MaxPool", ["c"], ["d"], kernel_shape=[2], strides=[2], ceil_mode=1),
    n("Conv", ["d", "w2"], ["e"], kernel_shape=[2], dilations=[2], group=2, pads=[1, 0]), n("Relu", ["e"], ["e2"]),
    n("AveragePool", ["e2"], ["f"], kernel_shape=[2], pads=[1, 1], count_include_pad=0), n("Flatten", ["f"], ["g"]),
    n("Gemm", ["g", "w3"], ["h"]), n("Sigmoid", ["h"], ["probabilities"])],
    weights(w1=(4, 1, 3), b1=(4,), w2=(6, 2, 2), w3=(48, 1)) + [("one", axes(1))], dims=(None, 15), missing=False)  # its maximum passes NaN over
network("convolution_2d", [
    n("Reshape", ["features", "shape"], ["a"]), n("Conv", ["a", "w1", "b1"], ["b"], auto_pad="SAME_UPPER", strides=[2, 1]),
    n("Relu", ["b"], ["c"]), n("GlobalAveragePool", ["c"], ["d"]), n("Flatten", ["d"], ["e"]),
    n("Gemm", ["e", "w2"], ["f"]), n("Softmax", ["f"], ["probabilities"])],
    weights(w1=(5, 1, 3, 2), b1=(5,), w2=(5, 3)) + [("shape", axes(-1, 1, 4, 5))], dims=(None, 20), size=3)
for name, op, gates, extra in (("lstm", "LSTM", 4, {}), ("gru", "GRU", 3, {"linear_before_reset": 1}), ("gru_keras1", "GRU", 3, {})):
    network(name, [
        n("Reshape", ["features", "shape"], ["a"]), n("Transpose", ["a"], ["t"], perm=[1, 0, 2]),
        n(op, ["t", "w", "r", "b"], ["y", "last"], hidden_size=5, direction="bidirectional", **extra),
        n("Transpose", ["y"], ["z"], perm=[2, 0, 1, 3]), n("Reshape", ["z", "flat"], ["z2"]),
        n("ReduceMean", ["z2"], ["mean"], axes=[1], keepdims=0), n("Transpose", ["last"], ["l"], perm=[1, 0, 2]),
        n("Flatten", ["l"], ["l2"]), n("Concat", ["mean", "l2"], ["all"], axis=1),
        n("Gemm", ["all", "w2"], ["o"]), n("Sigmoid", ["o"], ["probabilities"])],
        weights(w=(2, gates * 5, 3), r=(2, gates * 5, 5), b=(2, 2 * gates * 5), w2=(20, 1)) +
        [("shape", axes(-1, 4, 3)), ("flat", axes(0, 4, 10))], dims=(None, 12), opset=17, missing=False)  # ONNX Runtime makes a number of NaN here
