#!/usr/bin/env python3
"""Makes the fixtures tests/interop/onnx/torch_* and torch215_*: networks that torch.onnx exported, by the exporter
of PyTorch before 2.9 and by its successor, and what ONNX Runtime says.

    python3 -m venv v && v/bin/pip install torch==2.6.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
    v/bin/python tests/interop/make_onnx_torch.py tests/interop/onnx torch_

and the same with torch==2.15.0, onnxscript and torch215_.

A model that is there already is kept and only run again, for which torch is not needed.
"""
import json, pathlib, sys
import numpy as np
import onnx
import onnxruntime as rt

OUT, PREFIX = pathlib.Path(sys.argv[1]), sys.argv[2]
VERSION = {"torch_": "2.6.0", "torch215_": "2.15.0"}[PREFIX]
NAMES = {PREFIX + "mlp": (1e-6, 12), PREFIX + "lstm": (1e-6, 12), PREFIX + "gru": (1e-6, 12),
         PREFIX + "autoencoder": (1e-5, 12)}


def export():
    import torch
    from torch import nn

    torch.manual_seed(1)

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv1d(1, 4, 3, padding=1)
            self.l = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
            self.o = nn.Linear(10, 1)

        def forward(self, x):
            x = nn.functional.max_pool1d(torch.relu(self.c(x.unsqueeze(1))), 2)
            y, _ = self.l(x.transpose(1, 2))
            return torch.sigmoid(self.o(y[:, -1]))

    class Gru(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.GRU(3, 4, num_layers=2, batch_first=True)
            self.o = nn.Linear(4, 3)

        def forward(self, x):
            _, h = self.l(x.reshape(-1, 4, 3))
            return torch.softmax(self.o(h[-1]), 1)

    mlp = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 4),
                        nn.LeakyReLU(), nn.LayerNorm(4), nn.Linear(4, 1), nn.Sigmoid())
    copy = nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 12))
    for name, model in zip(NAMES, (mlp, Lstm(), Gru(), copy)):
        if name == PREFIX + "mlp":  # so that its normalisation has seen something
            model.train()
            for _ in range(20):
                model(torch.randn(64, 12) * 2 + 1)
        model.eval()
        (OUT / name).mkdir(parents=True, exist_ok=True)
        to = str(OUT / name / "model.onnx")
        names = dict(input_names=["features"], output_names=["out"])
        if VERSION == "2.6.0":
            torch.onnx.export(model, torch.randn(2, 12), to, **names, opset_version=17, dynamo=False,
                              dynamic_axes={"features": {0: "rows"}, "out": {0: "rows"}})
            continue
        torch.onnx.export(model, torch.randn(2, 12), to, **names, dynamo=True, external_data=False,
                          dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
        # It says of each node from which line of which file it comes: of no use to others.
        written = onnx.load(to)
        for node in written.graph.node:
            kept = [p for p in node.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
        onnx.save(written, to)


if not all((OUT / name / "model.onnx").exists() for name in NAMES):
    export()
options = rt.SessionOptions()
options.intra_op_num_threads = 1
random = np.random.default_rng(7)
for name, (tolerance, columns) in NAMES.items():
    rows = random.normal(size=(24, columns)).astype(np.float32) * 2
    rows[0] = 0
    run = rt.InferenceSession(str(OUT / name / "model.onnx"), options, providers=["CPUExecutionProvider"])
    scores = np.concatenate([run.run(None, {"features": row[None]})[0] for row in rows])
    (OUT / name / "expected.json").write_text(json.dumps({
        "library": f"onnxruntime {rt.__version__}, model by torch.onnx of PyTorch {VERSION}", "what": name, "how": "only",
        "tolerance": tolerance, "rows": rows.astype(float).tolist(), "scores": scores.astype(float).tolist()},
        separators=(",", ":")) + "\n")
