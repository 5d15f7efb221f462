#!/usr/bin/env python3
"""NSL-KDD's official split, as far as nidus gets: settings are chosen inside the training file, the test file is opened
once for each configuration that was declared, and every opening is written down.

    bench/nsl_kdd.py choose DATA WORK [--seeds N] [NAME…]   # KDDTrain+ alone: each category of attacks left out in turn
    bench/nsl_kdd.py open DATA WORK [--seeds N] NAME…       # KDDTest+: appends to WORK/openings

DATA holds KDDTrain+.txt.zst and KDDTest+.txt.zst; WORK takes tables, detectors and scores. NIDUS is the program, else
build/release/src/cmd/nidus. Needs numpy and zstd.

`choose` fits a configuration on the training file without one category (dos, probe, r2l, u2r) and a fifth of the rest,
and scores that fifth, whose benign rows draw the lines, and the category that was left out. What it prints is what may
be looked at to choose. CONFIGURATIONS below is what was declared.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "results"))

NAMES = """duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot num_failed_logins
logged_in num_compromised root_shell su_attempted num_root num_file_creations num_shells num_access_files
num_outbound_cmds is_host_login is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate
same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count dst_host_same_srv_rate
dst_host_diff_srv_rate dst_host_same_src_port_rate dst_host_srv_diff_host_rate dst_host_serror_rate
dst_host_srv_serror_rate dst_host_rerror_rate dst_host_srv_rerror_rate label""".split()
# httptunnel counts as R2L, worm as DoS.
CATEGORIES = {
    "dos": "neptune smurf back teardrop pod land apache2 processtable mailbomb udpstorm worm",
    "probe": "satan ipsweep portsweep nmap mscan saint",
    "r2l": "guess_passwd warezmaster warezclient imap ftp_write multihop phf spy snmpguess snmpgetattack httptunnel "
           "named sendmail xlock xsnoop",
    "u2r": "buffer_overflow rootkit loadmodule perl ps xterm sqlattack",
}
CATEGORY = {name: category for category, names in CATEGORIES.items() for name in names.split()}
SHA256 = {
    "KDDTrain+.txt": "1b86d2f957b33082081bba410fe129b475efebcc13c9014c3f447c8271aadf95",
    "KDDTest+.txt": "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84",
}

BINARY = "--classes binary"
CONFIGURATIONS = {
    "isolation-forest": "--model isolation-forest",
    "mahalanobis": "--model mahalanobis",
    "histogram": "--model histogram",
    "neighbours": "--model neighbours",
    "tree": f"--model tree {BINARY}",
    "forest": f"--model forest {BINARY}",
    "extra-trees": f"--model extra-trees {BINARY}",
    "boost": f"--model boost {BINARY}",
    "forest-boost": f"--model ensemble --members forest,boost {BINARY}",
    "benign-mean": "--model ensemble --members mahalanobis,histogram,neighbours,isolation-forest",
    "benign-max": "--model ensemble --members mahalanobis,histogram,neighbours,isolation-forest --combine max",
    "benign-two": "--model ensemble --members mahalanobis,neighbours",
    "boost-mahalanobis-max": f"--model ensemble --members boost,mahalanobis --combine max {BINARY}",
    "boost-mahalanobis-mean": f"--model ensemble --members boost,mahalanobis {BINARY}",
    "three-mean": f"--model ensemble --members forest,boost,mahalanobis {BINARY}",
    "three-vote": f"--model ensemble --members forest,boost,mahalanobis --combine vote {BINARY}",
    "three-max": f"--model ensemble --members forest,boost,mahalanobis --combine max {BINARY}",
    "three-stack": f"--model ensemble --members forest,boost,mahalanobis --combine stack {BINARY}",
    "five-mean": f"--model ensemble --members forest,extra-trees,boost,mahalanobis,neighbours {BINARY}",
    "extra-boost-mahalanobis": f"--model ensemble --members extra-trees,boost,mahalanobis {BINARY}",
    "extra-mahalanobis": f"--model ensemble --members extra-trees,mahalanobis {BINARY}",
}
ANOMALY = ("isolation-forest", "mahalanobis", "histogram", "neighbours", "benign-")
RATES = (0.005, 0.01, 0.02, 0.05)


def nidus(*words):
    program = os.environ.get("NIDUS", str(Path(__file__).parent.parent / "build/release/src/cmd/nidus"))
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"nidus {' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout


def read(data, name):
    raw = subprocess.run(["zstd", "-dc", str(data / (name + ".zst"))], check=True, capture_output=True).stdout
    if hashlib.sha256(raw).hexdigest() != SHA256[name]:
        sys.exit(f"{name}: other bytes than were declared")
    rows = [line.split(",")[:42] for line in raw.decode().splitlines()]  # without `difficulty`
    for row in rows:
        row[41] = "benign" if row[41] == "normal" else row[41]
    return rows


def categories(rows, five):
    """The same rows under their category, or as they are called."""
    return [row[:41] + [CATEGORY.get(row[41], "benign")] for row in rows] if five else rows


def write(path, rows):
    path.write_text(",".join(NAMES) + "\n" + "".join(",".join(row) + "\n" for row in rows))


def scores_of(detector, table, *more):
    out = nidus("detect", table, "--detector", detector, "--format", "csv", *more)
    lines = out.splitlines()
    names = lines[0].split(",")
    score, label = names.index("score"), names.index("label")
    cells = [line.split(",") for line in lines[1:]]
    return np.array([float(row[score]) for row in cells]), np.array([row[label] for row in cells])


def area(benign, attacks):
    """Under the ROC curve, ties counted half."""
    every = np.concatenate([benign, attacks])
    order = np.argsort(every, kind="stable")
    values = every[order]
    ranks = np.empty(len(every))
    first = np.searchsorted(values, values, "left")
    last = np.searchsorted(values, values, "right")
    ranks[order] = (first + last + 1) / 2
    return (ranks[len(benign):].sum() - len(attacks) * (len(attacks) + 1) / 2) / (len(benign) * len(attacks))


def choose(given):
    rows = read(given.data, "KDDTrain+.txt")
    work = given.work / "choose"
    work.mkdir(parents=True, exist_ok=True)
    kind = np.array([CATEGORY.get(row[41], "benign") for row in rows])
    print("| configuration | seed | AUC against dos | probe | r2l | u2r | mean | recall at the 1 % line, mean | 2 % | 5 % |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.names or CONFIGURATIONS:
        for seed in range(1, given.seeds + 1):
            kept = work / f"{name}-{seed}.json"
            if not kept.exists():
                held = np.random.default_rng(seed).random(len(rows)) < 0.2
                areas, recalls = {}, {rate: [] for rate in RATES}
                for left_out in CATEGORIES:
                    table, test = work / f"{left_out}-{seed}.csv", work / f"{left_out}-{seed}-out.csv"
                    away = kind == left_out
                    if not table.exists():
                        write(table, [rows[i] for i in np.flatnonzero(~held & ~away)])
                        write(test, [rows[i] for i in np.flatnonzero((held & (kind == "benign")) | away)])
                    detector = work / f"{name}-{seed}-{left_out}"
                    # What nidus keeps for its own line is not needed here: the fifth draws it.
                    nidus("train", table, "--label", "label", *CONFIGURATIONS[name].split(), "--seed", seed,
                          "--validation", "0.05", "--threads", given.threads, "-o", detector, "--no-checkpoint")
                    score, _ = scores_of(detector, test)
                    truth = kind[np.flatnonzero((held & (kind == "benign")) | away)]
                    benign, attacks = score[truth == "benign"], score[truth != "benign"]
                    areas[left_out] = area(benign, attacks)
                    for rate in RATES:
                        line = np.sort(benign)[::-1][int(rate * len(benign))]
                        recalls[rate].append(float((attacks > line).mean()))
                kept.write_text(json.dumps({"areas": areas, "recalls": {str(r): v for r, v in recalls.items()}}))
            found = json.loads(kept.read_text())
            each = " | ".join(f"{found['areas'][c]:.4f}" for c in CATEGORIES)
            recall = " | ".join(f"{np.mean(found['recalls'][str(r)]):.3f}" for r in RATES[1:])
            print(f"| {name} | {seed} | {each} | {np.mean(list(found['areas'].values())):.4f} | {recall} |", flush=True)


def wilson(hits, n):
    if n == 0:
        return "-"
    p, z = hits / n, 1.96
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return f"{100 * p:.1f} ({100 * (middle - half):.1f}–{100 * (middle + half):.1f})"


def figures(truth, novel, score, label, held, five):
    """What the test rows say, at lines that the held benign rows of the training file drew."""
    benign, attacks = score[truth == "benign"], score[truth != "benign"]
    out = {"auc": area(benign, attacks),
           "recall at FPR 5 %": float((attacks > np.sort(benign)[::-1][int(0.05 * len(benign))]).mean())}
    for rate in RATES:
        line = np.sort(held)[::-1][int(rate * len(held))]
        alarm = score > line
        out[f"accuracy {rate}"] = float((alarm == (truth != "benign")).mean())
        out[f"recall {rate}"] = float(alarm[truth != "benign"].mean())
        out[f"rate {rate}"] = float(alarm[truth == "benign"].mean())
        out[f"novel {rate}"] = float(alarm[novel].mean())
        if five:
            said = np.where(alarm, label, "benign")
            f1 = []
            for c in ["benign", *CATEGORIES]:
                hits = float(((said == c) & (truth == c)).sum())
                f1.append(2 * hits / max(1.0, float((said == c).sum() + (truth == c).sum())))
                out[f"{c} {rate}"] = hits / float((truth == c).sum())
            out[f"five {rate}"] = float((said == truth).mean())
            out[f"macro {rate}"] = float(np.mean(f1))
    return out


def open_test(given):
    rows, test = read(given.data, "KDDTrain+.txt"), read(given.data, "KDDTest+.txt")
    work = given.work / "open"
    work.mkdir(parents=True, exist_ok=True)
    known = {row[41] for row in rows}
    truth = np.array([CATEGORY.get(row[41], "benign") for row in test])
    novel = np.array([row[41] not in known for row in test])
    for name in given.names:
        five = "--classes binary" not in CONFIGURATIONS[name] and not name.startswith(ANOMALY)
        every = []
        for seed in range(1, given.seeds + 1):
            kept = work / f"{name}-{seed}.json"
            if not kept.exists():
                held = (np.random.default_rng(seed).random(len(rows)) < 0.2) & np.array([r[41] == "benign" for r in rows])
                table, lines, last = work / "learn.csv", work / "held.csv", work / "test.csv"
                write(table, categories([rows[i] for i in np.flatnonzero(~held)], five))
                write(lines, categories([rows[i] for i in np.flatnonzero(held)], five))
                write(last, categories(test, five))
                detector = work / f"{name}-{seed}"
                nidus("train", table, "--label", "label", *CONFIGURATIONS[name].split(), "--seed", seed,
                      "--validation", "0.05", "--threads", given.threads, "-o", detector, "--no-checkpoint")
                drawn, _ = scores_of(detector, lines)
                with open(given.work / "openings", "a") as log:
                    log.write(f"{name} {seed}: {CONFIGURATIONS[name]}\n")
                # A line at nothing, so that the label said is that of the most likely attack.
                score, label = scores_of(detector, last, "--threshold", "-1") if five else scores_of(detector, last)
                kept.write_text(json.dumps(figures(truth, novel, score, label, drawn, five)))
            every.append(json.loads(kept.read_text()))
        print(f"\n{name}: `{CONFIGURATIONS[name]}`, {len(every)} seeds")
        for key in every[0]:
            values = [run[key] for run in every]
            spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
            print(f"  {key}: {np.mean(values):.4f}{spread}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["choose", "open"])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    {"choose": choose, "open": open_test}[given.verb](given)
