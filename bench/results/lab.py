#!/usr/bin/env python3
"""Measures detectors of flows on captures of the traffic lab, and prints tables.

  bench/results/lab.py NIDUS LAB_TRAIN LAB_TEST [--foreign FOLDER --foreign-labels CSV] [--only TABLE,…] [--seeds N]
               [--detector FOLDER]

Tables: context (what the features of windows and neighbours add, attack by attack), left-out (each family when no flow
of it was learnt from), origins (learnt in one place, tried in another), times (how long, and how many packets of an
attack, until the first flow of it is called one), early (flows judged after their first packets), packets (the bundled
packets-sequence, or --detector FOLDER, by how many packets of a flow it has seen), attack-out (as left-out, but one
attack at a time), families (the bundled detectors of flows at the line where one benign flow in a thousand is above it), baselines (what is
cheap, beside the forest).

Thresholds are drawn on benign flows of lab captures kept from training, before a test capture is opened. Every opening
of the test captures is counted, and the count printed. Needs Python 3.11 and nothing else.
"""
import argparse
import collections
import csv
import datetime
import ipaddress
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

SETTINGS = ["--model", "forest", "--trees", "60", "--min-leaf", "2", "--nodes-max", "250000",
            "--rows-per-class", "20000", "--fpr", "0.005", "--no-checkpoint"]
FAMILIES = ["botnet", "brute_force", "ddos", "dos", "exfiltration", "infiltration", "port_scan", "web_attack"]


def captures(folder):
    found = [p for p in pathlib.Path(folder).rglob("*") if p.suffix in (".pcap", ".pcapng", ".cap")]
    return sorted(str(p) for p in found)


