"""What other flow meters say of a capture, brought to one form.

A talk is all packets between two endpoints by one protocol, whatever the tool cut it into. Its key is the protocol
number and the two endpoints in ascending order; its counts are those from the lower endpoint and those to it.
Tools end flows by different rules, so talks compare where flows do not.
"""

import csv
import ipaddress
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

PORTS = {6, 17, 132}  # protocols whose ports are part of the key
NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "igmp": 2, "ospf": 89, "pim": 103, "sctp": 132, "esp": 50,
           "gre": 47, "ah": 51, "hopopt": 0, "unknown": 0}


@dataclass
class Talk:
    packets: list = field(default_factory=lambda: [0, 0])  # from the lower endpoint, to it
    octets: list = field(default_factory=lambda: [0, 0])
    flows: int = 0
    facts: set = field(default_factory=set)  # what else the tool says of it: Community ID, conn_state


def endpoint(address, port, protocol):
    parsed = ipaddress.ip_address(address.strip("[]"))
    return (parsed.version, int(parsed), int(port) if protocol in PORTS else 0)


def shown(key):
    protocol, *ends = key
    names = [f"{ipaddress.IPv4Address(n) if v == 4 else ipaddress.IPv6Address(n)}:{port}" for v, n, port in ends]
    return f"{protocol} " + " - ".join(names)


def add(talks, protocol, source, destination, packets, octets, fact=None):
    """Adds one flow, packets and octets as (forward, reverse)."""
    key = (protocol, *sorted((source, destination)))
    turn = source > destination
    talk = talks[key]
    talk.flows += 1
    for way in (0, 1):
        talk.packets[way ^ turn] += int(packets[way])
        talk.octets[way ^ turn] += int(octets[way])
    if fact:
        talk.facts.add(fact)


def arkime(path):
    talks = defaultdict(Talk)
    for row in csv.DictReader(open(f"{path}.sessions.csv")):
        if not row["src_ip"]:
            continue
        p = int(row["ip_proto"])
        add(talks, p, endpoint(row["src_ip"], row["src_port"], p), endpoint(row["dst_ip"], row["dst_port"], p),
            (row["src_packets"], row["dst_packets"]), (row["src_bytes"], row["dst_bytes"]), row["community_id"])
    return talks


NDPI = re.compile(r"^\t\d+\t(\S+) (\S+?)(?::(\d+))? (?:<->|->) (\S+?)(?::(\d+))? \[.*?"
                  r"\[(\d+) pkts/(\d+) bytes (?:<->|->) (\d+) pkts/(\d+) bytes\]")


def ndpi(path):
    talks = defaultdict(Talk)
    for line in open(f"{path}.ndpi.out", errors="replace"):
        found = NDPI.match(line)
        if not found:
            continue
        name, a, a_port, b, b_port, *counts = found.groups()
        p = NUMBERS.get(name.lower())
        if p is None:
            p = int(name)
        add(talks, p, endpoint(a, a_port or 0, p), endpoint(b, b_port or 0, p), (counts[0], counts[2]),
            (counts[1], counts[3]))
    return talks


def cicflowmeter_python(path):
    talks = defaultdict(Talk)
    for row in csv.DictReader(open(f"{path}.cicflowmeter-python.csv")):
        p = int(row["protocol"])
        add(talks, p, endpoint(row["src_ip"], row["src_port"], p), endpoint(row["dst_ip"], row["dst_port"], p),
            (row["tot_fwd_pkts"], row["tot_bwd_pkts"]), (row["totlen_fwd_pkts"], row["totlen_bwd_pkts"]))
    return talks


def zeek(path):
    talks = defaultdict(Talk)
    names = []
    for line in open(f"{path}.conn.log"):
        cells = line.rstrip("\n").split("\t")
        if cells[0] == "#fields":
            names = cells[1:]
        if line.startswith("#"):
            continue
        row = dict(zip(names, cells))
        if row.get("ip_proto", "-") not in ("-", None):
            p = int(row["ip_proto"])
        elif row["proto"] == "icmp" and ":" in row["id.orig_h"]:
            p = 58
        else:
            p = NUMBERS.get(row["proto"], 0)
        add(talks, p, endpoint(row["id.orig_h"], row["id.orig_p"], p), endpoint(row["id.resp_h"], row["id.resp_p"], p),
            [row[c].replace("-", "0") for c in ("orig_pkts", "resp_pkts")],
            [row[c].replace("-", "0") for c in ("orig_ip_bytes", "resp_ip_bytes")], row["conn_state"])
    return talks


# Where packets, packets in reverse, destination port, source port and protocol stand in files without a header;
# the columns of each plugin stand between those of every plugin.
IPFIXPROBE = {"dns": (10, 11, 18, 19, 23), "dnssd": (9, 10, 11, 12, 14), "basic": (9, 10, 11, 12, 14),
              "phists": (9, 10, 11, 12, 14), "pstats": (9, 10, 11, 12, 14), "mqtt": (9, 10, 11, 14, 20),
              "netbios": (9, 10, 11, 12, 15), "sip": (9, 10, 11, 14, 16), "ssdp": (9, 10, 11, 12, 15),
              "idpcontent": (9, 10, 11, 12, 14)}
IPFIXPROBE_NAMES = ("PACKETS", "PACKETS_REV", "DST_PORT", "SRC_PORT", "PROTOCOL")


def ipfixprobe(path):
    talks = defaultdict(Talk)
    file = next(Path(path).parent / f"{Path(path).name}.ipfixprobe.{p}.csv" for p in
                ("basic", *IPFIXPROBE, "quic", "smtp")
                if (Path(path).parent / f"{Path(path).name}.ipfixprobe.{p}.csv").exists())
    plugin = file.name.split(".")[-2]
    rows = list(csv.reader(open(file, errors="replace")))
    at = IPFIXPROBE.get(plugin)
    for row in rows:  # the header, where there is one, is not always the first line
        if row and row[0].startswith("ipaddr "):
            names = [cell.split(" ", 1)[1] for cell in row]
            at = tuple(names.index(name) for name in IPFIXPROBE_NAMES)
    for row in rows:
        if not row or row[0].startswith("ipaddr "):
            continue
        packets, packets_reverse, to_port, from_port, protocol = (row[i] for i in at)
        p = int(protocol)
        add(talks, p, endpoint(row[1], from_port, p), endpoint(row[0], to_port, p), (packets, packets_reverse),
            (row[2], row[3]))
    return talks


def community_ids(path):
    """From (protocol, endpoints) to the identifiers, from the JSON of the specification."""
    talks = defaultdict(Talk)
    text = (Path(path).parent / "baseline_deflt.json").read_text()
    decoder, at = json.JSONDecoder(), 0
    while True:
        begin = text.find("{", at)
        if begin < 0:
            return talks
        row, at = decoder.raw_decode(text, begin)
        p = int(row["proto"])
        add(talks, p, endpoint(row["saddr"], row.get("sport") or 0, p),
            endpoint(row["daddr"], row.get("dport") or 0, p), (0, 0), (0, 0), row["communityid"])
