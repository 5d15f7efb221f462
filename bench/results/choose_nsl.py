#!/usr/bin/env python3
"""Where settings for NSL-KDD are chosen: in KDDTrain+ alone, each category of attacks left out in turn.

    bench/results/choose_nsl.py DATA WORK [--seeds N] [--threads N] [NAME…]

DATA holds KDDTrain+.txt.zst; WORK takes tables, detectors and what was found. NIDUS is the program, else
build/release/src/cmd/nidus. Needs zstd, and a Python environment with bench/results/requirements.txt (of these numpy,
pandas and zstandard).

A configuration of declared.py is fitted on the training file without one category (dos, probe, r2l, u2r) and without a
fifth of the rest, and scores the benign rows of that fifth, which draw the lines, and the category that was left out.
What it prints is all that was looked at to choose: the test file is not opened here.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from declared import BENIGN_ONLY, NSL

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
}

RATES = (0.005, 0.01, 0.02, 0.05)


def nidus(*words):
    program = os.environ.get("NIDUS", str(Path(__file__).parent.parent.parent / "build/release/src/cmd/nidus"))
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


def write(path, rows):
    path.write_text(",".join(NAMES) + "\n" + "".join(",".join(row) + "\n" for row in rows))


def scores_of(detector, table):
    lines = nidus("detect", table, "--detector", detector, "--format", "csv").splitlines()
    score = lines[0].split(",").index("score")
    return np.array([float(line.split(",")[score]) for line in lines[1:]])


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
    work = given.work
    work.mkdir(parents=True, exist_ok=True)
    kind = np.array([CATEGORY.get(row[41], "benign") for row in rows])
    print("| configuration | seed | AUC against dos | probe | r2l | u2r | mean | recall at the 1 % line, mean | 2 % | 5 % |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.names or NSL:
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
                    nidus("train", table, "--label", "label", *NSL[name].split(),
                          *([] if name in BENIGN_ONLY else ["--classes", "binary"]), "--seed", seed,
                          "--validation", "0.05", "--threads", given.threads, "-o", detector, "--no-checkpoint")
                    score = scores_of(detector, test)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_intermixed_args()
    choose(given)


if __name__ == "__main__":
    main()
