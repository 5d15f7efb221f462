"""Delay for kernels without netem: a cable made of two TAP devices with this program between them.

Started inside the switch's namespace as `python3 -m nidus_lab.relay SEED HOST:PORT:DELAY:JITTER...`;
HOST gets a device e0, the switch one named PORT. Frames of one direction keep
their order. A direction holds at most QUEUE frames and drops what is too much.
"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x0002 | 0x1000
CLONE_NEWNET = 0x40000000
QUEUE = 2000


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return fd


def enter_namespace(path):
    fd = os.open(path, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {path}")
    os.close(fd)


class Direction:
    """One way through a cable."""

    def __init__(self, source, sink, delay, jitter, rng):
        self.source, self.sink = source, sink
        self._delay, self._jitter, self._rng = delay, jitter, rng
        self._last = 0.0
        self.waiting = 0

    def due(self, now):
        when = now + self._delay + self._rng.uniform(-self._jitter, self._jitter)
        self._last = max(self._last, when)
        return self._last


def main(seed, ends):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The lab ends it, after the capture.
    rng = random.Random(f"relay {seed}")
    ways = {}
    for end in ends:
        host, port, delay, jitter = end.split(":")
        enter_namespace("/run/netns/switch")
        near = open_tap(port)
        enter_namespace(f"/run/netns/{host}")
        far = open_tap("e0")
        for source, sink in ((near, far), (far, near)):
            ways[source] = Direction(source, sink, float(delay) / 1000, float(jitter) / 1000, rng)
    print("ready", flush=True)
    forward(ways)


def forward(ways):
    poll = select.epoll()
    for source in ways:
        poll.register(source, select.EPOLLIN)
    heap, count = [], 0
    while True:
        timeout = max(0, heap[0][0] - time.monotonic()) if heap else -1
        for source, _ in poll.poll(timeout):
            way, now = ways[source], time.monotonic()
            for _ in range(64):
                try:
                    frame = os.read(source, 2048)
                except OSError:  # Nothing more to read, or the device is not up yet.
                    break
                if way.waiting < QUEUE:
                    way.waiting += 1
                    count += 1
                    heapq.heappush(heap, (way.due(now), count, way, frame))
        now = time.monotonic()
        while heap and heap[0][0] <= now:
            _, _, way, frame = heapq.heappop(heap)
            way.waiting -= 1
            try:
                os.write(way.sink, frame)
            except OSError:  # The other end's queue is full or its device down: lost, as on a wire.
                pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
