#!/usr/bin/env python3
"""Measures our neural networks beside PyTorch, ONNX Runtime and NumPy: the same layers, one thread, in turns.

    python3 -m venv FOLDER/venv
    FOLDER/venv/bin/pip install torch onnx onnxruntime numpy
    taskset -c 0 FOLDER/venv/bin/python bench/network_peers.py --bench build/bench/src/model/model_bench

A perceptron 69-512-256-128-64-32-1 with ReLU and a sigmoid, and the error of an autoencoder 70-64-16-64-70, weights and
rows drawn anew by each (the time does not depend on them): one row, and 1,024 at once. The others are called from
Python, as they are used; that call is part of their time. The best of several rounds.
"""

import argparse
import json
import os
import subprocess
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
SHAPES = {"perceptron_69_512_256_128_64_32_1": [69, 512, 256, 128, 64, 32, 1],
          "autoencoder_70_64_16_64_70": [70, 64, 16, 64, 70]}


def stack(sizes):
    layers = []
    for i, (inputs, units) in enumerate(zip(sizes, sizes[1:])):
        layers.append(torch.nn.Linear(inputs, units))
        if i + 2 < len(sizes):
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers, *([torch.nn.Sigmoid()] if sizes[-1] == 1 else [])).eval()


def onnx_bytes(model):
    """As the usual converters write it: Gemm and Relu."""
    nodes, weights, name, number = [], [], "x", 0
    for layer in model:
        out = f"t{number}"
        if isinstance(layer, torch.nn.Linear):
            for part, value in (("w", layer.weight), ("b", layer.bias)):
                weights.append(onnx.numpy_helper.from_array(value.detach().numpy(), f"{part}{number}"))
            nodes.append(onnx.helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], [out], transB=1))
        else:
            nodes.append(onnx.helper.make_node("Relu" if isinstance(layer, torch.nn.ReLU) else "Sigmoid", [name], [out]))
        name, number = out, number + 1
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "stack", [value("x", 1, ["n", model[0].in_features])], [value(name, 1, ["n", None])], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def peers(sizes):
    model = stack(sizes)
    weights = [(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy()) for layer in model if isinstance(layer, torch.nn.Linear)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_bytes(model), options, providers=["CPUExecutionProvider"])

    def with_numpy(x):
        y = x
        for i, (w, b) in enumerate(weights):
            y = y @ w + b
            if i + 1 < len(weights):
                y = np.maximum(y, 0)
        return 1 / (1 + np.exp(-y)) if sizes[-1] == 1 else y

    def with_torch(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()

    def error(predict):
        return predict if sizes[-1] == 1 else lambda x: ((x - predict(x)) ** 2).mean(1)

    return {f"PyTorch {torch.__version__}": error(with_torch),
            f"ONNX Runtime {onnxruntime.__version__}": error(lambda x: session.run(None, {"x": x})[0]),
            f"NumPy {np.__version__}": error(with_numpy)}


def best(call, rows, seconds):
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call(rows)
        least = min(least, time.perf_counter() - start)
    return least


def ours(bench, name):
    """Processor time for one row alone and for a batch, of the best kernel."""
    text = subprocess.run([bench, f"--benchmark_filter={name}/(1|1024)/1(/0)?$", "--benchmark_min_time=0.05",
                           "--benchmark_repetitions=5", "--benchmark_format=json"], capture_output=True, check=True).stdout
    out = {}
    for run in json.loads(text)["benchmarks"]:
        if run["run_type"] == "iteration":
            rows = int(run["name"].split("/")[1])
            out[rows] = min(out.get(rows, float("inf")), run["cpu_time"] * 1e-9)
    return out


parser = argparse.ArgumentParser()
parser.add_argument("--bench", required=True)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--seconds", type=float, default=0.3)
arguments = parser.parse_args()
for name, sizes in SHAPES.items():
    table, all_peers = {}, peers(sizes)
    for _ in range(arguments.rounds):
        found = {"nidus": ours(arguments.bench, name)}
        for peer, call in all_peers.items():
            found[peer] = {n: best(call, np.random.default_rng(1).random((n, sizes[0]), dtype=np.float32), arguments.seconds)
                           for n in (1, 1024)}
        for peer, times in found.items():
            for n, value in times.items():
                table[peer, n] = min(table.get((peer, n), float("inf")), value)
    print(f"{name}: microseconds for a row")
    for peer in dict.fromkeys(peer for peer, _ in table):
        one, many = table[peer, 1] * 1e6, table[peer, 1024] / 1024 * 1e6
        print(f"  {peer:24} alone {one:8.2f} ({one / (table['nidus', 1] * 1e6):5.1f} x)   "
              f"of 1,024 {many:7.3f} ({many / (table['nidus', 1024] / 1024 * 1e6):5.1f} x)")
