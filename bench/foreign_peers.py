#!/usr/bin/env python3
"""foreign_peers.py FOLDER --score-model PATH: files of other programs, scored by those programs and by nidus.

A forest, an isolation forest and a perceptron of scikit-learn, boosted trees of XGBoost, and a network of PyTorch are
trained on drawn rows and saved as people save them, networks also as ONNX; nidus loads these very files. Beside each stand the program that
wrote it, ONNX Runtime and Treelite where they take such a model. One thread each, all in one run, the best of several
rounds; what is not installed is named and left out. Needs: numpy scikit-learn joblib xgboost; and as peers skl2onnx
onnxmltools onnxruntime treelite torch onnx.
"""
import argparse
import json
import os
import subprocess
import sys
import time
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

warnings.filterwarnings("ignore")
COLUMNS, ROWS, TREES = 70, 4096, 100


def best(rounds, work):
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return least


def session_of(made):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(made if isinstance(made, bytes) else made.SerializeToString(), options,
                                        providers=["CPUExecutionProvider"])


class Case:
    """A model in a file, and who scores it: a name and a function of float32 rows that returns one score a row."""

    def __init__(self, title, path, outputs=1):
        self.title, self.path, self.outputs, self.peers = title, path, outputs, {}

    def attempt(self, name, make):
        try:
            self.peers[name] = make()
        except Exception as fault:  # a peer that is not there is named and left out
            text = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
            print(f"{self.title}: {name}: left out: {text}", file=sys.stderr)

    def onnx_of_sklearn(self, model, column=1, options=None, output=1):
        def make():
            from skl2onnx import to_onnx
            session = session_of(to_onnx(model, np.zeros((1, COLUMNS), np.float32), options=options or {"zipmap": False},
                                         target_opset={"": 15, "ai.onnx.ml": 3}))
            name, wanted = session.get_inputs()[0].name, session.get_outputs()[output].name
            return lambda rows: session.run([wanted], {name: rows})[0][:, column]
        self.attempt("ONNX Runtime", make)

    def treelite(self, import_model):
        def make():
            import treelite
            from treelite import gtil
            made = import_model(treelite)
            return lambda rows: gtil.predict(made, rows, nthread=1).reshape(len(rows), -1)[:, -1]
        self.attempt("Treelite (GTIL)", make)


def forest(folder, rows, labels):
    import joblib
    from sklearn.ensemble import RandomForestClassifier
    model = RandomForestClassifier(n_estimators=TREES, n_jobs=1, random_state=1).fit(rows[:10000], labels[:10000])
    case = Case("random forest, 100 trees of full depth (joblib)", os.path.join(folder, "forest.joblib"))
    joblib.dump(model, case.path)
    case.attempt("scikit-learn", lambda: lambda asked: model.predict_proba(asked)[:, 1])
    case.onnx_of_sklearn(model)
    case.treelite(lambda treelite: treelite.sklearn.import_model(model))
    return case


def boost(folder, rows, labels):
    import xgboost
    model = xgboost.XGBClassifier(n_estimators=TREES, max_depth=6, tree_method="hist", n_jobs=1, random_state=1)
    model.fit(rows, labels)
    case = Case("boosted trees, 100 of depth 6 (XGBoost JSON)", os.path.join(folder, "boost.json"))
    model.save_model(case.path)
    booster = model.get_booster()
    booster.set_param({"nthread": 1})
    case.attempt("XGBoost", lambda: lambda asked: booster.inplace_predict(asked))

    def onnx():
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
        session = session_of(convert_xgboost(model, initial_types=[("x", FloatTensorType([None, COLUMNS]))],
                                             target_opset=15))
        name, wanted = session.get_inputs()[0].name, session.get_outputs()[1].name
        return lambda asked: session.run([wanted], {name: asked})[0][:, 1]
    case.attempt("ONNX Runtime", onnx)
    case.treelite(lambda treelite: treelite.frontend.from_xgboost(booster))
    return case


def isolation(folder, rows, _):
    import pickle
    from sklearn.ensemble import IsolationForest
    model = IsolationForest(n_estimators=TREES, contamination=0.01, n_jobs=1, random_state=1).fit(rows)
    case = Case("isolation forest, 100 trees (pickle)", os.path.join(folder, "isolation.pkl"))
    with open(case.path, "wb") as file:
        pickle.dump(model, file)
    case.attempt("scikit-learn", lambda: lambda asked: -model.score_samples(asked))
    case.onnx_of_sklearn(model, column=0, options={"score_samples": True}, output=2)
    if "ONNX Runtime" in case.peers:
        score = case.peers["ONNX Runtime"]
        case.peers["ONNX Runtime"] = lambda asked: -score(asked)
    return case


def perceptron(folder, rows, labels):
    import joblib
    from sklearn.neural_network import MLPClassifier
    model = MLPClassifier((128, 64, 32), max_iter=5, random_state=1).fit(rows, labels)
    case = Case("perceptron 70-128-64-32-1 (joblib, zlib)", os.path.join(folder, "perceptron.joblib"))
    joblib.dump(model, case.path, compress=3)
    case.attempt("scikit-learn", lambda: lambda asked: model.predict_proba(asked)[:, 1])
    case.onnx_of_sklearn(model)
    return case


