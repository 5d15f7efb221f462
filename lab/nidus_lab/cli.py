"""The command line of the lab."""
import argparse
import csv
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import attacks, evade, guard, install, labels, sandbox, selfcheck, session


def main(words):
    parser = argparse.ArgumentParser(prog="lab/lab",
                                     description="Makes labelled captures out of real programs in network "
                                     "namespaces of its own. Needs root; reaches nothing outside.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("make", help="make one capture")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--name", help="file name without .pcap (default: from seed and scenario)")
    _common(one)
    many = verbs.add_parser("suite", help="make a capture for each of many seeds")
    many.add_argument("--seeds", default="1-8", help="such as 1-20 or 1,4,9 (default: 1-8)")
    many.add_argument("--jobs", type=int, default=2, help="captures at a time (default: 2)")
    _common(many, scenario=None)
    listed = verbs.add_parser("record", help="make the captures that a list names, those that are not there yet")
    listed.add_argument("list", metavar="LIST", help="a CSV file with the columns " + ",".join(COLUMNS))
    listed.add_argument("--out", default="lab-out", metavar="DIR", help="a capture becomes DIR/FOLDER/NAME.pcap")
    listed.add_argument("--jobs", type=int, default=2, help="captures at a time (default: 2)")
    verbs.add_parser("list", help="list the scenarios")
    verbs.add_parser("install", help="install the Debian packages the lab needs")
    verbs.add_parser("clean", help="remove what a killed lab left")
    evading = verbs.add_parser("evade", help="rewrite the attacks of captures as an attacker could; needs no root")
    evading.add_argument("captures", nargs="+", metavar="CAPTURE", help="with labels.csv beside them")
    evading.add_argument("--delay", type=float, metavar="FACTOR", help="gaps before the attacker's packets, times so much")
    evading.add_argument("--jitter", type=float, default=0.2, help="of what is added to a gap, give or take (default: 0.2)")
    evading.add_argument("--pad", metavar="LEAST-MOST", help="bytes added to each of his payloads")
    evading.add_argument("--split", type=int, metavar="BYTES", help="his TCP segments in pieces of at most so many")
    evading.add_argument("--seed", type=int, default=1)
    evading.add_argument("--out", default="lab-evading", metavar="DIR")
    check = verbs.add_parser("selfcheck", help="make a short capture and see whether its rules fit its packets")
    check.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    try:
        return globals()[f"_{options.verb}"](options)
    except (guard.Refused, RuntimeError, ValueError) as reason:
        print(f"lab: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _common(parser, scenario="mix"):
    parser.add_argument("--scenario", default=scenario, metavar="NAME[,NAME...]",
                        help="see `lab/lab list` " + ("(default: mix)" if scenario
                                                      else "(default: a round of all of them)"))
    parser.add_argument("--duration", type=float, default=60, help="seconds of traffic, 10 to 300 (default: 60)")
    parser.add_argument("--out", default="lab-out", metavar="DIR")
    parser.add_argument("--snap", type=int, default=256, help="bytes kept of each packet (default: 256)")
    parser.add_argument("--calm", type=float, default=1.0,
                        help="stretches the pauses of honest people (default: 1)")
    parser.add_argument("--bulk", type=float, default=1.0, help="scales the sizes of files (default: 1)")


def _evade(options):
    moves = {}
    if options.delay is not None:
        if not 1 <= options.delay <= 1000 or not 0 <= options.jitter <= 1:
            raise ValueError("--delay lies between 1 and 1000, --jitter between 0 and 1")
        moves.update(delay=options.delay, jitter=options.jitter)
    if options.pad:
        least, _, most = options.pad.partition("-")
        moves["pad"] = (int(least), int(most or least))
        if not 0 <= moves["pad"][0] <= moves["pad"][1] <= evade.MTU:
            raise ValueError("--pad: such as 64-512")
    if options.split is not None:
        if options.split < 1:
            raise ValueError("--split: at least a byte")
        moves["split"] = options.split
    if not moves:
        raise ValueError("no move: --delay, --pad or --split")
    rows = []
    for capture in options.captures:
        name = os.path.basename(capture)
        attacks_found, theirs = evade.rewrite(capture, os.path.join(options.out, name), moves, options.seed)
        rows += theirs
        print(f"{name}: {attacks_found} attacking connections")
    with open(os.path.join(options.out, "labels.csv"), "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(labels.HEADER)
        writer.writerows(rows)
    return 0


def _make(options):
    _check_duration(options.duration)
    session.choose(options.scenario, options.seed,
                   options.duration)  # Unknown names are told before anything is made.
    options.out = os.path.abspath(options.out)
    if not sandbox.inside():
        _need_root()
        words = sandbox.command(["make", *_words(options), "--seed", str(options.seed),
                                 *(["--name", options.name] if options.name else [])])
        os.execvp(words[0], words)
    guard.check_away_from_host(guard.own_namespace(), sandbox.outside_network())
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    one = session.Session(options.seed, options.scenario, options.duration, options.out, options.snap,
                          options.name, options.calm, options.bulk)
    size = one.make()
    print(f"{os.path.join(options.out, one.name)}.pcap: {size / 1e6:.1f} MB", flush=True)
    return 0


def _check_duration(seconds):
    if not 10 <= seconds <= 300:
        raise ValueError("the duration must lie between 10 and 300 seconds")


def _suite(options):
    _need_root()
    return _make_all(options.jobs, {f"seed {seed}": [*_words(options, options.scenario or ROUND[seed % len(ROUND)]),
                                                     "--seed", str(seed)]
                                    for seed in _seeds(options.seeds)})


def _make_all(jobs, wanted):
    """Makes captures, `jobs` at a time, from what each is called to its words for `make`. Returns the exit status."""
    waiting, live, failed = dict(wanted), {}, []
    try:
        while waiting or live:
            while waiting and len(live) < max(1, jobs):
                name = next(iter(waiting))
                live[name] = subprocess.Popen(sandbox.command(["make", *waiting.pop(name)]), stdin=subprocess.DEVNULL)
                time.sleep(1)
            for name, process in list(live.items()):
                if process.poll() is not None:
                    del live[name]
                    if process.returncode:
                        failed.append(name)
            time.sleep(0.2)
    finally:
        for process in live.values():  # The room dies with its parent.
            process.kill()
    if failed:
        print(f"lab: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


# The columns of a list for `record`: where the capture goes, and options of `make`.
COLUMNS = ("folder", "name", "seed", "scenario", "duration", "calm", "bulk")


def _record(options):
    wanted = read_list(options.list)
    absent = [one for one in wanted if not is_there(options.out, one)]
    print(f"{len(wanted) - len(absent)} of {len(wanted)} captures are there", flush=True)
    if not absent:
        return 0
    _need_root()
    for folder in {one["folder"] for one in absent}:
        os.makedirs(os.path.join(options.out, folder), exist_ok=True)
    return _make_all(options.jobs, {one["name"]: ["--out", os.path.abspath(os.path.join(options.out, one["folder"])),
                                                  *(word for key in COLUMNS[1:] for word in (f"--{key}", one[key]))]
                                    for one in absent})


def read_list(path):
    """The captures of a list, each from column to text. Everything wrong with it is told before anything is made."""
    if not os.path.isfile(path):
        raise ValueError(f"{path}: no such file")
    with open(path, newline="", encoding="ascii") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: the header must be {','.join(COLUMNS)}")
        rows, seen = [], set()
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row or None in row.values():
                raise ValueError(f"{where}: must have {len(COLUMNS)} cells")
            if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", row[key]) for key in ("folder", "name")):
                raise ValueError(f"{where}: folder and name are letters, digits and ._-")
            if (row["folder"], row["name"]) in seen:
                raise ValueError(f"{where}: {row['folder']}/{row['name']} is there twice")
            seen.add((row["folder"], row["name"]))
            try:
                _check_duration(float(row["duration"]))
                session.choose(row["scenario"], int(row["seed"]), float(row["duration"]))
                if float(row["calm"]) <= 0 or float(row["bulk"]) <= 0:
                    raise ValueError("calm and bulk are above 0")
            except ValueError as reason:
                raise ValueError(f"{where}: {reason}") from None
            rows.append(row)
    return rows


def is_there(out, one):
    """Whether a capture of a list was made: the manifest is written last, so one that was broken off is not in it."""
    folder, file = os.path.join(out, one["folder"]), one["name"] + ".pcap"
    path = os.path.join(folder, "manifest.json")
    if not os.path.exists(os.path.join(folder, file)) or not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as manifest:
        made = json.load(manifest).get(file)
    if made is None:
        return False
    asked = {"seed": int(one["seed"]), "scenario": one["scenario"],
             **{key: float(one[key]) for key in ("duration", "calm", "bulk")}}
    for key, value in asked.items():
        if made.get(key, value) != value:  # Manifests of older captures do not tell all of them.
            raise ValueError(f"{os.path.join(folder, file)} is another capture, of {key} {made[key]}; the list says {value}")
    return True


# What a suite makes when no scenario is named: mostly mixtures, each family by itself, and days without attacks.
ROUND = ("mix", "benign", "mix", "dos", "mix", "port_scan", "mix", "ddos", "mix", "web_attack", "mix",
         "brute_force", "mix", "botnet",
         "mix", "exfiltration", "mix", "benign", "mix", "infiltration,port_scan,botnet")


def _list(_):
    print("benign          honest traffic only\nmix             some of everything, chosen by the seed")
    for family, names in session.families().items():
        print(f"{family:15} some of these, chosen by the seed:")
        for name in names:
            one = attacks.REGISTRY[name]
            print(f"  {name:22} {' '.join(one.needs)}")
    return 0


def _install(_):
    _need_root()
    return install.install()


def _clean(_):
    """A room dies with the unshare(1) that made it. Should the kernel have failed to see to that, this does; and
    folders of a selfcheck that was killed go. Rooms at work are left alone."""
    _need_root()
    orphans = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _is_orphan(pid)]
    for pid in orphans:
        os.kill(int(pid), signal.SIGKILL)  # The first process of a room takes the others along.
    old = [folder for folder in glob.glob(os.path.join(tempfile.gettempdir(), selfcheck.PREFIX + "*"))
           if time.time() - os.path.getmtime(folder) > 600]
    for folder in old:
        shutil.rmtree(folder)
    print(f"{len(orphans)} rooms ended, {len(old)} folders removed")
    return 0


def _is_orphan(pid):
    """The first process of a room whose parent is not the one that made it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            if f"{sandbox.MARK}=".encode() not in file.read():
                return False
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.strip().partition(":")[::2] for line in file)
        numbers = status["NSpid"].split()
        with open(f"/proc/{status['PPid'].strip()}/comm", encoding="utf-8") as file:
            return len(numbers) > 1 and numbers[-1] == "1" and file.read().strip() != "unshare"
    except OSError:  # It ended while we looked, or has no parent here.
        return False


def _selfcheck(options):
    return selfcheck.main(options.seed)


def _words(options, scenario=None):
    return ["--scenario", scenario or options.scenario, "--duration", str(options.duration), "--out",
            os.path.abspath(options.out), "--snap",
            str(options.snap), "--calm", str(options.calm), "--bulk", str(options.bulk)]


def _seeds(text):
    found = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def _need_root():
    if os.geteuid():
        raise RuntimeError("network namespaces need root")


def _interrupt(*_):
    raise KeyboardInterrupt
