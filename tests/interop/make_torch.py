"""Writes tests/interop/torch/VERSION-NAME: small models with random weights in the ways in which PyTorch saves them,
and what it says of some rows.

Run with torch 1.13.1 (Debian 12's python3-torch), 2.6.0 and 2.15.0: python make_torch.py"""

import collections
import copy
import json
import pathlib
import struct
import sys

import numpy as np
import torch
from torch import nn

version = torch.__version__.split("+")[0].replace("a0", "")
folder = pathlib.Path(__file__).parent / "torch"
torch.manual_seed(7)
random = np.random.default_rng(7)


def spell(value):
    value = float(value)
    return value if np.isfinite(value) else "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"


def prepare(model, double=False):
    for name, value in model.state_dict().items():
        if "running_var" in name:
            value.uniform_(0.3, 2)
        elif value.dtype.is_floating_point and value.dim() > 0:
            value.normal_().div_(max(1.0, np.prod(value.shape[1:])) ** 0.5)
    return model.eval()


def write(name, content, model, shape, architecture="", link=lambda y: y, tolerance=1e-6, legacy=False, save=None):
    rows = np.concatenate([random.normal(size=(8, *shape)), np.zeros((1, *shape)), 4 * random.normal(size=(2, *shape))])
    rows = rows.astype("float32")
    with torch.no_grad():
        scores = np.concatenate([link(model(torch.from_numpy(rows[i:i + 1]))).double().numpy().reshape(1, -1)
                                 for i in range(len(rows))])
        # How far PyTorch is from itself in double is no fault of ours: that much more is allowed.
        wide = copy.deepcopy(model).double()
        exact = np.concatenate([link(wide(torch.from_numpy(rows[i:i + 1]).double())).numpy().reshape(1, -1)
                                for i in range(len(rows))])
    tolerance += float(np.abs(scores - exact).max())
    to = folder / f"{version}-{name}"
    to.mkdir(parents=True, exist_ok=True)
    if save is not None:
        save(to)
    else:
        torch.save(content, to / "model.pt", _use_new_zipfile_serialization=not legacy)
    (to / "expected.json").write_text(json.dumps({
        "library": f"PyTorch {torch.__version__}", "what": "forward", "tolerance": tolerance, "architecture": architecture,
        "rows": [[spell(x) for x in row.reshape(-1)] for row in rows],
        "scores": [[spell(x) for x in row] for row in scores]}))


sigmoid = torch.sigmoid


def second(y):
    return torch.softmax(y, 1)[:, 1:]


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(7, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 7))

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Numbered(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(6, 9), nn.Linear(9, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class Sequences(nn.Module):
    def __init__(self, cell, layers, both):
        super().__init__()
        self.rnn = cell(4, 6, layers, batch_first=True, bidirectional=both)
        self.fc = nn.Linear(12 if both else 6, 3)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1, :])


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(1, 6, 3, padding=1), nn.BatchNorm1d(6), nn.LeakyReLU(), nn.MaxPool1d(2),
                                  nn.Conv1d(6, 8, 3, stride=2, dilation=2, groups=2), nn.ELU(), nn.AvgPool1d(2, padding=1),
                                  nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.fc = nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 4), nn.Softmax(dim=1))

    def forward(self, x):
        return self.fc(self.conv(x.unsqueeze(1)))


auto = prepare(Autoencoder())
write("state", auto.state_dict(), auto, (7,))
write("state-legacy", auto.state_dict(), auto, (7,), legacy=True)
write("checkpoint", {"epoch": 3, "model_state_dict": auto.state_dict(), "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.1}]},
                     "threshold": 0.25, "feature_names": [f"f{i}" for i in range(7)]}, auto, (7,))
