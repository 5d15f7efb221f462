"""What one capture is made of, drawn from its seed: hosts, addresses, roles, links, services.

The same seed gives the same plan; the traffic itself also depends on how the
programs are scheduled, so two captures of one seed are alike, not equal.
"""
import ipaddress
import random
from dataclasses import dataclass, field

PORTS = {"web": (80, 80, 80, 8080, 8000), "tls": (443, 443, 443, 8443), "dns": (53,), "ssh": (22, 22, 22, 2222),
         "ftp": (21, 21, 2121), "smtp": (25, 25, 587), "redis": (6379, 6379, 6380), "mqtt": (1883,), "ntp": (123,),
         "voice": (5004, 16384, 40000), "bulk": (5201,), "reflector": (1900, 11211, 19)}

INSIDE = ("10.{a}.{b}.0/24", "172.{c}.{b}.0/24", "192.168.{b}.0/24", "10.{a}.0.0/20")
OUTSIDE = ("198.18.{b}.0/24", "198.19.{b}.0/24", "100.{d}.{b}.0/24")


@dataclass
class Link:
    """How a host hangs on the switch. Delay is one way, in milliseconds; loss a share of packets each way."""
    delay_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    rate_kbit: int = 0


@dataclass
class Host:
    name: str
    role: str            # server, client, outside, or gate: swallows what is sent to nobody
    v4: str
    v6: str
    net: str
    mac: str
    mtu: int = 1500
    link: Link = field(default_factory=Link)
    sysctl: dict = field(default_factory=dict)
    services: dict = field(default_factory=dict)  # service -> port

    def address(self, family=4):
        return self.v6 if family == 6 else self.v4


@dataclass
class Plan:
    seed: int
    nets: list
    net6: str
    hosts: list
    spoofable: list      # networks no host lives in
    pace: float          # scales the think times of people: below 1, they are in a hurry
    domain: str
    bulk: float = 1.0    # scales the sizes of files

    def host(self, name):
        return next(h for h in self.hosts if h.name == name)

    def by_role(self, *roles):
        return [h for h in self.hosts if h.role in roles]

    def offering(self, service):
        return [h for h in self.hosts if service in h.services]


def make_plan(seed):
    rng = random.Random(f"plan {seed}")
    nets = _nets(rng)
    net6 = f"fd{rng.randrange(256):02x}:{rng.randrange(1 << 16):x}:{rng.randrange(1 << 16):x}::/64"
    maker = _HostMaker(rng, nets, net6)
    hosts = [maker.make("gate", "gate", nets["inside"][0])]
    hosts += [maker.make(f"s{i}", "server", rng.choice(nets["servers"])) for i in range(rng.randint(3, 6))]
    hosts += [maker.make(f"c{i}", "client", rng.choice(nets["inside"])) for i in range(rng.randint(4, 7))]
    hosts += [maker.make(f"o{i}", "outside", rng.choice(nets["outside"])) for i in range(rng.randint(3, 5))]
    _give_services(rng, hosts)
    for host in hosts[1:]:
        host.link = _link(rng, host.role)
    return Plan(seed, sorted({n for group in nets.values() for n in group}), net6, hosts,
                _spoofable(rng, nets), rng.choice((0.3, 0.5, 0.7, 1.0)),
                rng.choice(("lab", "corp", "home.arpa", "test")))


def _nets(rng):
    def draw(patterns):
        return rng.choice(patterns).format(a=rng.randrange(1, 120), b=rng.randrange(1, 250),
                                           c=rng.randrange(16, 24), d=rng.randrange(64, 128))
    inside = [draw(INSIDE) for _ in range(rng.randint(1, 2))]
    servers = rng.choice((inside, [draw(INSIDE)], [draw(INSIDE), draw(OUTSIDE)]))
    outside = [draw(OUTSIDE) for _ in range(rng.randint(1, 2))]
    return {"inside": inside, "servers": servers, "outside": outside}


