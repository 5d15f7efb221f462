"""Who talks to whom just now, so that a label rule never catches a bystander.

An attacking host browses, mails and logs in like any other. Its attack is told
from that by target, port and time: while an attack holds a pair of hosts, the
two do nothing benign with each other (on that port, or at all), and an attack
starts only when what they were doing before has ended.
"""
import threading
import time
from collections import Counter

ICMP = "icmp"  # Stands where a port stands, for traffic that has none.


class Ledger:
    """Thread-safe."""

    def __init__(self):
        self._changed = threading.Condition()
        self._benign = Counter()   # (pair, port) -> conversations under way
        self._held = Counter()     # (pair, port or None) -> attacks under way

    def enter(self, one, other, *ports):
        """Begins benign conversations of two hosts; False when an attack holds any of them."""
        pair = frozenset((one, other))
        with self._changed:
            if any(self._held[pair, p] for p in (None, *ports)):
                return False
            for port in ports:
                self._benign[pair, port] += 1
            return True

    def leave(self, one, other, *ports):
        pair = frozenset((one, other))
        with self._changed:
            for port in ports:
                self._benign[pair, port] -= 1
            self._changed.notify_all()

    def hold(self, one, others, port, patience):
        """Keeps a host and some others from benign talk on a port (None: on all). False: they were busy
        for `patience` seconds, or another attack has them; nothing is held then."""
        pairs = [frozenset((one, other)) for other in others]
        with self._changed:
            if any(self._clashes(pair, port) for pair in pairs):
                return False
            for pair in pairs:
                self._take(pair, port, 1)
            deadline = time.monotonic() + patience
            while any(self._busy(pair, port) for pair in pairs):
                left = deadline - time.monotonic()
                if left <= 0:
                    for pair in pairs:
                        self._take(pair, port, -1)
                    return False
                self._changed.wait(left)
            return True

    def release(self, one, others, port):
        with self._changed:
            for other in others:
                self._take(frozenset((one, other)), port, -1)
            self._changed.notify_all()

    def _take(self, pair, port, count):
        self._held[pair, port] += count
        if port is not None:
            self._held[pair, ICMP] += count  # The errors that an attack provokes are part of it.

    def _clashes(self, pair, port):
        return any(n and p == pair and (port is None or q is None or q == port)
                   for (p, q), n in self._held.items())

    def _busy(self, pair, port):
        return any(n and p == pair and (port is None or q in (port, ICMP))
                   for (p, q), n in self._benign.items())
