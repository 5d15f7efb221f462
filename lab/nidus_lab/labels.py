"""Label rules: what they say, how they are matched, how they are written.

A rule names a conversation, not a packet: a flow belongs to the first rule in
file order whose time span holds the flow's start and whose two ends match, in
either direction. The last rule of a capture matches everything and is benign.
"""
import contextlib
import csv
import fcntl
import ipaddress
import os
from dataclasses import dataclass

HEADER = ["capture", "from", "to", "a", "a_port", "b", "b_port", "protocol", "label", "attack", "group"]

FAMILIES = ("benign", "dos", "ddos", "port_scan", "brute_force", "web_attack", "botnet", "infiltration",
            "exfiltration")

PROTOCOL_NUMBERS = {"icmp": (1, 58), "tcp": (6,), "udp": (17,)}


@dataclass(frozen=True)
class Rule:
    """One line of labels.csv. Empty text and None mean any."""
    label: str
    attack: str = ""
    a: str = ""
    a_port: int | None = None
    b: str = ""
    b_port: int | None = None
    protocol: str = ""
    start: float | None = None
    end: float | None = None

    def __post_init__(self):
        if self.label not in FAMILIES:
            raise ValueError(f"{self.label!r} is no label family")
        for address in (self.a, self.b):
            if address:
                ipaddress.ip_network(address)  # Host bits set or not an address: ValueError.

    def matches(self, flow):
        if self.start is not None and flow.time < self.start:
            return False
        if self.end is not None and flow.time > self.end:
            return False
        if self.protocol and flow.protocol not in _numbers(self.protocol):
            return False
        return (self._ends(flow.source, flow.source_port, flow.target, flow.target_port)
                or self._ends(flow.target, flow.target_port, flow.source, flow.source_port))

    def _ends(self, one, one_port, other, other_port):
        return (_inside(one, self.a) and _inside(other, self.b)
                and self.a_port in (None, one_port) and self.b_port in (None, other_port))

    def row(self, capture, group):
        return [capture, _time(self.start), _time(self.end), self.a, _blank(self.a_port), self.b,
                _blank(self.b_port), self.protocol, self.label, self.attack, group]


@dataclass(frozen=True)
class Flow:
    """What a rule looks at: the first packet's time, ends and protocol number."""
    time: float
    source: str
    source_port: int
    target: str
    target_port: int
    protocol: int


CATCH_ALL = Rule("benign")


def first_match(rules, flow):
    return next((rule for rule in rules if rule.matches(flow)), None)


def merge(path, capture, rules, group):
    """Puts the rules of one capture, and its catch-all, into the file; those it had before go."""
    with locked(path):
        rows = [row for row in read(path) if row[0] != capture]
        rows += [rule.row(capture, group) for rule in (*rules, CATCH_ALL)]
        with open(path + ".new", "w", newline="", encoding="ascii") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(rows)
        os.replace(path + ".new", path)


def read(path):
    """The rows of a label file without its header; none when there is no such file."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="ascii") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != HEADER:
        raise ValueError(f"{path}: line 1: not the header of a label file")
    return rows[1:]


def rules_of(path, capture):
    """The rules of one capture, as objects, in file order."""
    number = lambda text: int(text) if text else None
    moment = lambda text: float(text) if text else None
    return [Rule(label=r[8], attack=r[9], a=r[3], a_port=number(r[4]), b=r[5], b_port=number(r[6]),
                 protocol=r[7], start=moment(r[1]), end=moment(r[2]))
            for r in read(path) if r[0] == capture]


@contextlib.contextmanager
def locked(path):
    """Keeps other makers of captures away from a shared file."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    lock = os.path.join(os.path.dirname(os.path.abspath(path)), ".lock")
    with open(lock, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _numbers(protocol):
    return PROTOCOL_NUMBERS.get(protocol) or (int(protocol),)


def _inside(address, wanted):
    if not wanted:
        return True
    one, net = ipaddress.ip_address(address), ipaddress.ip_network(wanted)
    return one.version == net.version and one in net


def _time(value):
    return "" if value is None else f"{value:.6f}"


def _blank(value):
    return "" if value is None else str(value)
