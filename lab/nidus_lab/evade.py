"""What an attacker can do to his own packets: send later, send more, send in pieces.

Rewrites the packets that the initiators of attacks sent in a labelled capture, and leaves everything else as it
stood. Only what he could have done himself, without anybody else's help, and what leaves the attack working:

delay   his packets of one connection come later and later: gaps grow by a factor, with jitter. Answers keep their
        distance from what they answer. Connections begin when they began.
pad     his packets with payload get more of it, as far as the MTU allows. Sequence and acknowledgement numbers of
        both sides follow. Packets without payload stay as they are: there is nothing legal to put in.
split   his TCP segments are sent in pieces of at most so many bytes, one right behind the other.

Checksums of IPv4 headers are made again. Those of TCP and UDP cannot be: captures hold the first bytes of each
packet only. nidus does not look at them.
"""
import bisect
import os
import random
import struct

from . import labels
from .labels import Flow, first_match

MAGIC = 0xA1B2C3D4
MTU = 1500
TCP, UDP = 6, 17
QUIET = 60.0  # after so many seconds of silence the same ends are another connection
PIECE_GAP = 20e-6


class Packet:
    """One record of a capture file, and where its headers lie."""

    __slots__ = ("time", "length", "data", "ip", "l4", "version", "protocol", "source", "target", "source_port",
                 "target_port", "payload")

    def __init__(self, time, length, data):
        self.time, self.length, self.data = time, length, bytearray(data)
        self.ip = None
        self._decode()

    def _decode(self):
        data = self.data
        if len(data) < 34:
            return
        at, kind = 14, struct.unpack_from(">H", data, 12)[0]
        while kind in (0x8100, 0x88A8) and len(data) >= at + 4:
            kind = struct.unpack_from(">H", data, at + 2)[0]
            at += 4
        if kind == 0x0800 and len(data) >= at + 20:
            header = (data[at] & 15) * 4
            if struct.unpack_from(">H", data, at + 6)[0] & 0x3FFF:
                return  # a fragment
            self.version, self.protocol = 4, data[at + 9]
            self.source, self.target = bytes(data[at + 12:at + 16]), bytes(data[at + 16:at + 20])
            l4, end = at + header, at + struct.unpack_from(">H", data, at + 2)[0]
        elif kind == 0x86DD and len(data) >= at + 40:
            self.version, self.protocol = 6, data[at + 6]
            self.source, self.target = bytes(data[at + 8:at + 24]), bytes(data[at + 24:at + 40])
            l4, end = at + 40, at + 40 + struct.unpack_from(">H", data, at + 4)[0]
        else:
            return
        self.source_port = self.target_port = 0
        if self.protocol == TCP and len(data) >= l4 + 20:
            self.payload = end - l4 - (data[l4 + 12] >> 4) * 4
        elif self.protocol == UDP and len(data) >= l4 + 8:
            self.payload = end - l4 - 8
        else:
            self.payload = 0
        if self.protocol in (TCP, UDP) and len(data) >= l4 + 8:
            self.source_port, self.target_port = struct.unpack_from(">HH", data, l4)
        if self.payload < 0:
            return
        self.ip, self.l4 = at, l4

    @property
    def ends(self):
        one, other = (self.source, self.source_port), (self.target, self.target_port)
        return (self.protocol, min(one, other), max(one, other))

    @property
    def is_tcp(self):
        return self.protocol == TCP and len(self.data) >= self.l4 + 20

    def header(self):
        """Bytes of transport header."""
        return (self.data[self.l4 + 12] >> 4) * 4 if self.is_tcp else 8

    def sequence(self):
        return struct.unpack_from(">I", self.data, self.l4 + 4)[0]

    def acknowledged(self):
        return struct.unpack_from(">I", self.data, self.l4 + 8)[0]

    def set_sequence(self, value):
        struct.pack_into(">I", self.data, self.l4 + 4, value & 0xFFFFFFFF)

    def set_acknowledged(self, value):
        struct.pack_into(">I", self.data, self.l4 + 8, value & 0xFFFFFFFF)

    def ip_bytes(self):
        """From the IP header to the end of the payload."""
        return self.l4 - self.ip + self.header() + self.payload

    def resize(self, payload, snap):
        """Another size of payload: what is added are zeros, as far as the capture keeps bytes."""
        start = self.l4 + self.header()
        wanted = min(start + payload, max(snap, start))
        del self.data[wanted:]
        self.data.extend(bytes(wanted - len(self.data)))
        self.length = start + payload
        self.payload = payload
        if self.version == 4:
            struct.pack_into(">H", self.data, self.ip + 2, self.ip_bytes())
            self._sum()
        else:
            struct.pack_into(">H", self.data, self.ip + 4, self.ip_bytes() - 40)
        if self.protocol == UDP:
            struct.pack_into(">H", self.data, self.l4 + 4, 8 + payload)

    def copy(self):
        return Packet(self.time, self.length, self.data)

    def _sum(self):
        at, size = self.ip, (self.data[self.ip] & 15) * 4
        struct.pack_into(">H", self.data, at + 10, 0)
        total = sum(struct.unpack_from(f">{size // 2}H", self.data, at))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into(">H", self.data, at + 10, total ^ 0xFFFF)


def read_capture(path):
    with open(path, "rb") as file:
        raw = file.read()
    if len(raw) < 24 or struct.unpack_from("<I", raw)[0] != MAGIC:
        raise ValueError(f"{path}: not a capture as the lab writes them")
    snap, link = struct.unpack_from("<II", raw, 16)
    if link != 1:
        raise ValueError(f"{path}: not Ethernet")
    packets, at = [], 24
    while at + 16 <= len(raw):
        seconds, micros, kept, length = struct.unpack_from("<IIII", raw, at)
        packets.append(Packet(seconds + micros / 1e6, length, raw[at + 16:at + 16 + kept]))
        at += 16 + kept
    return packets, snap


