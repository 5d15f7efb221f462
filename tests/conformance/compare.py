#!/usr/bin/env python3
"""Compares nidus's flows with what other flow meters say of the same captures.

  compare.py NIDUS FOLDER [TOOL…] [--list]

NIDUS is the program, FOLDER holds one folder per tool (arkime, ndpi, nfstream, ipfixprobe, zeek, cicflowmeter-python,
cicflowmeter-java, community-id, tcp-flags) with captures and, beside each, what the tool made of it. Prints a table;
with --list every difference as well. Differences that explained.csv gives a reason for are counted by reason; the
exit code is 1 if any other is found. Needs Python's standard library only.
"""

import csv
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from fnmatch import fnmatch
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
    left, right = theirs - mine, mine - theirs
    sums = [[sum(c[i] * n for c, n in side.items()) for i in (0, 1)] for side in (left, right)]
    same = "the sums are equal" if sums[0] == sums[1] else f"sums {sums[0]} ours {sums[1]}"
    found = [(f"{p} packets, {b} bytes", f"only theirs; {same}") for p, b in left.elements()]
    found += [(f"{p} packets, {b} bytes", f"only ours; {same}") for p, b in right.elements()]
    return sum(theirs.values()), found


def facts(reader, column, *options):
    """What a tool says of a talk that is one flow with both: its conn_state, its Community ID."""
    def compare(nidus, capture):
        rows = flows(nidus, capture, *options)
        mine = ours(rows, "ip_bytes")
        for row in rows:
            p = int(float(row["protocol"]))
            key = (p, *sorted((endpoint(row["src_ip"], row["src_port"], p), endpoint(row["dst_ip"], row["dst_port"], p))))
            mine[key].facts.add(row[column])
        theirs = reader(capture)
        both = [key for key in sorted(theirs) if key in mine and theirs[key].flows == mine[key].flows == 1
                and sum(theirs[key].packets) == sum(mine[key].packets)]
        return len(both), [(key, f"{column} {theirs[key].facts} ours {mine[key].facts}") for key in both
                           if theirs[key].facts != mine[key].facts]
    return compare


def community_id(nidus, capture):
    theirs = {fact for talk in expected.community_ids(capture).values() for fact in talk.facts}
    mine = {row["community_id"]: row for row in flows(nidus, capture, "--community-id")}
    return len(mine), [(f"{row['protocol']} {row['src_ip']} {row['dst_ip']}", f"{name} is not in the baseline")
                       for name, row in mine.items() if name not in theirs]


def tcp_flags(nidus, capture):
    """63 packets, one for each set of the six flags but that of all: each flag is set in 31."""
    rows = flows(nidus, capture)
    packets = sum(int(row["fwd_pkts"]) + int(row["bwd_pkts"]) for row in rows)
    found = [] if packets == 63 else [("packets", f"63 ours {packets}")]
    for flag in ("fin", "syn", "rst", "psh", "ack", "urg"):
        count = sum(int(row[f"{flag}_cnt"]) for row in rows)
        if count != 31:
            found.append((flag, f"31 ours {count}"))
    return 7, found


def cicflowmeter_java(nidus, capture):
    """The tool saw whole frames, this capture was cut to 128 bytes afterwards, and profile cic2018 counts captured
    bytes as the tool did: the frames are filled up with zeros first."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as whole:
        whole.write(features.filled_up(capture.read_bytes()))
        whole.flush()
        mine = flows(nidus, whole.name, "--profile", "cic2018")
    return features.compare(mine, list(csv.DictReader(open(f"{capture}.out_test.csv"))))


# Which folder, what the unit of comparison is, how a capture is compared.
TOOLS = {
    "arkime": ("arkime", "address/port pairs", talks_of(expected.arkime, "frame_bytes")),
    "ndpi": ("ndpi", "address/port pairs", talks_of(expected.ndpi, "frame_bytes")),
    "nfstream": ("ndpi", "flows", nfstream),
    "ipfixprobe": ("ipfixprobe", "address/port pairs", talks_of(expected.ipfixprobe, "ip_bytes")),
    "zeek": ("zeek", "address/port pairs", talks_of(expected.zeek, "ip_bytes")),
    "zeek-states": ("zeek", "conn_states", facts(expected.zeek, "conn_state")),
    "arkime-ids": ("arkime", "Community IDs", facts(expected.arkime, "community_id", "--community-id")),
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
    """tool, capture or *, a regular expression that the line of the difference must match, the reason."""
    with open(HERE / "explained.csv") as file:
        return list(csv.DictReader(file))


def reason_for(known, tool, capture, text):
    for row in known:
        if row["tool"] == tool and fnmatch(capture, row["capture"]) and re.search(row["what"], text):
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
