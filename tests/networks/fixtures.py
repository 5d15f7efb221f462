#!/usr/bin/env python3
"""Makes training.json: what PyTorch makes of small networks in a few steps of Adam, for network_trainer_test.cc.

    python3 -m venv FOLDER && FOLDER/bin/pip install -r requirements.txt
    FOLDER/bin/python fixtures.py > training.json

Each case has layers with the weights they begin with, rows, labels, and the weights behind the steps. Numbers that go in
are multiples of 1/64 or 1/256, so that they are exact. Matrices are inputs × units as ours, PyTorch's transposed.
"""

import json

import torch

torch.manual_seed(1)
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
nn = torch.nn


def grid(tensor, parts):
    return torch.round(tensor * parts) / parts


class Steps(nn.Module):  # channels last, as ours
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


class Lstm(nn.Module):
    def __init__(self, inputs, units, sequences):
        super().__init__()
        self.inner = nn.LSTM(inputs, units, batch_first=True)
        self.sequences = sequences
        with torch.no_grad():
            self.inner.bias_hh_l0.zero_()  # ours has one bias
        self.inner.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        out = self.inner(x)[0]
        return out if self.sequences else out[:, -1:]


class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inner = nn.BatchNorm1d(channels)

    def forward(self, x):
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


class Global(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return x.amax(1, keepdim=True) if self.kind == "max" else x.mean(1, keepdim=True)


class Flatten(nn.Module):
    def forward(self, x):
        return x.reshape(x.shape[0], 1, -1)


def numbers(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().flatten().tolist()]


def weights(layer):
    """By the names of model/layers.h, in our order."""
    if isinstance(layer, nn.Linear):
        return {"kernel": numbers(layer.weight.T), "bias": numbers(layer.bias)}
    if isinstance(layer, Steps) and isinstance(layer.inner, nn.Conv1d):  # filters × inputs × size to size × inputs × filters
        return {"kernel": numbers(layer.inner.weight.permute(2, 1, 0)), "bias": numbers(layer.inner.bias)}
    if isinstance(layer, Lstm):
        return {"kernel": numbers(layer.inner.weight_ih_l0.T), "recurrent": numbers(layer.inner.weight_hh_l0.T),
                "bias": numbers(layer.inner.bias_ih_l0)}
    if isinstance(layer, Norm):
        inner = layer.inner
        return {"gamma": numbers(inner.weight), "beta": numbers(inner.bias), "mean": numbers(inner.running_mean),
                "variance": numbers(inner.running_var)}
    return {}


def described(layer):
    if isinstance(layer, nn.Linear):
        return {"kind": "dense", "units": layer.out_features}
    if isinstance(layer, Norm):
        return {"kind": "batch_norm"}
    if isinstance(layer, Lstm):
        return {"kind": "lstm", "units": layer.inner.hidden_size, "sequences": layer.sequences}
    if isinstance(layer, Steps) and isinstance(layer.inner, nn.Conv1d):
        inner = layer.inner
        return {"kind": "conv", "filters": inner.out_channels, "size": inner.kernel_size[0], "stride": inner.stride[0],
                "dilation": inner.dilation[0], "padding": inner.padding[0]}
    if isinstance(layer, Steps):
        kind = "max" if isinstance(layer.inner, nn.MaxPool1d) else "average"
        size = layer.inner.kernel_size if kind == "max" else layer.inner.kernel_size[0]
        return {"kind": kind + "_pool", "size": size}
    if isinstance(layer, Global):
        return {"kind": "global_" + layer.kind}
    return {"kind": {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "Tanh": "tanh", "Sigmoid": "sigmoid",
                     "Flatten": "flatten"}[type(layer).__name__]}


def case(name, steps, channels, layers, goal, classes=2, decay=0.0, rate=0.01, batch=24, batches=5):
    net = nn.Sequential(*layers)
    for layer, behind in zip(layers, layers[1:]):  # takes every mean away, so that the bias learns from rounding alone
        if isinstance(behind, Norm):
            getattr(layer, "inner", layer).bias.requires_grad_(False)
    with torch.no_grad():
        normed = {id(p) for layer in net if isinstance(layer, Norm) for p in layer.parameters()}  # begin at 1 and 0
        for parameter in net.parameters():
            if id(parameter) in normed:
                continue
            if parameter.requires_grad and parameter.dim() > 1:
                parameter.copy_(grid(parameter, 256))
            elif parameter.requires_grad:
                parameter.copy_(grid(parameter + 0.1 * torch.randn_like(parameter), 256))
    rows = grid(torch.randn(batch * batches, steps, channels), 64)
    labels = ((rows[:, :, 0].mean(1) + 0.2 * torch.randn(len(rows))) * 2 + classes / 2).clamp(0, classes - 1).long()
    out = {"name": name, "steps": steps, "channels": channels, "goal": goal, "classes": classes, "batch": batch,
           "decay": decay, "rate": rate, "rows": [int(x * 64) for x in rows.flatten().tolist()],
           "labels": labels.tolist()}
    before = [{**described(layer), **weights(layer)} for layer in net]
    adam = torch.optim.AdamW([{"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": decay},
                              {"params": [p for p in net.parameters() if p.dim() == 1], "weight_decay": 0.0}], lr=rate)
    losses = []
    for first in range(0, len(rows), batch):
        x, y = rows[first:first + batch], labels[first:first + batch]
        said = net(x).reshape(batch, -1)
        if goal == "reconstruction":
            loss = nn.functional.mse_loss(said, x.reshape(batch, -1))
        elif classes == 2:
            loss = nn.functional.binary_cross_entropy_with_logits(said[:, 0], y.float())
        else:
            loss = nn.functional.cross_entropy(said, y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(f"{loss.item():.9g}"))
    net.eval()
    with torch.no_grad():
        said = numbers(net(rows[:8]).reshape(8, -1))
    return {**out, "layers": before, "losses": losses, "after": [weights(layer) for layer in net], "said": said}


CASES = [
    case("perceptron", 1, 7, [nn.Linear(7, 21), Norm(21), nn.ReLU(), nn.Linear(21, 5), Norm(5), nn.Tanh(), nn.Linear(5, 1)],
         "label"),
    case("classes", 1, 6, [nn.Linear(6, 18), nn.ELU(), nn.Linear(18, 9), nn.LeakyReLU(0.01), nn.Linear(9, 3)], "label",
         classes=3, decay=0.1),
    case("autoencoder", 1, 19, [nn.Linear(19, 12), nn.ReLU(), nn.Linear(12, 4), nn.Sigmoid(), nn.Linear(4, 12), nn.ReLU(),
                                nn.Linear(12, 19)], "reconstruction"),
    case("convolution", 12, 3, [Steps(nn.Conv1d(3, 9, 3, padding=1)), nn.ReLU(), Steps(nn.MaxPool1d(2)),
                                Steps(nn.Conv1d(9, 6, 3, stride=2, dilation=1)), Norm(6), nn.ELU(), Flatten(),
                                nn.Linear(12, 1)], "label"),
    case("pooling", 10, 3, [Steps(nn.Conv1d(3, 8, 2, dilation=2)), nn.Tanh(), Steps(nn.AvgPool1d(2)), Global("max"),
                            nn.Linear(8, 1)], "label"),
    case("lstm", 9, 4, [Lstm(4, 10, True), Lstm(10, 6, False), nn.Linear(6, 1)], "label"),
    case("convolution-lstm", 8, 4, [Steps(nn.Conv1d(4, 8, 3, padding=1)), nn.ReLU(), Lstm(8, 6, True), Global("average"),
                                    nn.Linear(6, 3)], "label", classes=3),
]
print(json.dumps({"torch": torch.__version__, "cases": CASES}, separators=(",", ":")))
