"""What Python, numpy and joblib write of plain values, in every protocol: fixtures of src/interop/internal/pickle_test.cc.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy==1.26.4 joblib==1.2.0 lz4==4.4.5
    /tmp/venv/bin/python tests/interop/make_pickles.py old
    (again with numpy==2.4.6 joblib==1.6.0, and the argument new)
"""
import bz2, collections, gzip, lzma, pickle, sys, zlib
from pathlib import Path

import joblib
import numpy as np

out = Path(__file__).parent / "pickle"
out.mkdir(exist_ok=True)
era = sys.argv[1]

NODE = np.dtype({"names": ["left", "threshold", "flag"], "formats": ["<i8", "<f8", "u1"], "offsets": [0, 8, 16],
                 "itemsize": 24})
values = {
    "none": None, "true": True, "false": False, "small": 7, "negative": -3, "large": 70000, "long": 2**40,
    "longer": -(2**62), "huge": 2**70, "real": 0.1, "text": "flow \u00e9\u20ac\U0001f600", "quoted": "it's \"so\"\n",
    "bytes": bytes(range(256)), "empty bytes": b"", "bytearray": bytearray(b"\x00\xff"), "tuple": (1, (2, ()), "x", 4),
    "list": [1, [2, []]], "dict": {"a": 1, "b": {"c": 2}, 3: "three"}, "set": {5}, "frozenset": frozenset([6]),
    "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
    "doubles": np.array([[1.5, -2.0, np.inf], [4.0, 5.0, 1e-300]]),
    "columns": np.asfortranarray(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])),
    "floats": np.array([0.1, 3.0], np.float32), "halves": np.array([0.5, -65504.0, 6e-8], np.float16),
    "shorts": np.array([-1, 300], np.int16), "bytes8": np.array([255, 1], np.uint8), "flags": np.array([True, False]),
    "big end": np.array([1.25, -7.0], ">f8"), "big end integers": np.array([1, -2], ">i4"),
    "texts": np.array(["BENIGN", "D\u00e4mon"]), "labels": np.array(["a", "bcd"], dtype=object),
    "mixed": np.array([[None, 1], ["x", 2.5]], dtype=object), "strings": np.array([b"ab", b"c"]),
    "nodes": np.array([(1, 0.5, 1), (-1, -2.0, 0)], NODE), "nothing": np.zeros((0, 3)), "point": np.array(2.5),
    "float64": np.float64(0.25), "float32": np.float32(0.5), "int64": np.int64(-9), "bool_": np.bool_(True),
    "str_": np.str_("attack"), "float16": np.float16(1.5), "dtype": np.dtype("<f4"), "type": np.float64,
}
values["again"] = values["doubles"]
itself = []
itself.append(itself)
values["itself"] = itself

for protocol in range(6):
    (out / f"{era}-protocol{protocol}.pkl").write_bytes(pickle.dumps(values, protocol))
joblib.dump(values, out / f"{era}-joblib.pkl")
joblib.dump(values, out / f"{era}-joblib-protocol2.pkl", protocol=2)
if era == "new":
    plain = (out / "new-joblib.pkl").read_bytes()
    for kind in ["zlib", "gzip", "bz2", "xz", "lzma", "lz4"]:
        joblib.dump(values, out / f"new-joblib.{kind}", compress=(kind, 3))
    (out / "old.z").write_bytes(b"ZF" + hex(len(plain)).ljust(19).encode() + zlib.compress(plain))
