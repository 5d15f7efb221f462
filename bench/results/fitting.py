"""Fits nidus and its peers to the same files, and keeps what each says of every held and test row."""

import csv
import json
import subprocess
from dataclasses import dataclass

import numpy as np
import pandas as pd

TREES, ROUNDS, DEPTH = 100, 200, 6
PEER = {"forest": "scikit-learn", "extra-trees": "scikit-learn", "boost": "xgboost"}
RATE = 0.01  # of benign rows taken for attacks, that nidus draws its own threshold for


@dataclass
class Files:
    """The rows of one experiment and seed: fit.csv, held.csv, test.csv, with the columns of the features, `label`,
    `family` and `split`."""

    folder: object
    features: list
    texts: list

    @property
    def parts(self):
        return [self.folder / f"{part}.csv" for part in ("fit", "held", "test")]

    def truth(self):
        """Of the test rows: label, family, perhaps hard; and which families no fit row has, as novel."""
        with np.load(self.folder / "truth.npz") as kept:
            return dict(kept)


def write_files(folder, rows, masks):
    files = Files(folder, list(rows.cells.columns), rows.texts)
    if not all(path.exists() for path in files.parts):
        folder.mkdir(parents=True, exist_ok=True)
        fit, _, test = masks
        hard = {} if rows.hard is None else {"hard": rows.hard[test]}
        novel = np.setdiff1d(rows.family[test], rows.family[fit])
        np.savez_compressed(folder / "truth.npz", label=rows.label[test].astype(str),
                            family=rows.family[test].astype(str), novel=novel.astype(str), **hard)
        for path, mask in zip(files.parts, masks):
            part = rows.cells[mask].assign(label=rows.label[mask], family=rows.family[mask], split=path.stem)
            part.to_csv(path.with_suffix(".new"), index=False)
            path.with_suffix(".new").rename(path)
    return files


def read_part(path, files):
    """The features, as numbers and as texts, and the labels."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = [name for name in files.features if name not in files.texts]
    # What no float32 can hold becomes the largest that it can, for both peers; nidus does the same.
    most = float(np.finfo(np.float32).max)
    x = table[numbers].apply(pd.to_numeric).to_numpy(np.float64).clip(-most, most)
    return x, table[files.texts], table["label"].to_numpy()


def ask_peer(model, files, seed, binary, balanced, threads):
    """What the peer says of the held and of the test rows. Texts become one column for each word of the fit rows."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.utils.class_weight import compute_sample_weight

    fit, held, test = (read_part(path, files) for path in files.parts)
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    if files.texts:
        words.fit(fit[1])

    def matrix(part):
        numbers = part[0].astype(np.float32)
        return np.hstack([numbers, words.transform(part[1])]) if files.texts else numbers

    names = ["benign"] + sorted(set(fit[2]) - {"benign"})
    y = np.searchsorted(names[1:], fit[2]) + 1
    y[fit[2] == "benign"] = 0
    if model == "boost":
        import xgboost

        one = xgboost.XGBClassifier(n_estimators=ROUNDS, max_depth=DEPTH, learning_rate=0.3, tree_method="hist",
                                    max_bin=256, random_state=seed, n_jobs=threads)
        one.fit(matrix(fit), y, sample_weight=compute_sample_weight("balanced", y) if balanced else None)
    else:
        make = RandomForestClassifier if model == "forest" else ExtraTreesClassifier
        one = make(TREES, random_state=seed, n_jobs=threads, class_weight="balanced" if balanced else None)
        one.fit(matrix(fit), y)
    answers = []
    for part in (held, test):
        shares = one.predict_proba(matrix(part)).astype(np.float64)
        best = shares[:, 1:].argmax(1) + 1
        answers.append({"score": shares[:, 1] if binary else 1 - shares[:, 0], "attack": np.array(names)[best],
                        "attack_score": shares[np.arange(len(best)), best]})
    return answers


def call(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def ask_nidus(nidus, detector, model, files, seed, binary, balanced, threads):
    """Trains a detector by `nidus train`, and what `nidus detect` and `nidus evaluate` say with it."""
    # The rows named `held` are one group, which goes to the validation side as a whole; all others are learnt from.
    call([nidus, "train", *files.parts[:2], "-o", detector, "--features", ",".join(files.features),
          "--label", "label", "--group", "split", "--validate-on", "held", "--validation", 0.9, "--fpr", RATE,
          "--classes", "binary" if binary else "multi", "--weights", "balanced" if balanced else "none",
          "--model", model, "--trees", TREES, "--rounds", ROUNDS, "--seed", seed, "--threads", threads])
    answers = []
    for path in files.parts[1:]:
        verdicts = detector / f"{path.stem}-verdicts.csv"
        # From a threshold of 0 on every row is named after its most likely attack.
        call([nidus, "detect", path, "--detector", detector, "--threshold", 0, "--threads", threads,
              "--format", "csv", "-o", verdicts])
        with open(verdicts, newline="") as file:
            lines = list(csv.DictReader(file))
        answers.append({"score": np.array([float(line["score"]) for line in lines]),
                        "attack": np.array([line["label"] for line in lines]),
                        "attack_score": np.array([float(line["label_score"]) for line in lines])})
        verdicts.unlink()
    evaluation = json.loads(call([nidus, "evaluate", detector, files.parts[2], "--label", "label", "--json"]))
    manifest = json.loads((detector / "detector.json").read_text())
    return answers, evaluation["evaluation"], manifest
