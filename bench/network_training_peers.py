#!/usr/bin/env python3
"""Measures how fast networks learn beside PyTorch: the same layers, batches of 256 rows, Adam, one thread, in turns.

    python3 -m venv FOLDER/venv
    FOLDER/venv/bin/pip install torch numpy
    taskset -c 0 FOLDER/venv/bin/python bench/network_training_peers.py --bench build/test/src/learn/learn_bench

The perceptron 70-512-256-128-64-32-1 with batch normalisation, ReLU and dropout behind each hidden layer, and the
autoencoder 70-64-16-64-70, which are the defaults of `nidus train`. Rows are drawn anew by each; the time does not
depend on them. PyTorch gets its rows as one tensor, shuffled by index, without a DataLoader, which would cost it more;
its fused Adam is tried beside the plain one, and the better of the two is told. The best of several rounds.
"""

import argparse
import json
import os
import subprocess
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import torch  # noqa: E402

torch.set_num_threads(1)
nn = torch.nn
COLUMNS, ROWS, BATCH = 70, 20480, 256


def perceptron():
    layers, inputs = [], COLUMNS
    for units in (512, 256, 128, 64, 32):
        layers += [nn.Linear(inputs, units), nn.BatchNorm1d(units), nn.ReLU(), nn.Dropout(0.2)]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def autoencoder():
    return nn.Sequential(nn.Linear(COLUMNS, 64), nn.ReLU(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64), nn.ReLU(),
                         nn.Linear(64, COLUMNS))


NETWORKS = {"perceptron_70_512_256_128_64_32_1": (perceptron, False), "autoencoder_70_64_16_64_70": (autoencoder, True)}


def theirs(make, encodes, fused):
    """Seconds of processor time for an epoch."""
    network = make().train()
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=fused)
    rows = torch.rand(ROWS, COLUMNS) * 2 - 1
    labels = (rows[:, :1] > 0).float()
    start = time.process_time()
    order = torch.randperm(ROWS)
    for first in range(0, ROWS, BATCH):
        some = order[first:first + BATCH]
        x = rows[some]
        said = network(x)
        loss = nn.functional.mse_loss(said, x) if encodes else nn.functional.binary_cross_entropy_with_logits(said, labels[some])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return time.process_time() - start


def ours(bench, name):
    text = subprocess.run([bench, f"--benchmark_filter=train_network/{name}$", "--benchmark_min_time=0.2",
                           "--benchmark_format=json"], capture_output=True, check=True).stdout
    run = json.loads(text)["benchmarks"][0]
    return run["cpu_time"] / 1000 / 2  # milliseconds of two epochs, as seconds of one


parser = argparse.ArgumentParser()
parser.add_argument("--bench", required=True)
parser.add_argument("--rounds", type=int, default=3)
arguments = parser.parse_args()
print(f"{'rows a second and core':40} {'nidus':>12} {'PyTorch ' + torch.__version__:>20} {'ratio':>8}")
for name, (make, encodes) in NETWORKS.items():
    best = [float("inf"), float("inf")]
    for _ in range(arguments.rounds):
        best[0] = min(best[0], ours(arguments.bench, name))
        best[1] = min(best[1], theirs(make, encodes, False), theirs(make, encodes, True))
    print(f"{name:40} {ROWS / best[0]:12,.0f} {ROWS / best[1]:20,.0f} {best[1] / best[0]:8.2f}")
