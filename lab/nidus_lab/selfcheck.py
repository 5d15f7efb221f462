"""Do the rules fit the packets? Makes a short capture and reads it back."""
import os
import socket
import struct
import subprocess
import sys
import tempfile

from . import labels, sandbox

PREFIX = "nidus-lab-"  # Of its folders.
SCENARIO = "syn_scan,icmp_flood"


def main(seed):
    with tempfile.TemporaryDirectory(prefix=PREFIX) as out:
        done = subprocess.run(sandbox.command(["make", "--seed", str(seed), "--scenario", SCENARIO, "--duration",
                                               "20", "--out", out,
                                               "--name", "check"]), timeout=180, check=False)
        if done.returncode:
            print("lab: no capture was made", file=sys.stderr)
            return 1
        return report(os.path.join(out, "check.pcap"), os.path.join(out, "labels.csv"))


def report(capture, label_file):
    """Prints flows per label; 1 when a rule caught nothing or nothing was caught."""
    rules = labels.rules_of(label_file, os.path.basename(capture))
    counts, used = tally(capture, rules)
    for (label, attack), count in sorted(counts.items()):
        print(f"{label:14} {attack:24} {count:7} flows")
    idle = [r for r in rules if r not in used and r.label != "benign" and r.protocol != "icmp"]
    for rule in idle:
        print(f"lab: no flow matches {rule}", file=sys.stderr)
    return 1 if idle or len(counts) < 2 else 0


def tally(capture, rules):
    """Flows (by five-tuple, cut after 60 idle seconds) per (label, attack), and the rules that matched."""
    counts, used = {}, set()
    for flow in flows(capture):
        rule = labels.first_match(rules, flow)
        used.add(rule)
        counts[rule.label, rule.attack] = counts.get((rule.label, rule.attack), 0) + 1
    return counts, used


def flows(capture, idle=60.0):
    """The first packet of each flow of a little-endian Ethernet pcap."""
    last = {}
    for time, protocol, source, source_port, target, target_port in packets(capture):
        key = protocol, *sorted(((source, source_port), (target, target_port)))
        if time - last.get(key, -1e9) > idle:
            yield labels.Flow(time, _text(source), source_port, _text(target), target_port, protocol)
        last[key] = time


def packets(capture):
    with open(capture, "rb") as file:
        magic, = struct.unpack("<I", file.read(24)[:4])
        if magic != 0xA1B2C3D4:
            raise ValueError(f"{capture}: not a little-endian microsecond pcap")
        while len(head := file.read(16)) == 16:
            seconds, micros, length, _ = struct.unpack("<IIII", head)
            found = _decode(file.read(length))
            if found:
                yield (seconds + micros / 1e6, *found)


def _decode(frame):
    kind = frame[12:14]
    if kind == b"\x08\x00" and len(frame) >= 34:
        start, protocol, source, target = 14 + (frame[14] & 15) * 4, frame[23], frame[26:30], frame[30:34]
        if struct.unpack("!H", frame[20:22])[0] & 0x1FFF:  # A later fragment carries no ports.
            return None
    elif kind == b"\x86\xdd" and len(frame) >= 54:
        start, protocol, source, target = 54, frame[20], frame[22:38], frame[38:54]
    else:
        return None
    if protocol in (6, 17) and len(frame) >= start + 4:
        return (protocol, source, *struct.unpack("!H", frame[start:start + 2]), target,
                *struct.unpack("!H", frame[start + 2:start + 4]))
    return protocol, source, 0, target, 0


def _text(address):
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