def network(folder, rows, labels):
    import torch
    torch.manual_seed(1)
    torch.set_num_threads(1)
    widths, layers = (COLUMNS, 512, 256, 128, 64, 32), []
    for before, after in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(32, 1), torch.nn.Sigmoid()).eval()
    case = Case("network 70-512-256-128-64-32-1 (whole PyTorch module)", os.path.join(folder, "network.pth"))
    torch.save(model, case.path)

    def score(asked):
        with torch.inference_mode():
            return model(torch.from_numpy(asked)).numpy()[:, 0]
    case.attempt("PyTorch", lambda: score)

    def onnx():
        path = os.path.join(folder, "network.onnx")
        torch.onnx.export(model, torch.zeros(1, COLUMNS), path, input_names=["x"], dynamic_axes={"x": {0: "n"}},
                          dynamo=False)
        with open(path, "rb") as file:
            session = session_of(file.read())
        return lambda asked: session.run(None, {"x": asked})[0][:, 0]
    case.attempt("ONNX Runtime", onnx)
    return case


def exported(folder, title, name, model, shape):
    """A module of PyTorch as an ONNX file, which both load."""
    import torch
    case = Case(title, os.path.join(folder, name))
    torch.onnx.export(model, torch.zeros(1, *shape), case.path, input_names=["x"], dynamic_axes={"x": {0: "n"}},
                      dynamo=False)

    def score():
        with open(case.path, "rb") as file:
            session = session_of(file.read())
        return lambda asked: session.run(None, {"x": asked.reshape(-1, *shape)})[0][:, 0]
    case.attempt("ONNX Runtime", score)
    return case


def dense_onnx(folder, rows, labels):
    import torch
    torch.manual_seed(1)
    widths, layers = (COLUMNS, 512, 256, 128, 64, 32), []
    for before, after in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(32, 1), torch.nn.Sigmoid()).eval()
    return exported(folder, "network 70-512-256-128-64-32-1 (ONNX)", "dense.onnx", model, (COLUMNS,))


def convolution_onnx(folder, rows, labels):
    import torch
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Conv1d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool1d(2), torch.nn.Flatten(),
        torch.nn.Linear(16 * (COLUMNS // 2), 32), torch.nn.ReLU(), torch.nn.Linear(32, 1), torch.nn.Sigmoid()).eval()
    return exported(folder, "convolution of 16 filters, 560-32-1 (ONNX)", "convolution.onnx", model, (1, COLUMNS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--score-model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["forest", "boost", "isolation", "perceptron", "network",
                                                      "dense_onnx", "convolution_onnx"])
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)

    random = np.random.default_rng(1)
    rows = random.normal(size=(20000, COLUMNS)).astype(np.float32)
    signal = rows[:, :20] @ random.normal(size=20) + np.sin(3 * rows[:, 20]) * 3 + random.normal(size=len(rows)) * 4
    labels = (signal > 0).astype(int)
    asked = random.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    rows_path, scores_path = (os.path.join(options.folder, name) for name in ("rows.f32", "scores.f64"))
    asked.tofile(rows_path)

    makers = {"forest": forest, "boost": boost, "isolation": isolation, "perceptron": perceptron, "network": network,
              "dense_onnx": dense_onnx, "convolution_onnx": convolution_onnx}
    for name in options.only:
        try:
            case = makers[name](options.folder, rows, labels)
        except ImportError as fault:
            print(f"{name}: left out: {fault}", file=sys.stderr)
            continue
        figures = {name: [float("inf"), float("inf")] for name in ["nidus", *case.peers]}
        differs = {}
        for _ in range(options.rounds):
            said = json.loads(subprocess.check_output([options.score_model, case.path, rows_path, scores_path]))
            ours = figures["nidus"]
            ours[0], ours[1] = min(ours[0], said["batch_ns_row"] / 1e3), min(ours[1], said["one_us"])
            scores = np.fromfile(scores_path)
            for peer, score in case.peers.items():
                differs[peer] = float(np.max(np.abs(score(asked) - scores)))
                batch = best(3, lambda: score(asked)) * 1e6 / ROWS
                one = best(50, lambda: score(asked[:1])) * 1e6
                figures[peer] = [min(figures[peer][0], batch), min(figures[peer][1], one)]
        size = os.path.getsize(case.path)
        print(f"\n{case.title}: {size / 1e6:.1f} MB, loads in {said['load_ms']:.1f} ms\n")
        print("| program | µs a row, batch of 4,096 | one row alone, µs | nidus is faster by, batch | alone "
              "| largest difference of a score |\n|---|---|---|---|---|---|")
        for peer, (batch, one) in figures.items():
            mine = figures["nidus"]
            print(f"| {peer} | {batch:.2f} | {one:.1f} | {batch / mine[0]:.1f} | {one / mine[1]:.1f} "
                  f"| {differs.get(peer, 0):.1g} |", flush=True)


if __name__ == "__main__":
    main()
