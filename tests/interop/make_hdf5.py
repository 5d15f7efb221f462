"""Writes tests/interop/hdf5: arrays and attributes in every shape that hdf5_test.cc knows by heart.

Run with h5py 3.16 (any 3.x does); the arrays are array i of shape s, counted from 0: values k / 2 - 3 as they fit."""

import pathlib

import h5py
import numpy as np

folder = pathlib.Path(__file__).parent / "hdf5"
folder.mkdir(exist_ok=True)


def values(shape, kind):
    flat = np.arange(int(np.prod(shape)))
    flat = flat / 2 - 3 if np.dtype(kind).kind == "f" else flat - (0 if np.dtype(kind).kind == "u" else 3)
    return flat.reshape(shape).astype(kind)


def fill(file):
    kinds = ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", ">i4"]
    types = file.create_group("types")
    for half in ("a", "b"):  # few enough for links in the header of the latest format
        group = types.create_group(half)
        for kind in kinds[:8] if half == "a" else kinds[8:]:
            group[np.dtype(kind).str.replace("<", "le").replace(">", "be").replace("|", "no")] = values((3, 4), kind)
    shapes = file.create_group("shapes")
    shapes["scalar"] = np.float32(2.5)
    shapes["empty"] = np.zeros((0, 4), "f4")
    shapes["one"] = values((7,), "f4")
    shapes["three"] = values((2, 3, 4), "f4")
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((5,))
    h5py.h5d.create(shapes.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact).write(
        h5py.h5s.ALL, h5py.h5s.ALL, values((5,), "f4"))
    texts = file.create_group("texts")
    texts.attrs["variable"] = "model"
    texts.attrs["fixed"] = np.bytes_("tensorflow")
    texts.attrs["list"] = np.array([b"dense", b"dense_1", b"lstm"], "S12")
    texts.attrs.create("variable list", ["gr\u00fcn", "", "x" * 300], dtype=h5py.string_dtype())
    texts.attrs["nothing"] = np.array([], "f8")
    texts.attrs["number"] = 7


def fill_chunks(file, packed):
    for name, shape, chunk in (("one", (10,), (4,)), ("two", (7, 9), (3, 4)), ("whole", (5, 6), (5, 6))):
        file.create_dataset(name, data=values(shape, "f4"), chunks=chunk, **packed)


with h5py.File(folder / "old.h5", "w", libver="earliest") as file:
    fill(file)
    many = file.create_group("many")  # more links than a symbol table node holds
    for i in range(40):
        many[f"layer_{i}"] = np.float32(i)
with h5py.File(folder / "latest.h5", "w", libver="latest") as file:
    fill(file)
with h5py.File(folder / "v108.h5", "w", libver=("v108", "v108")) as file:
    fill(file)
with h5py.File(folder / "chunks.h5", "w", libver="earliest") as file:
    for name, packed in (("plain", {}), ("gzip", {"compression": "gzip"}),
                         ("shuffled", {"compression": "gzip", "shuffle": True, "fletcher32": True})):
        fill_chunks(file.create_group(name), packed)
    file.create_dataset("lzf", data=values((10,), "f4"), chunks=(4,), compression="lzf")
    file.create_dataset("unwritten", shape=(10,), dtype="f4", chunks=(4,))
with h5py.File(folder / "latest_chunks.h5", "w", libver=("v110", "v110")) as file:
    file.create_dataset("single", data=values((5, 6), "f4"), chunks=(5, 6), compression="gzip", shuffle=True)
    file.create_dataset("fixed array", data=values((10,), "f4"), chunks=(4,))
    dense = file.create_group("dense")
    for i in range(20):
        dense[f"layer_{i}"] = np.float32(i)
with h5py.File(folder / "bomb.h5", "w", libver="earliest") as file:  # zeros: a thousandth of their size
    for name, size in (("large", 3000), ("half", 2000)):
        file.create_dataset(name, data=np.zeros((size, size), "u1"), chunks=(size, size), compression="gzip",
                            compression_opts=9)
