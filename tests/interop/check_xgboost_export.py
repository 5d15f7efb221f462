#!/usr/bin/env python3
"""Whether the real XGBoost loads what nidus exports and gives the same margins, bit for bit.

    NIDUS_EXPORTS=/tmp/exports build/test/src/interop/interop_test --gtest_filter='XgboostWriter.*'
    python tests/interop/check_xgboost_export.py /tmp/exports

in an environment with the version of xgboost to ask (1.7 and later).
"""
import pathlib
import sys

import numpy as np
import xgboost as xgb


def main():
    wrong = asked = 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        booster = xgb.Booster()
        booster.load_model(str(path))
        rows, margins = [], []
        for line in path.with_suffix(".rows").read_text().splitlines():
            left, right = line.split("  ")
            rows.append([float(text) for text in left.split()])
            margins.append([float(text) for text in right.split()])
        rows, margins = np.array(rows, dtype=np.float32), np.array(margins, dtype=np.float32)
        names = booster.feature_names
        got = booster.predict(xgb.DMatrix(rows, feature_names=names), output_margin=True).reshape(margins.shape)
        asked += 1
        if got.tobytes() != margins.tobytes():
            wrong += 1
            print(f"{path.name}: {np.sum(got != margins)} of {margins.size} margins differ, by up to "
                  f"{np.abs(got - margins).max()}")
    print(f"xgboost {xgb.__version__}: {asked} models, {wrong} of them differ")
    sys.exit(1 if wrong or not asked else 0)


main()
