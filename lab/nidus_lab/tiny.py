"""Clients and servers too small to have a program of their own. Each ends by itself.

    python3 -m nidus_lab.tiny WHAT ARGUMENT...
"""
import http.client
import ipaddress
import os
import random
import signal
import socket
import ssl
import struct
import sys
import time


def _udp(port):
    one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind(("::", int(port)))
    return one


def _connect(address, port, kind=socket.SOCK_STREAM, limit=5):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, kind)
    one.settimeout(limit)
    one.connect((address, int(port)))
    return one


def echo(port, seconds):
    """A voice peer: sends back what it hears."""
    server = _udp(port)
    while True:
        data, peer = server.recvfrom(2048)
        server.sendto(data, peer)


def reflector(port, seconds):
    """Answers a small question with much text, as misconfigured devices do; at most 300 answers a second."""
    server, rng, budget, since = _udp(port), random.Random(port), 0, 0.0
    while True:
        data, peer = server.recvfrom(2048)
        if time.monotonic() - since > 1:
            budget, since = 300, time.monotonic()
        for _ in range(8 if len(data) < 100 else 1):
            if budget > 0:
                budget -= 1
                server.sendto(rng.randbytes(rng.choice((300, 440, 468, 900))), peer)


def voice(address, port, seconds):
    """A call: 50 small datagrams a second, and as many back."""
    call = _connect(address, port, socket.SOCK_DGRAM)
    call.setblocking(False)
    size = random.choice((60, 172, 214))
    for number in range(int(float(seconds) * 50)):
        try:
            call.send(number.to_bytes(4, "big") + os.urandom(size - 4))
            call.recv(2048)
        except OSError:
            pass
        time.sleep(0.02)


def polling(address, port, tls, seconds, every, path):
    """One HTTP connection kept open, a request now and then."""
    if tls == "tls":
        web = http.client.HTTPSConnection(address, int(port), timeout=8, context=ssl._create_unverified_context())
    else:
        web = http.client.HTTPConnection(address, int(port), timeout=8)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            web.request("GET", path, headers={"User-Agent": "poller/2"})
            web.getresponse().read()
        except OSError:
            web.close()
        time.sleep(float(every) * random.uniform(0.8, 1.2))


def idle(address, port, seconds):
    """A TCP connection that says nothing, with the kernel's keep-alives."""
    line = _connect(address, port)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    time.sleep(float(seconds))


def checks(seconds, *targets):
    """A monitor: is each of these ports open?"""
    for target in targets:
        address, port = target.rsplit("=", 1)
        try:
            _connect(address, port, limit=2).close()
        except OSError:
            pass
        time.sleep(random.uniform(0.01, 0.3))


def master(port, seconds, every):
    """The other end of bots that keep a line: an order now and then, answers thrown away."""
    server = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    server.settimeout(0.5)
    bots, due, end = [], 0.0, time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            bot, _ = server.accept()
            bot.setblocking(False)
            bots.append(bot)
        except TimeoutError:
            pass
        for bot in list(bots):
            try:
                if time.monotonic() > due:
                    bot.send(os.urandom(random.choice((12, 12, 24, 80))))
                bot.recv(65536)
            except BlockingIOError:
                pass
            except OSError:
                bots.remove(bot)
        if time.monotonic() > due:
            due = time.monotonic() + float(every) * random.uniform(0.7, 1.3)


def bot(address, port, seconds, every):
    """Keeps a line to its master, says that it lives, answers orders."""
    end = time.monotonic() + float(seconds)
    line = _connect(address, port)
    line.settimeout(0.5)
    due = 0.0
    while time.monotonic() < end:
        if time.monotonic() > due:
            line.send(os.urandom(random.choice((8, 16, 16, 40))))
            due = time.monotonic() + float(every) * random.uniform(0.8, 1.2)
        try:
            order = line.recv(4096)
            if order:
                line.send(os.urandom(random.choice((20, 60, 300, 1200))))
        except TimeoutError:
            pass


def peers(seconds, every, *targets):
    """A bot of a peer-to-peer net: a short datagram to each known peer now and then."""
    end = time.monotonic() + float(seconds)
    lines = [_connect(*target.rsplit("=", 1), socket.SOCK_DGRAM) for target in targets]
    while time.monotonic() < end:
        for line in lines:
            try:
                line.send(os.urandom(random.choice((20, 32, 32, 96))))
            except OSError:
                pass
        time.sleep(float(every) * random.uniform(0.7, 1.3))


def spoofed(kind, cidr, target, port, count, rate):
    """Bare packets (syn, ack or udp) with sender addresses drawn from a network of the lab."""
    net, rng = ipaddress.ip_network(cidr), random.Random()
    there = socket.inet_aton(target)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    began = time.monotonic()
    for number in range(min(int(count), 50_000)):
        here = int(net[rng.randrange(1, net.num_addresses - 1)]).to_bytes(4, "big")
        sender, to = rng.randrange(1024, 65536), int(port) or rng.randrange(1, 65536)
        if kind == "udp":
            data = rng.randbytes(rng.choice((0, 18, 64, 512, 1024)))
            rest, protocol = struct.pack("!HHHH", sender, to, 8 + len(data), 0) + data, 17
        else:
            flags = {"syn": 0x02, "ack": 0x10}[kind]
            rest = struct.pack("!HHIIBBHHH", sender, to, rng.getrandbits(32), 0, 0x50, flags,
                               rng.choice((512, 1024, 64240)), 0, 0)
            pseudo = here + there + struct.pack("!BBH", 0, 6, len(rest))
            rest = rest[:16] + struct.pack("!H", _checksum(pseudo + rest)) + rest[18:]
            protocol = 6
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(rest), rng.getrandbits(16), 0,
                           rng.choice((64, 128, 255)), protocol, 0,
                           here, there)
        try:
            raw.sendto(head + rest, (target, 0))
        except OSError:
            pass
        ahead = number / float(rate) - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


if __name__ == "__main__":
    what, rest = sys.argv[1], sys.argv[2:]
    if what in ("echo", "reflector"):
        signal.alarm(int(float(rest[1])))
    else:
        signal.alarm(240)
    globals()[what](*rest)
