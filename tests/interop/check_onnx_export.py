#!/usr/bin/env python3
"""Asks onnx.checker and ONNX Runtime about the files that our writer leaves.

    NIDUS_ONNX_EXPORTS=/tmp/exports build/test/src/interop/interop_test --gtest_filter='OnnxWriter.*'
    v/bin/python tests/interop/check_onnx_export.py /tmp/exports

Every model is checked, loaded and run on our rows (NaN, infinities, thresholds and their neighbours among
them), all at once and one by one; scores and labels must be ours.
"""
import json, pathlib, sys
import numpy as np
import onnx
import onnxruntime as rt

options = rt.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
worst, failed = 0.0, 0
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    ours = json.loads((folder / "ours.json").read_text())
    model = onnx.load(str(folder / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    run = rt.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    columns = run.get_inputs()[0].shape[1]
    rows = np.array([float(x) for x in ours["rows"]], dtype=np.float32).reshape(-1, columns)
    wanted = np.array([float(x) for x in ours["scores"]]).reshape(len(rows), -1)
    names = [o.name for o in run.get_outputs()]
    together = dict(zip(names, run.run(None, {"features": rows})))
    key = "probabilities" if ours["scale"] == "probability" else "scores"
    got = together[key].astype(np.float64)
    if key == "probabilities" and wanted.shape[1] == 1:
        np.testing.assert_allclose(got.sum(axis=1)[~np.isnan(got[:, 0])], 1, atol=1e-6)
        got = got[:, 1:]
    alone = np.concatenate([dict(zip(names, run.run(None, {"features": row[None]})))[key] for row in rows])
    bad = ~((np.isnan(got) & np.isnan(wanted)) | (np.abs(got - wanted) <= ours["tolerance"]))
    gap = np.nanmax(np.where(np.isfinite(got) & np.isfinite(wanted), np.abs(got - wanted), 0))
    apart = np.nanmax(np.abs(alone[:, -1] - together[key][:, -1]))
    label = ""
    if "label" in together:
        classes = ["benign", "attack"] + [f"class {i}" for i in range(2, wanted.shape[1])]
        line = {"probability": 0.5, "margin": 0.0}[ours["scale"]]
        sure = np.all(np.abs(wanted - line) > 1e-5, axis=1) & ~np.isnan(wanted).any(axis=1)
        number = wanted.argmax(axis=1) if wanted.shape[1] > 1 else (wanted[:, 0] > line).astype(int)
        sorted_scores = np.sort(wanted, axis=1)
        if wanted.shape[1] > 1:
            sure &= sorted_scores[:, -1] - sorted_scores[:, -2] > 1e-5
        wrong = [i for i in np.flatnonzero(sure) if together["label"][i] != classes[number[i]]]
        label = f", {sure.sum()} labels" + (f", WRONG at rows {wrong[:5]}" if wrong else "")
        failed += bool(wrong)
    failed += bool(bad.any())
    worst = max(worst, gap)
    where = f"  DIFFERS at rows {np.unique(np.argwhere(bad)[:, 0])[:5]}" if bad.any() else ""
    print(f"{folder.name:24} {len(rows)} rows, worst {gap:.1e}, alone {apart:.1e}{label}{where}")
print(f"onnx {onnx.__version__}, onnxruntime {rt.__version__}: worst {worst:.1e}, {failed} failed")
sys.exit(failed != 0)