write("parallel", collections.OrderedDict(("module." + k, v) for k, v in auto.state_dict().items()), auto, (7,))
write("compiled", {"state_dict": collections.OrderedDict(("model._orig_mod." + k, v) for k, v in auto.state_dict().items())}, auto, (7,))
write("whole", auto, auto, (7,))
write("whole-legacy", auto, auto, (7,), legacy=True)
numbered = prepare(Numbered())
write("numbered", numbered.state_dict(), numbered, (6,), link=second)
write("described", numbered.state_dict(), numbered, (6,), link=second, architecture="linear 6 9 relu linear 9 5 relu linear 5 2")
stack = prepare(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4), nn.SiLU(), nn.Linear(4, 1)))
write("stack-described", stack.state_dict(), stack, (5,), link=sigmoid, architecture="linear 5 8 tanh linear 8 4 silu linear 4 1")
write("stack-whole", stack, stack, (5,), link=sigmoid)
half = prepare(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))).half()
write("half", half.state_dict(), half.float(), (5,), link=sigmoid)
state = collections.OrderedDict((k, v.half() if "bias" in k else v.half()) for k, v in half.state_dict().items())
torch.save(state, folder / f"{version}-half" / "model.pt")
brain = prepare(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))).bfloat16().float()
write("bfloat16", {k: v.bfloat16() for k, v in brain.state_dict().items()}, brain, (5,), link=sigmoid)
# Views of one storage, transposed and with a distance between rows.
block = torch.randn(40, 40)
views = collections.OrderedDict([("0.weight", block[2:10, 1:6]), ("0.bias", block[11, :16:2]), ("2.weight", block.t()[20:21, 5:13]),
                                 ("2.bias", block[0, :1])])
viewed = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))
viewed.load_state_dict(views)
write("views", views, viewed.eval(), (5,), link=sigmoid)
write("views-legacy", views, viewed.eval(), (5,), link=sigmoid, legacy=True)
for name, cell, layers, both in (("lstm", nn.LSTM, 2, True), ("gru", nn.GRU, 1, False), ("rnn", nn.RNN, 1, True)):
    model = prepare(Sequences(cell, layers, both))
    write(name, model.state_dict(), model, (5, 4), link=lambda y: torch.softmax(y, 1),
          architecture=f"input 5 4 {name} 4 6{' layers 2' if layers == 2 else ''}{' bidirectional' if both else ''} last linear {12 if both else 6} 3")
conv = prepare(Convolutions())
write("conv-whole", conv, conv, (30,), architecture="input 1 30")
write("conv", conv.state_dict(), conv, (30,), architecture="input 1 30 conv1d 1 6 3 padding 1 batchnorm 6 leaky_relu 0.01 maxpool 2 "
      "conv1d 6 8 3 stride 2 dilation 2 groups 2 elu avgpool 2 padding 1 globalavgpool flatten linear 8 6 layernorm 6 gelu linear 6 4 softmax")
norms = prepare(nn.Sequential(nn.Linear(4, 6), nn.PReLU(), nn.Linear(6, 6), nn.Hardsigmoid(), nn.Linear(6, 6), nn.Hardtanh(), nn.Linear(6, 6), nn.Softplus(),
                              nn.Linear(6, 6), nn.ReLU6(), nn.Linear(6, 6), nn.SELU(), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6),
                              nn.Softsign(), nn.Linear(6, 6), nn.Mish(), nn.LayerNorm(6), nn.Linear(6, 1), nn.Sigmoid()))
write("activations-whole", norms, norms, (4,))
write("script", None, stack, (5,), link=sigmoid, save=lambda to: torch.jit.script(stack).save(str(to / "model.pt")))


def safetensors(to):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in auto.state_dict().items():
        raw = value.numpy().tobytes()
        kind = {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (to / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


if version.startswith("2"):  # the layout of the safetensors library, written out
    write("safetensors", None, auto, (7,), save=safetensors)
    # As from a machine with a graphics card: the place of a storage is no more than a text.
    tag, torch.serialization.location_tag = torch.serialization.location_tag, lambda storage: "cuda:0"
    write("cuda", auto.state_dict(), auto, (7,))
    write("cuda-legacy", auto.state_dict(), auto, (7,), legacy=True)
    torch.serialization.location_tag = tag
    (folder.parent / "torch_placeholder").mkdir(exist_ok=True)
    torch.save({"state": "placeholder"}, folder.parent / "torch_placeholder" / "model.pt")
print(version, "done", file=sys.stderr)