class Bench:
    def __init__(self, given):
        self.given = given
        self.work = pathlib.Path(tempfile.mkdtemp())
        self.openings = 0

    def nidus(self, *words):
        done = subprocess.run([self.given.nidus, *map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"nidus {' '.join(map(str, words))[:300]}: {done.stderr[-2000:]}")
        return done.stdout

    def train(self, name, inputs, labels, *more, seed=1):
        folder = self.work / name
        if not (folder / "detector.json").exists():
            self.nidus("train", *inputs, "--labels", labels, *SETTINGS, "--seed", seed, *more, "-o", folder)
        return folder

    def lab(self, name, *more, seed=1):
        folder = self.given.lab_train
        return self.train(name, captures(folder), f"{folder}/labels.csv", *more, seed=seed)

    def evaluate(self, detector, inputs=None, labels=None, more=()):
        self.openings += 1
        inputs = inputs or captures(self.given.lab_test)
        labels = labels or f"{self.given.lab_test}/labels.csv"
        text = self.nidus("evaluate", detector, *inputs, "--labels", labels, "--json", "--bootstrap", 0, *more)
        return json.loads(text)["evaluation"]


def recalls(evaluation):
    """Recall and number of flows of each kind of attack."""
    return {f["name"]: (f["recall"], f["support"]) for f in evaluation["families"] if f["name"] != "benign"}


def at_rate(evaluation, rate):
    return next(r["recall"] for r in evaluation["recall_at_rate"] if r["rate"] == rate)


def percent(x):
    return "–" if x is None else f"{100 * x:.1f}"


def spread(values):
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    mean = statistics.mean(values)
    return f"{100 * mean:.1f}" + (f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else "")


def families_of_attacks(folder):
    with open(f"{folder}/labels.csv", newline="") as file:
        return {row["attack"]: row["label"] for row in csv.DictReader(file) if row["attack"]}


def context_table(bench):
    without, with_it = [], []
    for seed in range(1, bench.given.seeds + 1):
        plain = bench.lab(f"plain-{seed}", "--exclude", "dst_port,context", seed=seed)
        full = bench.lab(f"context-{seed}", "--exclude", "dst_port", seed=seed)
        without.append(bench.evaluate(plain))
        with_it.append(bench.evaluate(full))
    print(f"\n## What context adds ({bench.given.seeds} seeds, mean ± standard deviation)\n")
    print("| all flows of the test captures | without | with |\n|---|---|---|")
    for name, of in [("attacks found at the frozen threshold, %", lambda e: e["attack_recall"]),
                     ("false alarms there, % (aim 0.5)", lambda e: e["false_positive_rate"]),
                     ("area under the ROC curve, %", lambda e: e["roc_auc"]),
                     ("found at a false-positive rate of 1 %", lambda e: at_rate(e, 0.01)),
                     ("found at 0.1 %", lambda e: at_rate(e, 0.001)),
                     ("mean over kinds of attack, %", lambda e: statistics.mean(r for r, _ in recalls(e).values()))]:
        print(f"| {name} | {spread([of(e) for e in without])} | {spread([of(e) for e in with_it])} |")
    family = families_of_attacks(bench.given.lab_test)
    kinds = sorted(recalls(without[0]), key=lambda k: (family.get(k, ""), k))
    print("\n| family | attack | flows | found without, % | with, % |\n|---|---|---|---|---|")
    for kind in kinds:
        flows = recalls(without[0])[kind][1]
        print(f"| {family.get(kind, '')} | {kind} | {flows} | {spread([recalls(e)[kind][0] for e in without])} | "
              f"{spread([recalls(e)[kind][0] for e in with_it])} |")


def left_out_table(bench):
    print("\n## Families never learnt from (one seed; binary; threshold frozen at 0.5 % of benign validation flows)\n")
    print("| left out | flows | found without context, % | with, % | with it in training, % | false alarms, % |")
    print("|---|---|---|---|---|---|")
    family = families_of_attacks(bench.given.lab_test)
    everything = bench.evaluate(bench.lab("binary", "--exclude", "dst_port", "--classes", "binary"))

    def of_family(evaluation, wanted):
        rows = [(r, n) for kind, (r, n) in recalls(evaluation).items() if family.get(kind) == wanted]
        total = sum(n for _, n in rows)
        return (sum(r * n for r, n in rows) / total if total else None), total

    for out in FAMILIES:
        results = []
        for name, exclude in [("plain", "dst_port,context"), ("context", "dst_port")]:
            detector = bench.lab(f"no-{out}-{name}", "--exclude", exclude, "--classes", "binary", "--merge", f"{out}=")
            results.append(bench.evaluate(detector))
        (plain, flows), (full, _), (known, _) = (of_family(e, out) for e in [*results, everything])
        print(f"| {out} | {flows} | {percent(plain)} | {percent(full)} | {percent(known)} | "
              f"{percent(results[1]['false_positive_rate'])} |", flush=True)


def families_table(bench):
    print("\n## Recall by family at a false-positive rate of 0.1 % (the line of each is where the test captures say)\n")
    family, bundled = families_of_attacks(bench.given.lab_test), pathlib.Path(bench.given.detector).parent
    print("| detector | " + " | ".join(FAMILIES) + " | mean |\n|---|" + "---|" * (len(FAMILIES) + 1))
    for name in ["flows-attacks", "flows-binary", "flows-anomaly", "packets-sequence"]:
        whole = bench.evaluate(bundled / name)
        line = next(r["threshold"] for r in whole["recall_at_rate"] if r["rate"] == 0.001)
        at_line = bench.evaluate(bundled / name, more=("--threshold", repr(line)))
        cells = []
        for wanted in FAMILIES:
            rows = [(r, n) for kind, (r, n) in recalls(at_line).items() if family.get(kind) == wanted]
            cells.append(sum(r * n for r, n in rows) / sum(n for _, n in rows))
        print(f"| `{name}` | " + " | ".join(map(percent, [*cells, statistics.mean(cells)])) + " |", flush=True)


def baselines_table(bench):
    print("\n## What is cheap, beside the forest (one seed; binary; threshold frozen at 0.5 % of benign validation flows)\n")
    print("| model | AUC | found, % | false alarms, % | mean over families, % |\n|---|---|---|---|---|")
    family, folder = families_of_attacks(bench.given.lab_test), bench.given.lab_train
    usual = ["--exclude", "dst_port", "--classes", "binary", "--rows-per-class", 20000, "--fpr", 0.005, "--no-checkpoint"]
    for title, model in [("forest, 60 trees", ["--model", "forest", "--trees", 60, "--min-leaf", 2]),
                         ("one tree", ["--model", "tree", "--min-leaf", 50]),
                         ("Mahalanobis distance, of benign flows", ["--model", "mahalanobis"]),
                         ("sums of histograms, of benign flows", ["--model", "histogram"]),
                         ("5 nearest neighbours, of benign flows", ["--model", "neighbours"])]:
        detector = bench.work / title.replace(" ", "-").replace(",", "")
        bench.nidus("train", *captures(folder), "--labels", f"{folder}/labels.csv", *usual, *model, "-o", detector)
        e = bench.evaluate(detector)
        means = []
        for wanted in FAMILIES:
            rows = [(r, n) for kind, (r, n) in recalls(e).items() if family.get(kind) == wanted]
            means.append(sum(r * n for r, n in rows) / sum(n for _, n in rows))
        print(f"| {title} | {e['roc_auc']:.3f} | {percent(e['attack_recall'])} | {percent(e['false_positive_rate'])} | "
              f"{percent(statistics.mean(means))} |", flush=True)


def origins_table(bench):
    foreign, labels = bench.given.foreign, bench.given.foreign_labels
    with open(labels, newline="") as file:
        named = {row["capture"] for row in csv.DictReader(file)}
    theirs = [c for c in captures(foreign) if pathlib.Path(c).name in named]
    print("\n## Learnt in one place, tried in another (binary, one seed)\n")
    print("| learnt from | tried on | context | AUC | found, % | false alarms, % (aim 0.5) |\n|---|---|---|---|---|---|")
    for context, exclude in [("without", "dst_port,context"), ("with", "dst_port")]:
        ours = bench.lab(f"binary-{context}", "--exclude", exclude, "--classes", "binary")
        other = bench.train(f"foreign-{context}", theirs, labels, "--exclude", exclude, "--classes", "binary")
        for a, b, detector, where in [("lab", "lab, other seeds", ours, ()), ("lab", "captures of others", ours, (theirs, labels)),
                                      ("captures of others", "lab", other, ())]:
            e = bench.evaluate(detector, *where)
            print(f"| {a} | {b} | {context} | {e['roc_auc']:.3f} | {percent(e['attack_recall'])} | "
                  f"{percent(e['false_positive_rate'])} |", flush=True)


class Rules:
    """The label file of a folder: which attack a flow belongs to."""

    def __init__(self, path):
        self.of = collections.defaultdict(list)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                end = lambda cell: ipaddress.ip_network(cell) if cell else None
                self.of[row["capture"]].append((row, end(row["a"]), end(row["b"])))

    def attack(self, capture, flow, start):
        source, target = ipaddress.ip_address(flow["src_ip"]), ipaddress.ip_address(flow["dst_ip"])
        ports = {"tcp": "6", "udp": "17"}
        for row, a, b in self.of[capture]:
            if row["from"] and start < float(row["from"]) or row["to"] and start > float(row["to"]):
                continue
            wanted = row["protocol"]
            if wanted and flow["protocol"] not in (["1", "58"] if wanted == "icmp" else [ports.get(wanted, wanted)]):
                continue
            for x, xp, y, yp in [(source, flow["src_port"], target, flow["dst_port"]),
                                 (target, flow["dst_port"], source, flow["src_port"])]:
                if (a is None or x in a) and (b is None or y in b) and row["a_port"] in ("", xp) and row["b_port"] in ("", yp):
                    return row["attack"] or None
        return None


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def times_table(bench):
    rules = Rules(f"{bench.given.lab_test}/labels.csv")
    print("\n## Until the first alarm (attacks of the test captures; detector with and without context, seed 1)\n")
    found = {}
    for name, exclude in [("plain", "dst_port,context"), ("context", "dst_port")]:
        detector = bench.lab(f"{name}-1", "--exclude", exclude)
        bench.openings += 1
        for capture in captures(bench.given.lab_test):
            flows = list(csv.DictReader(bench.nidus("flows", capture).splitlines()))
            verdicts = csv.DictReader(bench.nidus("detect", capture, "-d", detector, "--format", "csv").splitlines())
            # Verdicts show no ports where the protocol has none.
            ports = lambda r: () if r["protocol"] in ("1", "58") else (r["src_port"], r["dst_port"])
            who = lambda r, time: (r["src_ip"], r["dst_ip"], r["protocol"], r[time], *ports(r))
            alarm = {who(v, "start"): v["label"] != "benign" for v in verdicts}
            attacks = collections.defaultdict(list)
            for flow in flows:
                start = seconds(flow["timestamp"])
                kind = rules.attack(pathlib.Path(capture).name, flow, start)
                if kind:
                    packets = int(flow["fwd_pkts"]) + int(flow["bwd_pkts"])
                    end = start + int(flow["flow_duration"]) / 1e6
                    attacks[kind].append((end, start, packets, alarm[who(flow, "timestamp")]))
            for kind, members in attacks.items():
                members.sort()
                begin, packets, hit = min(m[1] for m in members), 0, None
                for end, _, count, alarmed in members:
                    packets += count
                    if alarmed:
                        hit = (end - begin, packets)
                        break
                found.setdefault((capture, kind), {})[name] = hit
    family = families_of_attacks(bench.given.lab_test)
    by_family = collections.defaultdict(list)
    for (_, kind), hits in found.items():
        by_family[family.get(kind, "")].append(hits)
    print("| family | attacks | found without context | median seconds | median packets | found with | seconds | packets |")
    print("|---|---|---|---|---|---|---|---|")
    for name in [*FAMILIES, "all"]:
        members = [h for f, hs in by_family.items() for h in hs if name in (f, "all")]
        cells = []
        for which in ["plain", "context"]:
            hits = [h[which] for h in members if h.get(which)]
            cells += [str(len(hits))] + ([f"{statistics.median(h[0] for h in hits):.1f}",
                                          f"{statistics.median(h[1] for h in hits):.0f}"] if hits else ["–", "–"])
        print(f"| {name} | {len(members)} | {' | '.join(cells)} |")


def early_table(bench):
    print("\n## Judged after the first N packets (forest, binary, one seed; shorter flows when they have ended)\n")
    print("| N | columns | AUC | found at the frozen threshold, % | false alarms, % (aim 0.5) | found at FPR 1 % | at 0.1 % |")
    print("|---|---|---|---|---|---|---|")
    for n in [2, 4, 8, 16, 32]:
        for name, words in [("packets", ["--features", "sequence"]), ("flow", ["--features", "flow", "--exclude", "dst_port"])]:
            detector = bench.lab(f"early-{name}-{n}", *words, "--early", n, "--classes", "binary")
            e = bench.evaluate(detector)
            print(f"| {n} | {name} | {e['roc_auc']:.4f} | {percent(e['attack_recall'])} | {percent(e['false_positive_rate'])} | "
                  f"{percent(at_rate(e, 0.01))} | {percent(at_rate(e, 0.001))} |", flush=True)


def packets_table(bench):
    detector = bench.given.detector
    print(f"\n## {pathlib.Path(detector).name}, by the packets it has seen (frozen threshold)\n")
    print("| after packets | AUC | found, % | false alarms, % | found at FPR 1 % | at 0.1 % | " + " | ".join(FAMILIES) + " |")
    print("|---|---|---|---|---|---|" + "---|" * len(FAMILIES))
    family = families_of_attacks(bench.given.lab_test)
    for n in [2, 4, 8, 16, 32, None]:
        e = bench.evaluate(detector, more=("--early", n) if n else ())
        cells = []
        for wanted in FAMILIES:
            rows = [(r, count) for kind, (r, count) in recalls(e).items() if family.get(kind) == wanted]
            cells.append(percent(sum(r * count for r, count in rows) / sum(count for _, count in rows)) if rows else "–")
        print(f"| {n or 'all'} | {e['roc_auc']:.4f} | {percent(e['attack_recall'])} | {percent(e['false_positive_rate'])} | "
              f"{percent(at_rate(e, 0.01))} | {percent(at_rate(e, 0.001))} | {' | '.join(cells)} |", flush=True)


def attack_out_table(bench):
    print("\n## Attacks never learnt from (one seed; binary; threshold frozen at 0.5 % of benign validation flows)\n")
    print("| family | left out | flows | found, % | with it in training, % | false alarms, % |\n|---|---|---|---|---|---|")
    folder = bench.given.lab_train
    family = families_of_attacks(bench.given.lab_test)
    known = bench.evaluate(bench.lab("binary", "--exclude", "dst_port", "--classes", "binary"))
    with open(f"{folder}/labels.csv", newline="") as file:
        rules = list(csv.DictReader(file))
    for kind in sorted(recalls(known), key=lambda k: (family.get(k, ""), k)):
        # Its flows get a label of their own, which is left out.
        labels = bench.work / f"without-{kind}.csv"
        with open(labels, "w", newline="") as file:
            out = csv.DictWriter(file, rules[0].keys())
            out.writeheader()
            out.writerows({**row, "label": "left_out" if row["attack"] == kind else row["label"]} for row in rules)
        merge = ["--merge", "left_out="] if any(row["attack"] == kind for row in rules) else []
        detector = bench.train(f"without-{kind}", captures(folder), labels, "--exclude", "dst_port", "--classes", "binary", *merge)
        e = bench.evaluate(detector)
        recall, flows = recalls(e)[kind]
        print(f"| {family.get(kind, '')} | {kind} | {flows} | {percent(recall)} | {percent(recalls(known)[kind][0])} | "
              f"{percent(e['false_positive_rate'])} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nidus")
    parser.add_argument("lab_train")
    parser.add_argument("lab_test")
    parser.add_argument("--foreign")
    parser.add_argument("--foreign-labels")
    parser.add_argument("--only", default="context,left-out,origins,times,early,packets,attack-out,families,baselines")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--detector", default=pathlib.Path(__file__).parents[2] / "share/detectors/packets-sequence")
    given = parser.parse_args()
    bench = Bench(given)
    tables = {"context": context_table, "left-out": left_out_table, "origins": origins_table, "times": times_table,
              "early": early_table, "packets": packets_table, "attack-out": attack_out_table,
              "families": families_table, "baselines": baselines_table}
    for name in given.only.split(","):
        if name != "origins" or given.foreign:
            tables[name](bench)
            sys.stdout.flush()
    print(f"\nThe test captures were opened {bench.openings} times for this.")


if __name__ == "__main__":
    main()
