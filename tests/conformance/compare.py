#!/usr/bin/env python3
"""Compares nidus's flows with what other flow meters say of the same captures.

  compare.py NIDUS FOLDER [TOOL…] [--list]

NIDUS is the program, FOLDER holds one folder per tool (arkime, ndpi, nfstream, ipfixprobe, zeek, cicflowmeter-python,
cicflowmeter-java, community-id, tcp-flags) with captures and, beside each, what the tool made of it. Prints a table;
with --list every difference as well. Differences that explained.csv gives a reason for are counted by reason; the
exit code is 1 if any other is found. Needs Python's standard library only.
"""

import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import expected
import features
from expected import Talk, add, endpoint, shown

HERE = Path(__file__).parent
CAPTURES = {".pcap", ".pcapng", ".cap"}


def flows(nidus, capture, *options):
    """nidus's records as dictionaries, and its summary."""
    done = subprocess.run([nidus, "flows", str(capture), *options], capture_output=True, text=True, timeout=300)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{capture}: nidus ended with {done.returncode}: {done.stderr}")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def ours(rows, octets):
    talks = defaultdict(Talk)
    for row in rows:
        p = int(float(row["protocol"]))
        add(talks, p, endpoint(row["src_ip"], row["src_port"], p), endpoint(row["dst_ip"], row["dst_port"], p),
            (row["fwd_pkts"], row["bwd_pkts"]), (row[f"fwd_{octets}"], row[f"bwd_{octets}"]))
    return talks


def compare_talks(theirs, mine):
    """Yields (key, what is different); nothing for a talk that is equal."""
    for key in sorted(theirs.keys() | mine.keys()):
        a, b = theirs.get(key), mine.get(key)
        if a is None or b is None:
            yield key, "only ours" if a is None else "only theirs"
        elif a.packets != b.packets:
            yield key, f"packets {a.packets} ours {b.packets}"
        elif a.octets != b.octets:
            yield key, f"bytes {a.octets} ours {b.octets}"


def talks_of(reader, octets, keep=None):
    def compare(nidus, capture):
        theirs, mine = reader(capture), ours(flows(nidus, capture), octets)
        if keep:
            mine = {key: talk for key, talk in mine.items() if keep(key)}
        return len(theirs), list(compare_talks(theirs, mine))
    return compare


def nfstream(nidus, capture):
    """NFStream's results name no addresses: the packets and bytes of the talks are compared as a set."""
    theirs = Counter((int(row["bidirectional_packets"]), int(row["bidirectional_bytes"]))
                     for row in csv.DictReader(open(f"{capture}.nfstream.csv")))
    mine = Counter((sum(t.packets), sum(t.octets)) for t in ours(flows(nidus, capture), "frame_bytes").values())
    found = [("a flow", f"{n} x {c[0]} packets, {c[1]} bytes: only theirs") for c, n in (theirs - mine).items()]
    found += [("a flow", f"{n} x {c[0]} packets, {c[1]} bytes: only ours") for c, n in (mine - theirs).items()]
    return sum(theirs.values()), found


def community_id(nidus, capture):
    theirs = {fact for talk in expected.community_ids(capture).values() for fact in talk.facts}
    mine = {row["community_id"]: row for row in flows(nidus, capture, "--community-id")}
    return len(mine), [(f"{row['protocol']} {row['src_ip']} {row['dst_ip']}", f"{name} is not in the baseline")
                       for name, row in mine.items() if name not in theirs]


def tcp_flags(nidus, capture):
    """63 packets, one for each set of the six flags but the empty one: each flag is set in 32."""
    rows = flows(nidus, capture)
    packets = sum(int(row["fwd_pkts"]) + int(row["bwd_pkts"]) for row in rows)
    found = [] if packets == 63 else [("packets", f"63 ours {packets}")]
    for flag in ("fin", "syn", "rst", "psh", "ack", "urg"):
        count = sum(int(row[f"{flag}_cnt"]) for row in rows)
        if count != 32:
            found.append((flag, f"32 ours {count}"))
    return 7, found


def cicflowmeter_java(nidus, capture):
    return features.compare(flows(nidus, capture, "--profile", "cic2018", "--naming", "cic2018"),
                            list(csv.DictReader(open(f"{capture}.out_test.csv"))))


# Which folder, what the unit of comparison is, how a capture is compared.
TOOLS = {
    "arkime": ("arkime", "address/port pairs", talks_of(expected.arkime, "frame_bytes")),
    "ndpi": ("ndpi", "address/port pairs", talks_of(expected.ndpi, "frame_bytes")),
    "nfstream": ("ndpi", "flows", nfstream),
    "ipfixprobe": ("ipfixprobe", "address/port pairs", talks_of(expected.ipfixprobe, "ip_bytes")),
    "zeek": ("zeek", "address/port pairs", talks_of(expected.zeek, "ip_bytes")),
    "cicflowmeter-python": ("cicflowmeter-python", "address/port pairs",
                            talks_of(expected.cicflowmeter_python, "frame_bytes")),
    "cicflowmeter-java": ("cicflowmeter-java", "features", cicflowmeter_java),
    "community-id": ("community-id", "identifiers", community_id),
    "tcp-flags": ("tcp-flags", "counts", tcp_flags),
}


def has_expectation(tool, capture):
    beside = {"nfstream": ".nfstream.csv", "ndpi": ".ndpi.out"}.get(tool)
    return beside is None or Path(f"{capture}{beside}").exists()


def explanations():
    """(tool, capture, what) to a reason; an empty what covers the whole capture, else the text must contain it."""
    with open(HERE / "explained.csv") as file:
        return list(csv.DictReader(file))


def reason_for(known, tool, capture, text):
    for row in known:
        if row["tool"] == tool and row["capture"] in (capture, "*") and row["what"] in text:
            return row["reason"]
    return None


def main(arguments):
    listing = "--list" in arguments
    words = [word for word in arguments if not word.startswith("--")]
    if len(words) < 2:
        raise SystemExit(__doc__)
    nidus, folder, *tools = words
    known = explanations()
    unexplained = 0
    print("| tool | captures | compared | equal | different, explained | unexplained |\n|---|---|---|---|---|---|")
    for tool in tools or TOOLS:
        subfolder, unit, compare = TOOLS[tool]
        captures = sorted(p for p in (Path(folder) / subfolder).iterdir()
                          if p.suffix in CAPTURES and has_expectation(tool, p))
        compared, reasons, lines = 0, Counter(), []
        for capture in captures:
            count, differences = compare(nidus, capture)
            compared += count
            for key, text in differences:
                place = key if isinstance(key, str) else shown(key)
                reason = reason_for(known, tool, capture.name, f"{place}: {text}")
                reasons[reason] += 1
                lines.append(f"{tool} {capture.name}: {place}: {text}" + (f" [{reason}]" if reason else ""))
        extra = sum("only ours" in line for line in lines)
        compared += extra
        missed = reasons.pop(None, 0)
        unexplained += missed
        explained = sum(reasons.values())
        print(f"| {tool} | {len(captures)} | {compared} {unit} | {compared - explained - missed} | {explained} | {missed} |")
        if listing:
            print("\n".join(lines), file=sys.stderr)
        for reason, count in reasons.most_common():
            print(f"    {count} {reason}", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
