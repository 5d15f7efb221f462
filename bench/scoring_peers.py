#!/usr/bin/env python3
"""Measures our scoring beside that of other programs: the same model, the same rows, one thread.

    python3 -m venv FOLDER/venv
    FOLDER/venv/bin/pip install scikit-learn xgboost onnxruntime skl2onnx onnxmltools treelite tl2cgen
    taskset -c 0 FOLDER/venv/bin/python bench/scoring_peers.py FOLDER --score-model build/bench/bench/score_model

Trains, with a fixed seed, boosted trees of depth 6 (xgboost) and a forest of full depth (scikit-learn) on 80 columns,
writes both as model files of ours from docs/formats/model-file.md alone, and has every program score the same 4,096
rows, in turns, several rounds, the best of each. What cannot be run is named. One row alone is called from Python
for the others, which is how they are used; their time includes that call.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

COLUMNS, TREES, ROWS = 80, 100, 4096
MASK = (1 << 64) - 1


# ---- our model file

def checksum(data):
    h = 0xCBF29CE484222325 ^ len(data)
    whole = len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:whole]):
        h = ((h ^ word) * 0x100000001B3) & MASK
        h ^= h >> 29
    h = ((h ^ int.from_bytes(data[whole:], "little")) * 0x100000001B3) & MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def model_file(path, kind, trees, base_margin=None):
    """trees: for each a list of nodes, the root first: (feature, threshold, left, right, missing_right) or (value,)."""
    nodes, roots, leaves, numbers, missing = bytearray(), [0], [], {}, []
    for tree in trees:
        order, place = [0], {0: 0}  # breadth first, so that siblings stand side by side
        for at in order:
            if len(tree[at]) > 1:
                for child in tree[at][2:4]:
                    place[child] = len(order)
                    order.append(child)
        for at in order:
            node = tree[at]
            if len(node) == 1:
                number = numbers.setdefault(node[0], len(numbers))
                if number == len(leaves):
                    leaves.append(node[0])
                nodes += struct.pack("<II", 0x7FC00000 + number, place[at] << 10)
                missing.append(False)
            else:
                nodes += struct.pack("<fI", node[1], node[0] | place[node[2]] << 10)
                missing.append(node[4])
        roots.append(roots[-1] + len(order))
    bits = b""
    if any(missing):
        bits = np.packbits(missing, bitorder="little").tobytes()
        bits += bytes(-len(bits) % 8)
    sections = [(1, bytes(nodes)), (2, struct.pack(f"<{len(roots)}I", *roots)),
                (3, struct.pack(f"<{len(leaves)}f", *leaves))]
    text = lambda s: struct.pack("<I", len(s)) + s.encode()  # noqa: E731
    says = struct.pack("<I", COLUMNS)
    says += b"".join(text(f"c{i}") + b"\0" + text("") for i in range(COLUMNS))
    says += struct.pack("<I", 2) + text("benign") + text("attack") + text("")
    says += struct.pack("<IIIIII", kind, COLUMNS, 1, 1, 2, 3)
    if bits:
        sections.append((4, bits))
        says += struct.pack("<I", 4)
    else:
        says += struct.pack("<I", 0xFFFFFFFF)
    says += struct.pack("<I", 0xFFFFFFFF)  # no covers
    if kind == 2:
        sections.append((2, bytes(4 * len(trees))))
        says += struct.pack("<IfI", 1, base_margin, len(sections))
    sections.insert(0, (0, says))
    table, body, begin = b"", b"", 64 + 32 * len(sections)
    for element, data in sections:
        body += bytes(-(begin + len(body)) % 64)
        table += struct.pack("<QQQII", begin + len(body), len(data), checksum(data), element, 0)
        body += data
    header = b"\x89NIDUS\r\n" + struct.pack("<IIQQ", 2, len(sections), begin + len(body), checksum(table))
    header += struct.pack("<Q", checksum(header + bytes(32))) + bytes(24)
    with open(path, "wb") as out:
        out.write(header + table + body)


def below(threshold):
    return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def trees_of_xgboost(booster):
    trees = []
    for tree in json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]:
        nodes = []
        for i, left in enumerate(tree["left_children"]):
            if left < 0:
                nodes.append((tree["split_conditions"][i],))
            else:
                nodes.append((tree["split_indices"][i], below(tree["split_conditions"][i]), left,
                              tree["right_children"][i], not tree["default_left"][i]))
        trees.append(nodes)
    return trees


def trees_of_sklearn(forest):
    trees = []
    for one in forest.estimators_:
        t, nodes = one.tree_, []
        for i in range(t.node_count):
            if t.children_left[i] < 0:
                share = t.value[i][0]
                nodes.append((float(np.float32(share[1] / share.sum())),))
            else:
                threshold = np.float32(t.threshold[i])
                if float(threshold) > t.threshold[i]:
                    threshold = np.nextafter(threshold, np.float32(-np.inf))
                nodes.append((int(t.feature[i]), float(threshold), int(t.children_left[i]),
                              int(t.children_right[i]), False))
        trees.append(nodes)
    return trees


# ---- who scores

def session_of(model):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def peers_of(kind, model, folder):
    """Name to a function of rows that returns scores of the attack."""
    peers = {}

    def attempt(name, make):
        try:
            peers[name] = make()
        except Exception as fault:  # a peer that is not there is named and left out
            print(f"{name}: left out: {str(fault).splitlines()[0] if str(fault) else type(fault).__name__}",
                  file=sys.stderr)

    def onnx():
        if kind == "boost":
            from onnxmltools import convert_xgboost
            from onnxmltools.convert.common.data_types import FloatTensorType
            made = convert_xgboost(model, initial_types=[("x", FloatTensorType([None, COLUMNS]))], target_opset=15)
        else:
            from skl2onnx import to_onnx
            made = to_onnx(model, np.zeros((1, COLUMNS), np.float32), options={"zipmap": False})
        session = session_of(made)
        name, output = session.get_inputs()[0].name, session.get_outputs()[1].name

        def score(rows):
            return session.run([output], {name: rows})[0][:, 1]
        return score

    def treelite():
        import treelite as package
        from treelite import gtil
        made = package.frontend.from_xgboost(model.get_booster()) if kind == "boost" else package.sklearn.import_model(
            model)
        return lambda rows: gtil.predict(made, rows, nthread=1).reshape(len(rows), -1)[:, -1]

    def compiled():
        if kind != "boost":
            raise RuntimeError("the C source of a forest of this depth is not compiled here")
        import tl2cgen
        import treelite as package
        made = package.frontend.from_xgboost(model.get_booster())
        library = os.path.join(folder, "boost.so")
        tl2cgen.export_lib(made, toolchain="gcc", libpath=library, params={"parallel_comp": 8})
        predictor = tl2cgen.Predictor(library, nthread=1)
        return lambda rows: predictor.predict(tl2cgen.DMatrix(rows)).reshape(len(rows), -1)[:, -1]

    if kind == "boost":
        booster = model.get_booster()
        booster.set_param({"nthread": 1})
        attempt("XGBoost", lambda: lambda rows: booster.inplace_predict(rows))
    else:
        attempt("scikit-learn", lambda: lambda rows: model.predict_proba(rows)[:, 1])
    attempt("ONNX Runtime", onnx)
    attempt("Treelite (GTIL)", treelite)
    attempt("TL2cgen (compiled)", compiled)
    return peers


def best(rounds, work):
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--score-model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["boost", "forest"])
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)

    random = np.random.default_rng(1)
    rows = random.normal(size=(20000, COLUMNS)).astype(np.float32)
    signal = rows[:, :20] @ random.normal(size=20) + np.sin(3 * rows[:, 20]) * 3 + random.normal(size=len(rows)) * 4
    labels = (signal > 0).astype(int)
    asked = random.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    rows_path = os.path.join(options.folder, "rows.f32")
    asked.tofile(rows_path)

    for kind in ("boost", "forest") if options.only is None else (options.only,):
        if kind == "boost":
            import xgboost
            model = xgboost.XGBClassifier(n_estimators=TREES, max_depth=6, tree_method="hist", base_score=0.5,
                                          n_jobs=1, random_state=1).fit(rows, labels)
            trees = trees_of_xgboost(model.get_booster())
        else:
            from sklearn.ensemble import RandomForestClassifier
            model = RandomForestClassifier(n_estimators=TREES, n_jobs=1, random_state=1).fit(rows[:10000],
                                                                                             labels[:10000])
            trees = trees_of_sklearn(model)
        path = os.path.join(options.folder, kind + ".nidus")
        model_file(path, 2 if kind == "boost" else 1, trees, 0.0)
        size = sum(len(tree) for tree in trees)
        peers = peers_of(kind, model, options.folder)
        figures = {name: [float("inf"), float("inf")] for name in ["nidus", *peers]}
        scores_path = os.path.join(options.folder, kind + ".f64")
        differs = {}
        for _ in range(options.rounds):
            said = json.loads(subprocess.check_output([options.score_model, path, rows_path, scores_path]))
            ours = figures["nidus"]
            ours[0], ours[1] = min(ours[0], said["batch_ns_row"] / TREES), min(ours[1], said["one_us"])
            scores = np.fromfile(scores_path)
            for name, score in peers.items():
                differs[name] = float(np.max(np.abs(score(asked) - scores)))
                batch = best(7, lambda: score(asked)) * 1e9 / ROWS / TREES
                one = best(200, lambda: score(asked[:1])) * 1e6
                figures[name] = [min(figures[name][0], batch), min(figures[name][1], one)]
        print(f"\n{kind}: {TREES} trees, {size:,} nodes, {ROWS} rows of {COLUMNS} columns; loads in "
              f"{said['load_ms']:.1f} ms\n")
        print("| program | ns for a row and tree, batch | one row, µs | nidus is faster by, batch | one row "
              "| largest difference of a score |\n|---|---|---|---|---|---|")
        for name, (batch, one) in figures.items():
            mine = figures["nidus"]
            print(f"| {name} | {batch:.1f} | {one:.1f} | {batch / mine[0]:.1f} | {one / mine[1]:.1f} "
                  f"| {differs.get(name, 0):.1g} |")


if __name__ == "__main__":
    main()
