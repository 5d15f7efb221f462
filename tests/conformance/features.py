"""Every column of CICFlowMeter's (Java) rows against ours: profile cic2018, the names of 2018."""

import struct
from collections import defaultdict

# Who, and when: not features. The tool writes local times (UTC-3) to the second.
IDENTITY = {"Flow ID", "Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol", "Timestamp", "Label"}
TOLERANCE = 1e-9  # relative: both sides write the shortest decimal of a double, sums are taken in other orders


def filled_up(capture):
    """A pcap file (little-endian) whose frames are as long as they were on the wire."""
    out, at = bytearray(capture[:24]), 24
    while at + 16 <= len(capture):
        seconds, fraction, captured, wire = struct.unpack_from("<4I", capture, at)
        out += struct.pack("<4I", seconds, fraction, wire, wire)
        out += capture[at + 16:at + 16 + captured] + bytes(wire - captured)
        at += 16 + captured
    return bytes(out)


def number(text):
    return float(text.replace("Infinity", "inf"))


def equal(a, b):
    x, y = number(a), number(b)
    return x == y or (x != x and y != y) or abs(x - y) <= TOLERANCE * max(abs(x), abs(y))


def key(row):
    return tuple(row[name] for name in ("Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol"))


def compare(mine, theirs):
    """Rows of a five-tuple are paired in the order of time. Returns the number of values compared, and differences."""
    ours = defaultdict(list)
    for row in mine:
        ours[key(row)].append(row)
    compared, found = 0, []
    for row in sorted(theirs, key=lambda r: r["Timestamp"]):
        name = " ".join(key(row))
        if not ours[key(row)]:
            found.append((name, "only theirs"))
            continue
        other = ours[key(row)].pop(0)
        for column in row.keys() - IDENTITY:
            compared += 1
            if column not in other:
                found.append((name, f"{column} is missing"))
            elif not equal(row[column], other[column]):
                found.append((name, f"{column} {row[column]} ours {other[column]}"))
    found += [(" ".join(k), "only ours") for k, rows in ours.items() for _ in rows]
    return compared, found
