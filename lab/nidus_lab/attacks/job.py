"""One attack under way: who does it, to whom, for how long, and the label rules it leaves."""
import contextlib
import os
import threading
import time
from dataclasses import dataclass

from .. import sandbox
from ..labels import Rule

REGISTRY = {}


@dataclass(frozen=True)
class Attack:
    name: str
    family: str
    needs: tuple
    do: object
    wants: str      # the service its victim must offer, or empty


class Missed(Exception):
    """The attack could not begin: nobody to attack, or the pair was busy. Nothing was sent."""


def attack(family, *needs, wants=""):
    """Enters a function as an attack. It takes a Job and returns when the attack is over."""
    def enter(function):
        REGISTRY[function.__name__] = Attack(function.__name__, family, needs, function, wants)
        return function
    return enter


class Job:
    """Attackers are any hosts: a seed may make a desktop the culprit in one capture and the victim in another."""

    def __init__(self, what, plan, services, ledger, programs, rng, seconds, set_rules):
        self.what, self.plan, self.services, self.rng, self.seconds = what, plan, services, rng, seconds
        self._ledger, self._programs, self._set_rules = ledger, programs, set_rules
        self._deadline = time.monotonic() + seconds
        self.events = []

    # -- who -------------------------------------------------------------------

    def attacker(self, *others):
        """Usually somebody from outside, sometimes one of us."""
        among = [h for h in self.plan.by_role("outside") * 2 + self.plan.by_role("client") if h not in others]
        return self.rng.choice(among)

    def insider(self, *others):
        return self.rng.choice([h for h in self.plan.by_role("client", "server") if h not in others])

    def attackers(self, count, *others):
        among = [h for h in self.plan.by_role("outside", "client") if h not in others]
        return self.rng.sample(among, min(count, len(among)))

    def victim(self, *others):
        """A host with what the attack wants."""
        service = self.what.wants
        among = [h for h in (self.plan.offering(service) if service else self.plan.by_role("server", "client"))
                 if h not in others and h.role != "gate"]
        if not among:
            raise Missed(f"nobody offers {service}")
        return self.rng.choice(among)

    def family(self, share=0.15):
        return 6 if self.rng.random() < share else 4

    def spoof_net(self):
        """A network of sender addresses for this attack alone."""
        if len(self.plan.spoofable) < 2:  # The last one is where honest people go astray.
            raise Missed("no sender addresses left")
        return self.plan.spoofable.pop(0)

    # -- doing -----------------------------------------------------------------

    @property
    def left(self):
        return max(0.0, self._deadline - time.monotonic())

    def limit(self, seconds):
        return max(0.5, min(seconds, self.left))

    def run(self, host, words, limit=None, given=None):
        status = self._programs.run(host.name, words, self.limit(limit or self.left), given)
        self.events.append({"program": os.path.basename(str(words[0])), "host": host.name, "status": status})
        return status

    def start(self, host, words):
        return self._programs.start(host.name, words)

    def end(self, process):
        self._programs.end(process)

    def sleep(self, seconds):
        return self._programs.sleep(min(seconds, self.left)) and self.left > 0

    def tiny(self, host, *words, limit=None):
        return self.run(host, self.tiny_words(*words), limit)

    def tiny_words(self, *words):
        return sandbox.module("tiny", *words)

    def file(self, content):
        path = f"{sandbox.WORK}/job-{self.what.name}-{self.rng.getrandbits(48):x}"
        return sandbox.write(path, content)

    # -- labelling -------------------------------------------------------------

    @contextlib.contextmanager
    def claim(self, attacker, victims, port=None, protocol="", family=4, net=None, name=None, forever=False):
        """While the block runs, and a little longer, attacker and victims have no benign talk on the port (None: on
        any), and what they exchange bears the attack's label. `net` names the victims' network in the rule instead;
        `forever` keeps the pair so to the capture's end, for ports that honest people do not use."""
        victims = victims if isinstance(victims, (list, tuple)) else [victims]
        names = [v.name for v in victims]
        if not self._ledger.hold(attacker.name, names, port, patience=min(12, self.left / 2)):
            raise Missed("the pair was busy")
        self._programs.sleep(1)  # The last packets of what ended just now are not the attack's.
        start, key = time.time(), object()

        def write(end):
            ports = [(None, protocol)] if port is None else [(port, protocol or "tcp"), (None, "icmp")]
            self._set_rules(key, [Rule(self.what.family, name or self.what.name, a=attacker.address(family), b=to,
                                       b_port=p, protocol=proto, start=start, end=end)
                                  for to in ([net] if net else [v.address(family) for v in victims])
                                  for p, proto in ports])

        write(None)
        try:
            yield
        finally:
            if not forever:
                tail = self.rng.uniform(4, 7)
                write(time.time() + tail)
                self._programs.sleep(tail)
                self._ledger.release(attacker.name, names, port)

    def claim_spoofed(self, net, victim, protocol=""):
        """Whatever a made-up network exchanges with the victim is the attack's, to the capture's end."""
        self._set_rules(object(), [Rule(self.what.family, self.what.name, a=net, b=victim.v4, start=time.time())])


def together(job, hosts, claim, do):
    """Each of some hosts does it under its own claim, all at one time. Missed only when none of them could."""
    missed = []

    def one(host):
        try:
            with claim(host):
                do(host)
        except Missed as reason:
            missed.append(reason)

    threads = [threading.Thread(target=one, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(missed) == len(hosts):
        raise Missed(str(missed[0]) if missed else "no hosts")
