"""Looking for open doors: nmap in its many manners."""
import ipaddress

from ..network import dark_neighbours
from .job import attack

QUIET = ["nmap", "-n", "-oN", "/dev/null", "--send-ip", "--disable-arp-ping"]


def _pace(job):
    return job.rng.choice((["-T2", "--scan-delay", "150ms"], ["-T3"],
                           ["-T3", "--max-rate", str(job.rng.choice((20, 80, 300)))], ["-T4"]))


def _ports(job):
    rng = job.rng
    low = rng.randrange(1, 3000)
    return rng.choice((["--top-ports", str(rng.choice((50, 100, 300, 1000)))],
                       ["-p", f"{low}-{low + rng.randint(60, 800)}"], ["-F"],
                       ["-p", ",".join(str(p) for p in sorted(rng.sample(range(1, 9000),
                                                                         40))) + ",21,22,25,80,443,6379"]))


def _scan(job, *how, ports=True, family=None):
    victim = job.victim()
    attacker = job.attacker(victim)
    family = family or job.family()
    with job.claim(attacker, victim, family=family):
        words = [*QUIET, *(["-6"] if family == 6 else []), *how, *(_ports(job) if ports else []), *_pace(job),
                 *job.rng.choice((["-Pn"], ["-Pn"], [])), "--max-retries", "1", victim.address(family)]
        job.run(attacker, words, 40)


@attack("port_scan", "nmap")
def syn_scan(job):
    _scan(job, "-sS")


@attack("port_scan", "nmap")
def connect_scan(job):
    _scan(job, "-sT")


@attack("port_scan", "nmap")
def udp_scan(job):
    _scan(job, "-sU", "--max-scan-delay", "30ms")


@attack("port_scan", "nmap")
def odd_flags_scan(job):
    """NULL, FIN, Xmas, ACK and window scans."""
    _scan(job, job.rng.choice(("-sN", "-sF", "-sX", "-sA", "-sW", "-sM")))


@attack("port_scan", "nmap")
def version_scan(job):
    _scan(job, job.rng.choice(("-sS", "-sT")), "-sV", "--version-intensity", str(job.rng.randint(1, 5)),
          "-p", "21,22,23,25,53,80,443,1883,2121,2222,5201,6379,8000,8080,8443", ports=False)


@attack("port_scan", "nmap")
def system_scan(job):
    _scan(job, "-O", "-sS", family=4)


@attack("port_scan", "nmap")
def decoy_scan(job):
    """The scanner hides among senders that are not there."""
    victim = job.victim()
    attacker = job.attacker(victim)
    net = job.spoof_net()
    decoys = [str(ipaddress.ip_network(net)[job.rng.randrange(1, 200)]) for _ in range(job.rng.randint(2, 6))]
    with job.claim(attacker, victim):
        job.claim_spoofed(net, victim)
        job.run(attacker, [*QUIET, "-sS", "-Pn", "-D", ",".join([*decoys, "ME"]), "--top-ports", "100",
                           *_pace(job), "--max-retries", "1",
                           victim.v4], 30)


@attack("port_scan", "nmap")
def sweep(job):
    """Who is there? All addresses of a network, one or two packets each."""
    _horizontal(job, job.rng.choice((["-sn", "-PE"], ["-sn", "-PS22,80,443"], ["-sn", "-PE", "-PP", "-PA80"],
                                     ["-sn", "-PU53,161"])))


@attack("port_scan", "nmap")
def one_port_everywhere(job):
    """What a worm does before it spreads."""
    _horizontal(job, ["-Pn", job.rng.choice(("-sS", "-sT")), "-p",
                      job.rng.choice(("22", "23", "80,8080", "445", "6379", "3389"))])


def _horizontal(job, how):
    net = job.rng.choice([h.net for h in job.plan.by_role("server", "client")])
    attacker = job.attacker()
    if ipaddress.ip_network(net).num_addresses > 256:
        third = str(ipaddress.ip_address(job.rng.choice([h.v4 for h in job.plan.hosts if h.net == net])))
        net = str(ipaddress.ip_network(third + "/24", strict=False))
    inside = ipaddress.ip_network(net)
    victims = [h for h in job.plan.hosts if h is not attacker and ipaddress.ip_address(h.v4) in inside]
    dark_neighbours(job.plan, attacker, net)
    with job.claim(attacker, victims, net=net):
        job.run(attacker, [*QUIET, *how, *_pace(job), "--max-retries", "1", "--exclude", f"{attacker.v4}", net], 30)
