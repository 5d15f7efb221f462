"""Bots and their masters: check-ins at a beat with jitter, over HTTP, HTTPS, bare TCP, UDP and DNS."""
from ..benign import AGENTS, CURL
from .job import Missed, attack


def _pair(job):
    """A bot at home and its master in the wide world; where the master has a web site, honest people visit it too."""
    bot = job.insider()
    masters = [h for h in job.plan.by_role("outside") if h is not bot]
    return bot, job.rng.choice(masters)


def _beat(job):
    return job.rng.choice((0.7, 1.5, 3, 5)), job.rng.choice((0, 0.1, 0.4))


def _span(job):
    return job.left - 8


def _check_in(job, tls):
    bot = job.insider()
    masters = [h for h in job.plan.by_role("outside") if "web" in h.services and h is not bot]
    if not masters:
        raise Missed("no master has a web server")
    master = job.rng.choice(masters)
    port = master.services["tls" if tls else "web"]
    beat, jitter = _beat(job)
    agent = job.rng.choice((AGENTS[0], AGENTS[2], "Mozilla/4.0 (compatible; MSIE 8.0)", "agent"))
    base = f"{'https' if tls else 'http'}://{master.v4}:{port}/app/"
    with job.claim(bot, master, port=port):
        end = _span(job)
        while job.left > job.seconds - end:
            extra = ["-d", job.rng.randbytes(job.rng.choice((20, 60, 400, 2000))).hex()] if job.rng.random() < 0.3 else []
            job.run(bot, [*CURL, "-A", agent, *extra, base + job.rng.choice(("task", "task", "task", "api/result"))], 6)
            if not job.sleep(beat * job.rng.uniform(1 - jitter, 1 + jitter)):
                break


@attack("botnet", "curl")
def http_beacon(job):
    _check_in(job, tls=False)


@attack("botnet", "curl")
def https_beacon(job):
    _check_in(job, tls=True)


@attack("botnet", "python3")
def held_line(job):
    """The bot keeps one TCP connection, as bots on chat servers do; several bots, one master."""
    _, master = _pair(job)
    port = job.rng.choice((6667, 4444, 8081, 1337, 9001))
    server = job.start(master, job.tiny_words("master", port, job.left, job.rng.choice((1, 3, 6))))
    bots = job.rng.sample([h for h in job.plan.by_role("client", "server")], job.rng.randint(1, 3))
    job.sleep(0.5)
    beat, _ = _beat(job)
    try:
        with _claims(job, bots, master, port, "tcp"):
            lines = [job.start(bot, job.tiny_words("bot", master.v4, port, job.left - 7, beat)) for bot in bots]
            job.sleep(job.left - 6)
            for line in lines:
                job.end(line)
    finally:
        job.end(server)


@attack("botnet", "ncat")
def tcp_beacon(job):
    """A new bare connection each time: connect, say a few bytes, hear a few, close."""
    bot, master = _pair(job)
    port = job.rng.choice((4443, 8088, 53, 2404, 9999))
    answer = job.file(job.rng.randbytes(job.rng.choice((4, 16, 200))))
    server = job.start(master, ["ncat", "-4", "-l", "-k", "-p", port, "--sh-exec", f"head -c 8 >/dev/null; cat {answer}"])
    beat, jitter = _beat(job)
    job.sleep(0.3)
    try:
        with job.claim(bot, master, port=port):
            end = _span(job)
            while job.left > job.seconds - end:
                job.run(bot, ["ncat", "-4", "-w", "2", master.v4, port], 4, given=job.rng.randbytes(job.rng.choice((8, 16, 64, 300))))
                if not job.sleep(beat * job.rng.uniform(1 - jitter, 1 + jitter)):
                    break
    finally:
        job.end(server)


@attack("botnet", "python3")
def peer_to_peer(job):
    """Bots tell each other that they live, by datagram."""
    bot = job.insider()
    others = job.rng.sample([h for h in job.plan.by_role("client", "outside") if h is not bot], 3)
    port = job.rng.choice((16471, 8999, 30303))
    listeners = [job.start(h, job.tiny_words("echo", port, job.left)) for h in others]
    job.sleep(0.4)
    beat, _ = _beat(job)
    try:
        with job.claim(bot, others, port=port, protocol="udp"):
            job.tiny(bot, "peers", _span(job), beat, *[f"{h.v4}={port}" for h in others], limit=_span(job) + 1)
    finally:
        for one in listeners:
            job.end(one)


@attack("botnet", "dig", wants="dns")
def dns_beacon(job):
    """Small questions with an encoded state, at a beat, to a name server of the master's."""
    from .. import words
    resolver = job.plan.offering("dns")[-1]  # The first is everybody's: its queries could not be told apart.
    bot = job.insider(resolver)
    beat, jitter = _beat(job)
    zone = f"{words.word(job.rng)}.{job.plan.domain}"
    with job.claim(bot, resolver, port=53, protocol="udp"):
        end = _span(job)
        while job.left > job.seconds - end:
            job.run(bot, ["dig", f"@{resolver.v4}", "+tries=1", "+time=1", job.rng.choice(("A", "TXT")), f"{words.host_label(job.rng, 16)}.{zone}"], 3)
            if not job.sleep(beat * job.rng.uniform(1 - jitter, 1 + jitter)):
                break


class _claims:
    """One claim for each of several bots."""

    def __init__(self, job, bots, master, port, protocol):
        import contextlib
        self._stack = contextlib.ExitStack()
        self._list = [job.claim(bot, master, port=port, protocol=protocol, keep=2) for bot in bots if bot is not master]

    def __enter__(self):
        try:
            for claim in self._list:
                self._stack.enter_context(claim)
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *failure):
        self._stack.close()