def write_capture(path, packets, snap):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, snap, 1))
        for packet in sorted(packets, key=lambda p: p.time):
            micros = round(packet.time * 1e6)
            file.write(struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, len(packet.data), packet.length))
            file.write(packet.data)


def connections(packets):
    """Packets of the same two ends, in order, cut where they fall silent. In each the first packet's source is the
    initiator."""
    live, out = {}, []
    for packet in packets:
        if packet.ip is None:
            continue
        found = live.get(packet.ends)
        if found is None or packet.time - found[-1].time > QUIET:
            found = live[packet.ends] = []
            out.append(found)
        found.append(packet)
    return out


def _flow(packet):
    text = lambda raw: ".".join(map(str, raw)) if len(raw) == 4 else ":".join(raw[i:i + 2].hex() for i in range(0, 16, 2))
    return Flow(packet.time, text(packet.source), packet.source_port, text(packet.target), packet.target_port,
                packet.protocol)


def _is_mine(packet, connection):
    first = connection[0]
    return packet.source == first.source and packet.source_port == first.source_port


def delay(connection, factor, jitter, chance):
    """Gaps before the initiator's packets grow by `factor`, give or take a share of `jitter`."""
    began, late, before, mine = connection[0].time, 0.0, 0.0, connection[0].time
    for packet in connection:
        if _is_mine(packet, connection):
            gap = packet.time - mine
            mine = packet.time
            late += gap * (factor - 1) * (1 + jitter * (2 * chance.random() - 1))
        packet.time = max(packet.time + late, before)
        before = packet.time
    assert connection[0].time == began


def pad(connection, least, most, snap, chance):
    """The initiator's payloads grow by `least` to `most` bytes. A segment sent again grows by the same."""
    sized, order, sums = {}, [], [0]  # bytes added by sequence number; those numbers in order, and what comes before each
    base = next((p.sequence() for p in connection if p.is_tcp and _is_mine(p, connection)), 0)
    place = lambda sequence: (sequence - base) & 0xFFFFFFFF
    added = lambda where: sums[bisect.bisect_left(order, where)]
    for packet in connection:
        mine = _is_mine(packet, connection)
        if packet.protocol == UDP and mine and packet.payload > 0:
            room = MTU - packet.ip_bytes()
            packet.resize(packet.payload + max(0, min(chance.randint(least, most), room)), snap)
        if not packet.is_tcp:
            continue
        if not mine:
            packet.set_acknowledged(packet.acknowledged() + added(place(packet.acknowledged())))
            continue
        where = place(packet.sequence())
        packet.set_sequence(packet.sequence() + added(where))
        if packet.payload == 0:
            continue
        if where not in sized:
            sized[where] = max(0, min(chance.randint(least, most), MTU - packet.ip_bytes()))
            at = bisect.bisect_left(order, where)
            order.insert(at, where)
            del sums[at + 1:]
            for known in order[at:]:  # one, unless segments came out of order
                sums.append(sums[-1] + sized[known])
        packet.resize(packet.payload + sized[where], snap)


def split(connection, most, snap):
    """The initiator's segments in pieces of `most` bytes; answers with the pieces that came of them."""
    out = []
    for packet in connection:
        if not (packet.is_tcp and _is_mine(packet, connection) and packet.payload > most):
            out.append(packet)
            continue
        whole, sequence, flags = packet.payload, packet.sequence(), packet.data[packet.l4 + 13]
        for number, start in enumerate(range(0, whole, most)):
            piece = packet.copy()
            size = min(most, whole - start)
            piece.set_sequence(sequence + start)
            # The bytes of the piece, where the capture has them.
            at = piece.l4 + piece.header()
            del piece.data[at:at + start]
            piece.resize(size, snap)
            if start + size < whole:
                piece.data[piece.l4 + 13] = flags & ~0x09  # neither FIN nor PSH before the last
            piece.time = packet.time + number * PIECE_GAP
            out.append(piece)
    return out


def rewrite(source, target, moves, seed=1):
    """The capture with the moves made by all attackers in it, and its rules beside it. `moves` may hold delay=F,
    jitter=SHARE, pad=(LEAST, MOST), split=BYTES. Says how many connections were attacks."""
    name = os.path.basename(source)
    rows = [row for row in labels.read(os.path.join(os.path.dirname(source), "labels.csv")) if row[0] == name]
    if not rows:
        raise ValueError(f"{source}: no rule about it")
    rules = labels.rules_of(os.path.join(os.path.dirname(source), "labels.csv"), name)
    packets, snap = read_capture(source)
    chance = random.Random(f"{seed} {name}")
    kept = [packet for packet in packets if packet.ip is None]
    attacked = 0
    for connection in connections(packets):
        rule = first_match(rules, _flow(connection[0]))
        if rule is None or rule.label == "benign":
            kept += connection
            continue
        attacked += 1
        if "pad" in moves:
            pad(connection, *moves["pad"], snap, chance)
        if "split" in moves:
            connection = split(connection, moves["split"], snap)
        if "delay" in moves:
            delay(connection, moves["delay"], moves.get("jitter", 0.0), chance)
        # A connection that now outlasts its rule may go on as a second record, which is its attack's all the same.
        at = rules.index(rule)
        if rule.end is not None and connection[-1].time > float(rows[at][2]):
            rows[at][2] = f"{connection[-1].time + 1:.6f}"
        kept += connection
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    write_capture(target, kept, snap)
    return attacked, rows
