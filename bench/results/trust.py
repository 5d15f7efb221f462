#!/usr/bin/env python3
"""What becomes of thresholds, probabilities and "unknown" on traffic that a detector did not learn from, of attacks that
it never met, and of attackers who change their packets. Makes the tables of "Elsewhere, later, and against somebody" in
docs/results.md.

    bench/results/trust.py FOLDER_OF_DATA OUT [--nidus PROGRAM] [--lab FOLDER_OF_LAB_CAPTURES] [TABLE…]

TABLE is any of sites, rolling, probabilities, unknown, left-out, evasion; without one all are made. Everything is done by
`nidus` itself; this script cuts rows out of the public tables and reads what it prints. ± is the standard deviation over
seeds.
"""
import argparse
import csv
import io
import json
import os
import random
import statistics
import subprocess
import sys

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


class Bench:
    def __init__(self, options):
        self.data, self.out, self.nidus_program, self.lab = options.data, options.out, options.nidus, options.lab
        self.seeds = range(1, options.seeds + 1)
        os.makedirs(self.out, exist_ok=True)

    def nidus(self, *words, status=(0,)):
        done = subprocess.run([self.nidus_program, *map(str, words)], capture_output=True, text=True)
        if done.returncode not in status:
            sys.exit(f"nidus {' '.join(map(str, words))}\n{done.stderr}")
        return done.stdout

    def evaluate(self, detector, *words):
        return json.loads(self.nidus("evaluate", detector, *words, "--json", "--bootstrap", 0))["evaluation"]

    def unpacked(self, name):
        """The lines of a data file."""
        whole = subprocess.run(["zstd", "-dc", os.path.join(self.data, name + ".zst")], capture_output=True, check=True)
        return io.StringIO(whole.stdout.decode("utf-8-sig"))

    def path(self, name):
        return os.path.join(self.out, name)

    def write(self, name, header, rows):
        with open(self.path(name), "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        return self.path(name)


def spread(values, form="{:.3f}"):
    if any(v is None for v in values):
        return "-"
    text = form.format(statistics.mean(values))
    return text if len(values) < 2 else f"{text} ± {form.format(statistics.stdev(values))}"


def percent(values):
    return spread([None if v is None else 100 * v for v in values], "{:.1f}")


def table(head, rows):
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


# Zeek's logs of two places: infected and honest things at homes in Prague (IoT-23), a day each of three hosts at a
# university (CTU-SME), which strangers scan and attack. 31,973 and 20,058 rows.
ZEEK = ["ts", "id.resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state", "missed_bytes",
        "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"]
THINGS = ["iot23-malware-capture-34-1.csv", "iot23-malware-capture-20-1.csv", "iot23-malware-capture-42-1.csv",
          "iot23-malware-capture-44-1.csv", "iot23-honeypot-capture-4-1.csv", "iot23-honeypot-capture-5-1.csv",
          "iot23-honeypot-capture-7-1.csv"]


def zeek_rows(bench, name):
    """Rows in the columns of ZEEK and the label, benign or attack, without those that nobody judged."""
    lines = bench.unpacked(name)
    if name.endswith(".csv"):
        reader = csv.DictReader(lines)
    else:
        fields = next(line for line in lines if line.startswith("#fields")).rstrip("\n").split("\t")[1:]
        reader = (dict(zip(fields, line.rstrip("\n").split("\t"))) for line in lines if not line.startswith("#"))
    out = []
    for row in reader:
        label = row["label"].lower()
        if label not in ("benign", "malicious"):
            continue
        cells = [("" if row[field] in ("-", "(empty)") else row[field]) for field in ZEEK]
        out.append(cells + ["benign" if label == "benign" else "attack"])
    return sorted(out, key=lambda cells: float(cells[0]))


def sites(bench):
    print("### Another site\n")
    things = [row for name in THINGS for row in zeek_rows(bench, name)]
    earlier = [row for name in ("ctu-sme-008-conn.log.labeled", "ctu-sme-010-conn.log.labeled")
               for row in zeek_rows(bench, name)]
    test = zeek_rows(bench, "ctu-sme-011-conn.log.labeled")
    benign = [row for row in earlier if row[-1] == "benign"]
    attacks = [row for row in earlier if row[-1] == "attack"]
    header = ZEEK + ["label"]
    bench.write("things.csv", header, things)
    bench.write("site-benign.csv", header[:-1], [row[:-1] for row in sorted(benign, key=lambda r: float(r[0]))])
    bench.write("site-test.csv", header, test)
    figures = {}
    for seed in bench.seeds:
        chance = random.Random(seed)
        few = chance.sample(attacks, 10)
        part = chance.sample(attacks, round(0.004 * len(benign)))
        bench.write("site-tainted.csv", header[:-1],
                    [row[:-1] for row in sorted(benign + part, key=lambda r: float(r[0]))])
        bench.write("with-benign.csv", header, things + benign)
        bench.write("with-labels.csv", header, things + benign + few)
        handful = [row for row in benign if chance.random() < 0.5] + few
        bench.write("handful.csv", header, sorted(handful, key=lambda r: float(r[0])))
        train = ["--label", "label", "--classes", "binary", "--trees", 100, "--seed", seed, "--fpr", 0.01]
        for name in ("things", "with-benign", "with-labels"):
            bench.nidus("train", bench.path(name + ".csv"), *train, "-o", bench.path("d-" + name))
        # By force: what becomes of a line that calibrate would refuse is to be measured too.
        bench.nidus("calibrate", bench.path("d-things"), bench.path("site-benign.csv"), "--force", "--fpr", 0.01, "-o",
                    bench.path("d-calibrated"))
        bench.nidus("calibrate", bench.path("d-things"), bench.path("site-tainted.csv"), "--force", "--fpr", 0.01, "-o",
                    bench.path("d-tainted"))
        bench.nidus("calibrate", bench.path("d-with-labels"), bench.path("site-benign.csv"), "--force", "--fpr", 0.01, "-o",
                    bench.path("d-both"))
        for regime in ("things", "calibrated", "tainted", "with-benign", "with-labels", "both"):
            e = bench.evaluate(bench.path("d-" + regime), bench.path("site-test.csv"), "--label", "label")
            figures.setdefault(regime, []).append(e)
    say = {"things": "zero-shot, frozen 1 %", "calibrated": "+ site benign: `nidus calibrate`",
           "tainted": "the same, 0.4 % of its rows attacks", "with-benign": "+ site benign: trained again",
           "with-labels": "+ 10 labelled attacks: trained again", "both": "the same, then `nidus calibrate`"}
    rows = []
    for regime, es in figures.items():
        rows.append([say[regime], spread([e["roc_auc"] for e in es]), percent([e["attack_recall"] for e in es]),
                     percent([e["false_positive_rate"] for e in es]),
                     percent([e["recall_at_rate"][0]["recall"] for e in es])])
    table(["IoT-23 to CTU-SME 011", "AUC", "recall, %", "realised FPR, %", "recall at the test's own 1 %"], rows)


def rolling(bench):
    print("### The rate that was meant, and the one that came of it\n")
    # 2017, by day. Benign rows of the day alone; the first half of a day, or all days before it, may be looked at.
    days = ["monday", "tuesday", "wednesday", "friday"]
    by_day = {}
    for day in days:
        reader = csv.reader(bench.unpacked(f"cicids2017-improved-sample-{day}.csv"))
        header = next(reader)
        label = header.index("Label")
        by_day[day] = [row for row in reader]
        bench.write(f"{day}.csv", header, by_day[day])
        mild = [row for row in by_day[day] if row[label] == "BENIGN"]
        bench.write(f"{day}-first.csv", header, mild[:len(mild) // 2])
        bench.write(f"{day}-second.csv", header, mild[len(mild) // 2:])
    rows = []
    for at in range(2, len(days)):
        learnt, day = days[:at], days[at]
        figures = {"frozen": [], "same": []}
        for seed in bench.seeds:
            bench.nidus("train", *[bench.path(d + ".csv") for d in learnt], "--label", "Label", "--classes", "binary",
                        "--seed", seed, "--fpr", 0.01, "--group", "equal", "-o", bench.path("d-day"))
            bench.nidus("calibrate", bench.path("d-day"), bench.path(day + "-first.csv"), "--force", "--fpr", 0.01,
                        "--hold-out", 0.1, "-o", bench.path("d-same"))
            for name, detector in (("frozen", "d-day"), ("same", "d-same")):
                said = json.loads(bench.nidus("detect", bench.path(day + "-second.csv"), "-d", bench.path(detector),
                                              "--json"))
                figures[name].append(said["attacks"] / said["flows"])
        rows.append([f"{', '.join(learnt)} → {day}, second half", percent(figures["frozen"]), percent(figures["same"])])
    table(["CIC-IDS2017 improved, benign rows", "false alarms at the frozen 1 %, %",
           "after `nidus calibrate` on the day's first half"], rows)

    # Another site, live. A block of --rolling 0.01 is of 2,000 rows, and three of them draw the first line.
    header = ZEEK + ["label"]
    bench.write("things.csv", header, [row for name in THINGS for row in zeek_rows(bench, name)])
    mild = [row for day in ("008", "010", "011") for row in zeek_rows(bench, f"ctu-sme-{day}-conn.log.labeled")
            if row[-1] == "benign"]
    bench.write("mild.csv", header[:-1], [row[:-1] for row in sorted(mild, key=lambda r: float(r[0]))])
    figures = {}
    for seed in bench.seeds:
        bench.nidus("train", bench.path("things.csv"), "--label", "label", "--classes", "binary", "--trees", 100, "--seed",
                    seed, "--fpr", 0.01, "-o", bench.path("d-things"))
        for how in ([], ["--rolling", 0.01]):
            text = bench.nidus("detect", bench.path("mild.csv"), "-d", bench.path("d-things"), "--format", "csv", *how)
            alarms = [float(row["score"]) >= float(row["threshold"]) for row in csv.DictReader(io.StringIO(text))]
            for name, part in (("first", alarms[:6000]), ("later", alarms[6000:])):
                figures.setdefault((bool(how), name), []).append(sum(part) / len(part))
    table(["IoT-23 to CTU-SME, benign rows in order of time", "false alarms among the first 6,000, %", "later, %"],
          [[say, percent(figures[how, "first"]), percent(figures[how, "later"])]
           for how, say in ((False, "frozen 1 %"), (True, "`nidus detect --rolling 0.01`"))])


def probabilities(bench):
    print("### Probabilities\n")
    rows = []
    train, test = (bench.path(n) for n in ("kdd-train.txt", "kdd-test.txt"))
    for path, name in ((train, "KDDTrain+.txt"), (test, "KDDTest+.txt")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(bench.unpacked(name).read())
    columns = ["--exclude", "difficulty", "--classes", "binary", "--fpr", 0.01]
    for model in ("forest", "boost"):
        for method in ("none", "platt", "isotonic"):
            inside, outside = [], []
            for seed in bench.seeds:
                words = [] if method == "none" else ["--calibration", method]
                bench.nidus("train", train, *columns, "--model", model, "--seed", seed, *words, "--hold-out", 0.2, "-o",
                            bench.path("d-kdd"))
                inside.append(bench.evaluate(bench.path("d-kdd"), train, "--hold-out", 0.2))
                outside.append(bench.evaluate(bench.path("d-kdd"), test))
            rows.append([model, method, spread([e["calibration_error"] for e in inside], "{:.4f}"),
                         spread([e["brier"] for e in inside], "{:.4f}"),
                         spread([e["calibration_error"] for e in outside], "{:.3f}"),
                         spread([e["brier"] for e in outside], "{:.3f}"),
                         spread([e["roc_auc"] for e in outside], "{:.4f}")])
    table(["NSL-KDD", "curve", "ECE, rows held out of KDDTrain+", "Brier", "ECE, KDDTest+", "Brier", "AUC"], rows)


def unknown_shares(bench, detector, *words):
    """How many rows of each kind are unknown, by `nidus evaluate`."""
    done = subprocess.run([bench.nidus_program, "evaluate", detector, *map(str, words), "--bootstrap", "0"],
                          capture_output=True, text=True)
    line = next(line for line in done.stderr.splitlines() if "unknown, meant for" in line)
    shares = {}
    for part in line.split(" %: ", 1)[1].split(", "):
        name, share = part.removesuffix(" %").rsplit(" ", 1)
        shares[name] = float(share)
    return shares


def unknown(bench):
    print("### Unknown\n")
    train, test = bench.path("kdd-train.txt"), bench.path("kdd-test.txt")
    for path, name in ((train, "KDDTrain+.txt"), (test, "KDDTest+.txt")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(bench.unpacked(name).read())
    known = {line.split(",")[41] for line in open(train, encoding="utf-8")}
    counts = {}
    for line in open(test, encoding="utf-8"):
        label = line.split(",")[41]
        counts[label] = counts.get(label, 0) + 1
    rows = []
    for alpha in (0.01, 0.05, 0.1):
        figures = {"held": [], "benign": [], "known": [], "new": []}
        for seed in bench.seeds:
            bench.nidus("train", train, "--exclude", "difficulty", "--classes", "binary", "--seed", seed, "--unknown", alpha,
                        "--hold-out", 0.2, "-o", bench.path("d-unknown"))
            inside = unknown_shares(bench, bench.path("d-unknown"), train, "--hold-out", 0.2, "--merge", "*=attack")
            figures["held"].append(max(inside.values()) / 100)
            shares = unknown_shares(bench, bench.path("d-unknown"), test)
            figures["benign"].append(shares.get("benign", 0) / 100)
            for key, kinds in (("known", [k for k in shares if k in known and k != "normal"]),
                               ("new", [k for k in shares if k not in known and k != "benign"])):
                rows_of = sum(counts.get(k, 0) for k in kinds)
                figures[key].append(sum(shares[k] * counts.get(k, 0) for k in kinds) / rows_of / 100)
        rows.append([f"{alpha:g}"] + [percent(figures[k]) for k in ("held", "benign", "known", "new")])
    table(["NSL-KDD, forest, alpha", "held out of KDDTrain+, the worse of both classes, %", "KDDTest+ benign",
           "attacks it had learnt", "attacks new to it"], rows)


def left_out(bench):
    print("### An attack that was never met\n")
    inputs = [os.path.join(bench.data, f"cicids2017-improved-sample-{d}.csv.zst")
              for d in ("monday", "tuesday", "wednesday", "friday")]
    attacks = ["FTP-Patator", "SSH-Patator", "DoS Hulk", "DoS GoldenEye", "DoS Slowloris", "DoS Slowhttptest", "Portscan",
               "DDoS", "Botnet"]
    held = ["--label", "Label", "--group", "equal", "--hold-out", 0.3]
    figures = {attack: {"with": [], "without": [], "fpr": []} for attack in attacks}

    def measure(seed, merge):
        bench.nidus("train", *inputs, *held, "--classes", "binary", "--seed", seed, "--fpr", 0.01, *merge, "-o",
                    bench.path("d-left"))
        e = bench.evaluate(bench.path("d-left"), *inputs, *held)
        return {f["name"]: f["recall"] for f in e["families"]}, e["false_positive_rate"]

    for seed in bench.seeds:
        whole, _ = measure(seed, [])
        for attack in attacks:
            found, alarms = measure(seed, ["--merge", attack + "="])
            figures[attack]["with"].append(whole[attack])
            figures[attack]["without"].append(found[attack])
            figures[attack]["fpr"].append(alarms)
    rows = [[attack] + [percent(figures[attack][k]) for k in ("with", "without", "fpr")] for attack in attacks]
    table(["CIC-IDS2017 improved, rows held out", "recall, learnt, %", "recall, never met", "false alarms at the 1 % line"],
          rows)


def evasion(bench):
    print("### Somebody who hides\n")
    captures = sorted(os.path.join(bench.lab, name) for name in os.listdir(bench.lab) if name.endswith(".pcap"))
    moves = [("as they were", None), ("delay × 2", ["--delay", "2"]), ("delay × 5", ["--delay", "5"]),
             ("padding 64 to 512 bytes", ["--pad", "64-512"]), ("pieces of 100 bytes", ["--split", "100"]),
             ("all three", ["--delay", "2", "--pad", "64-512", "--split", "100"])]
    found, overall = {}, {}
    for name, words in moves:
        folder = bench.lab
        if words:
            folder = bench.path("evading-" + "".join(c for c in name if c.isalnum()))
            subprocess.run([os.path.join(HOUSE, "lab", "lab"), "evade", *captures, *words, "--out", folder], check=True,
                           stdout=subprocess.DEVNULL)
        inputs = [os.path.join(folder, os.path.basename(c)) for c in captures]
        e = bench.evaluate(os.path.join(HOUSE, "share/detectors/flows-attacks"), *inputs, "--labels",
                           os.path.join(folder, "labels.csv"))
        overall[name] = e
        found[name] = {c["name"]: c for c in e["classes"]}
        families = {}
        for family in e["families"]:
            families[family["name"]] = family
        found[name] = families
    kinds = sorted(k for k in found["as they were"] if k != "benign" and found["as they were"][k]["support"] >= 20)
    rows = [["all attacks"] + [percent([overall[name]["attack_recall"]]) for name, _ in moves]]
    for kind in kinds:
        rows.append([f"{kind} ({found['as they were'][kind]['support']})"] +
                    [percent([found[name][kind]["recall"]]) if kind in found[name] else "-" for name, _ in moves])
    rows.append(["false alarms"] + [percent([overall[name]["false_positive_rate"]]) for name, _ in moves])
    table(["lab, recall at the detector's line, %"] + [name for name, _ in moves], rows)


TABLES = {"sites": sites, "rolling": rolling, "probabilities": probabilities, "unknown": unknown, "left-out": left_out,
          "evasion": evasion}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--nidus", default=os.path.join(HOUSE, "build/release/src/cmd/nidus"))
    parser.add_argument("--lab")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    options = parser.parse_intermixed_args()
    for name in options.tables:
        if name not in TABLES:
            parser.error(f"no table '{name}': there are {', '.join(TABLES)}")
    bench = Bench(options)
    for name in options.tables or TABLES:
        if name == "evasion" and not bench.lab:
            print("(evasion needs --lab)\n")
            continue
        TABLES[name](bench)


if __name__ == "__main__":
    main()
