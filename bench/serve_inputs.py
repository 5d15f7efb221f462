#!/usr/bin/env python3
"""serve_inputs.py FOLDER: what bench/serve.sh trains on and sends. A table of 40,000 drawn rows of 69 features with a
label that takes deep trees to learn, one row and 1,000 rows of it as JSON, and 50,000 as 32-bit floats."""
import json
import os
import random
import shutil
import struct
import sys

if sys.argv[1] == "--join":  # FOREST BOOST FOLDER: one detector of the models of two
    manifests = [json.load(open(path + "/detector.json")) for path in sys.argv[2:4]]
    os.makedirs(sys.argv[4], exist_ok=True)
    whole = dict(manifests[0], name="both", members=[], golden=[])
    for path, manifest, name in zip(sys.argv[2:4], manifests, ("random_forest.nidus", "xgboost.nidus")):
        member = manifest["members"][0]
        shutil.copy(path + "/" + member["file"], sys.argv[4] + "/" + name)
        whole["members"].append(dict(member, file=name, weight=0.5))
    json.dump(whole, open(sys.argv[4] + "/detector.json", "w"))
    sys.exit()

COLUMNS = ["Feature %02d Of The Flow" % i for i in range(69)]
folder = sys.argv[1]
draw = random.Random(20261121)


def row():
    return [round(draw.lognormvariate(3, 2), 3) if i % 3 else draw.randrange(1000) for i in range(len(COLUMNS))]


def label(values):
    score = sum((1 if values[i] > 20 * (1 + i % 5) else -1) for i in range(0, 69, 4)) + draw.gauss(0, 3)
    return "attack" if score > 0 else "benign"


rows = [row() for _ in range(40000)]
with open(folder + "/table.csv", "w") as out:
    out.write(",".join(COLUMNS) + ",label\n")
    for values in rows:
        out.write(",".join(map(str, values)) + "," + label(values) + "\n")
named = [dict(zip(COLUMNS, values)) for values in rows[:1000]]
json.dump({"features": named[0]}, open(folder + "/row.json", "w"))
json.dump({"flows": named}, open(folder + "/batch.json", "w"))
with open(folder + "/rows.bin", "wb") as out:
    for i in range(50000):
        out.write(struct.pack("<69f", *rows[i % len(rows)]))