def _spoofable(rng, nets):
    used = {ipaddress.ip_network(n) for group in nets.values() for n in group}
    found = []
    while len(found) < 12:
        text = rng.choice((f"10.{rng.randrange(128, 250)}.0.0/16",
                           f"10.{rng.randrange(128, 250)}.{rng.randrange(256)}.0/24",
                           f"172.{rng.randrange(24, 32)}.0.0/16"))
        net = ipaddress.ip_network(text)
        if not any(net.overlaps(other) for other in used):
            used.add(net)
            found.append(text)
    return found


class _HostMaker:
    def __init__(self, rng, nets, net6):
        self._rng, self._net6, self._taken = rng, ipaddress.ip_network(net6), set()

    def make(self, name, role, net):
        rng = self._rng
        network = ipaddress.ip_network(net)
        number = rng.randrange(1, network.num_addresses - 1)
        while str(network[number]) in self._taken:
            number = rng.randrange(1, network.num_addresses - 1)
        v4 = str(network[number])
        self._taken.add(v4)
        v6 = str(self._net6[rng.choice((rng.randrange(1, 200), rng.getrandbits(55))) * 64 + len(self._taken)])
        mac = ":".join(f"{byte:02x}" for byte in (rng.choice((0x02, 0x06, 0x0a, 0x0e)), *rng.randbytes(5)))
        host = Host(name, role, v4, v6, net, mac, mtu=rng.choice((1500, 1500, 1500, 1400, 1280)))
        host.sysctl = _system(rng)
        return host


def _system(rng):
    """A guess at an operating system: what its first packets look like."""
    receive = rng.choice((16384, 32768, 65535, 131072))
    return {"net.ipv4.ip_default_ttl": rng.choice((64, 64, 64, 128, 128, 255)),
            "net.ipv4.tcp_timestamps": rng.choice((1, 1, 0)),
            "net.ipv4.tcp_sack": rng.choice((1, 1, 1, 0)),
            "net.ipv4.tcp_window_scaling": rng.choice((1, 1, 1, 0)),
            "net.ipv4.tcp_congestion_control": rng.choice(("cubic", "cubic", "reno")),
            "net.ipv4.tcp_rmem": f"4096 {receive} 6291456",
            "net.ipv4.tcp_ecn": rng.choice((2, 2, 1)),
            "net.ipv4.tcp_synack_retries": rng.choice((1, 2, 3)),
            "net.ipv4.tcp_syncookies": rng.choice((0, 1, 1)),
            "net.ipv4.ip_local_port_range": rng.choice(("32768 60999", "49152 65535", "1025 5000", "10000 65000"))}


def _link(rng, role):
    far = role == "outside" or rng.random() < 0.25
    link = Link()
    if far:
        link.delay_ms = round(rng.choice((rng.uniform(1, 10), rng.uniform(5, 30), rng.uniform(20, 80))), 1)
        link.jitter_ms = round(link.delay_ms * rng.choice((0, 0.05, 0.2)), 1)
    if rng.random() < 0.35:
        link.loss = round(rng.choice((0.001, 0.003, 0.01, 0.02)), 4)
    if far or rng.random() < 0.5:
        link.rate_kbit = rng.choice((2000, 5000, 10000, 20000, 50000, 100000))
    return link


def _give_services(rng, hosts):
    servers = [h for h in hosts if h.role == "server"]
    outside = [h for h in hosts if h.role == "outside"]

    def give(service, count, among):
        for host in rng.sample(among, min(count, len(among))):
            host.services[service] = rng.choice(PORTS[service])
            if service == "web":
                host.services["tls"] = rng.choice(PORTS["tls"])

    give("web", rng.randint(2, 3), servers)
    give("dns", 2, servers)
    give("ssh", rng.randint(2, 3), servers)
    give("ftp", rng.randint(1, 2), servers)
    for service in ("smtp", "redis", "mqtt", "ntp", "voice", "bulk"):
        give(service, 1, servers)
    give("web", 2, outside)       # Sites of the wide world: most visitors are honest.
    give("ssh", 1, outside)
    give("reflector", 2, servers + outside)
    for host in rng.sample(hosts[1:], 2):   # Desktops answer too.
        host.services.setdefault("ssh", 22)
