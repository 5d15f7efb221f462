"""Hosts that behave: who they are, whom they may talk to now, and how they get there."""
import contextlib
import threading
from dataclasses import dataclass

from . import benign, words
from .ledger import ICMP
from .programs import Programs
from .services import KEY


@dataclass
class Endpoint:
    """A service as a client names it. `where` is an address or a name."""
    owner: object
    where: str
    port: int
    family: int
    secure: bool = False

    def url(self, path, scheme=None):
        scheme = scheme or ("https" if self.secure else "http")
        host = f"[{self.where}]" if ":" in self.where else self.where
        usual = {"http": 80, "https": 443, "ftp": 21, "smtp": 25}.get(scheme)
        return f"{scheme}://{host}{'' if usual == self.port else f':{self.port}'}{path}"

    @property
    def literal(self):
        return self.owner.address(self.family)


class Person:
    """One host's ordinary user. Every conversation is entered in the ledger before it begins."""

    def __init__(self, host, plan, services, ledger, programs: Programs, rng):
        self.host, self.plan, self.services, self.rng = host, plan, services, rng
        self._ledger, self._programs = ledger, programs
        self.counts = {}

    def run(self, words, limit, given=None):
        return self._programs.run(self.host.name, words, limit, given)

    def size(self, low, high):
        """The size of a file somebody has, in bytes."""
        return max(1, int(words.size(self.rng, low, high) * self.plan.bulk))

    def think(self, low, high):
        return self._programs.sleep(self.rng.uniform(low, high) * self.plan.pace)

    @contextlib.contextmanager
    def visit(self, service, literal=False):
        """An endpoint of a service that this host may talk to until the block ends; None if there is none."""
        secure = service == "tls"
        owners = [h for h in self.plan.offering(service) if h is not self.host]
        self.rng.shuffle(owners)
        for owner in owners:
            port = owner.services[service]
            if self._ledger.enter(self.host.name, owner.name, port, ICMP):
                try:
                    with self._name(owner, literal) as (where, family):
                        yield Endpoint(owner, where, port, family, secure)
                finally:
                    self._ledger.leave(self.host.name, owner.name, port, ICMP)
                return
        yield None

    @contextlib.contextmanager
    def talk(self, owner, port):
        """True when this host may use that port of another until the block ends."""
        if owner is self.host or not self._ledger.enter(self.host.name, owner.name, port, ICMP):
            yield False
            return
        try:
            yield True
        finally:
            self._ledger.leave(self.host.name, owner.name, port, ICMP)

    @contextlib.contextmanager
    def _name(self, owner, literal):
        family = 6 if self.rng.random() < 0.2 else 4
        resolver = self.plan.offering("dns")[0]
        names = self.services.web_names(owner)
        if literal or not names or self.rng.random() < 0.3:
            yield owner.address(family), family
            return
        with self.talk(resolver, resolver.services["dns"]) as allowed:
            yield (self.rng.choice(names), family) if allowed or resolver is self.host else (owner.address(family),
                                                                                             family)

    @property
    def key(self):
        return KEY

    def live(self):
        """Does one thing after the other until the capture ends."""
        chosen = benign.taste(self.rng, self.host.role)
        while self.think(0.1, benign.PAUSE[self.host.role]):
            activity = self.rng.choices(list(chosen), list(chosen.values()))[0]
            self.counts[activity.__name__] = self.counts.get(activity.__name__, 0) + 1
            activity(self)


def populate(plan, services, ledger, programs, seed, make_rng):
    """Starts everybody; returns the people and their threads."""
    people = [Person(h, plan, services, ledger, programs, make_rng(f"person {seed} {h.name} {n}"))
              for h in plan.by_role("client", "server", "outside")
              for n in range({"client": 3, "server": 1, "outside": 2}[h.role])]
    threads = [threading.Thread(target=p.live, daemon=True) for p in people]
    for thread in threads:
        thread.start()
    return people, threads
