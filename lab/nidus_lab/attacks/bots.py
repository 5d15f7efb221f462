"""Bots and their masters: check-ins at a beat with jitter, over HTTP, HTTPS, bare TCP, UDP and DNS."""
from .. import words
from ..benign import AGENTS, CURL
from .job import Missed, attack, together


def _beat(job):
    return job.rng.choice((0.7, 1.5, 3, 5)), job.rng.choice((0, 0.1, 0.4))


def _check_in(job, tls):
    masters = [h for h in job.plan.by_role("outside") if "web" in h.services]
    if not masters:
        raise Missed("no master has a web server")
    master = job.rng.choice(masters)
    port = master.services["tls" if tls else "web"]
    beat, jitter = _beat(job)
    agent = job.rng.choice((AGENTS[0], AGENTS[2], "Mozilla/4.0 (compatible; MSIE 8.0)", "agent"))
    base = f"{'https' if tls else 'http'}://{master.v4}:{port}/app/"

    def check_in(bot):
        extra = ["-d", job.rng.randbytes(job.rng.choice((20, 60, 400,
                                                         2000))).hex()] if job.rng.random() < 0.3 else []
        job.run(bot, [*CURL, "-A", agent, *extra, base + job.rng.choice(("task", "task", "task", "api/result"))], 6)

    bots = _some(job, master)
    together(job, bots, lambda bot: job.claim(bot, master, port=port),
             lambda bot: _keep_on(job, beat, jitter, lambda: check_in(bot)))


def _some(job, *others):
    """Usually one bot, at times a few of one master."""
    among = [h for h in job.plan.by_role("client", "server") if h not in others]
    return job.rng.sample(among, min(len(among), job.rng.choice((1, 1, 2, 3))))


def _keep_on(job, beat, jitter, do):
    """Does it at a beat, until the job's time is nearly up."""
    while job.left > 8:
        do()
        if not job.sleep(beat * job.rng.uniform(1 - jitter, 1 + jitter)):
            return


@attack("botnet", "curl")
def http_beacon(job):
    _check_in(job, tls=False)


@attack("botnet", "curl")
def https_beacon(job):
    _check_in(job, tls=True)


@attack("botnet", "python3")
def held_line(job):
    """The bot keeps one TCP connection, as bots on chat servers do."""
    master = job.rng.choice(job.plan.by_role("outside"))
    port = job.rng.choice((6667, 4444, 8081, 1337, 9001))
    server = job.start(master, job.tiny_words("master", port, job.left, job.rng.choice((1, 3, 6))))
    job.sleep(0.5)
    beat, _ = _beat(job)
    lives = job.rng.randint(1, 4)  # A line breaks at times, and is taken up again.

    def hold(bot):
        for _ in range(lives):
            length = max(1.0, (job.seconds - 8) / lives)
            if job.left > 7:
                job.tiny(bot, "bot", master.v4, port, length, beat, limit=length + 1)

    try:
        together(job, _some(job), lambda bot: job.claim(bot, master, port=port, forever=True), hold)
    finally:
        job.end(server)


@attack("botnet", "ncat")
def tcp_beacon(job):
    """A new bare connection each time: connect, say a few bytes, hear a few, close."""
    master = job.rng.choice(job.plan.by_role("outside"))
    port = job.rng.choice((4443, 8088, 53, 2404, 9999))
    answer = job.file(job.rng.randbytes(job.rng.choice((4, 16, 200))))
    server = job.start(master, ["ncat", "-4", "-l", "-k", "-p", port, "--sh-exec",
                                f"head -c 8 >/dev/null; cat {answer}"])
    beat, jitter = _beat(job)
    job.sleep(0.3)

    def say(bot):
        job.run(bot, ["ncat", "-4", "-w", "2", master.v4, port], 4,
                given=job.rng.randbytes(job.rng.choice((8, 16, 64, 300))))

    try:
        together(job, _some(job), lambda bot: job.claim(bot, master, port=port, forever=True),
                 lambda bot: _keep_on(job, beat, jitter, lambda: say(bot)))
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
        with job.claim(bot, others, port=port, protocol="udp", forever=True):
            job.tiny(bot, "peers", job.left - 4, beat, *[f"{h.v4}={port}" for h in others], limit=job.left - 3)
    finally:
        for one in listeners:
            job.end(one)


@attack("botnet", "dig", wants="dns")
def dns_beacon(job):
    """Small questions with an encoded state, at a beat, to a name server of the master's."""
    resolver = job.plan.offering("dns")[-1]  # The first is everybody's: its queries could not be told apart.
    beat, jitter = _beat(job)
    zone = f"{words.word(job.rng)}.{job.plan.domain}"

    def ask(bot):
        job.run(bot, ["dig", f"@{resolver.v4}", "+tries=1", "+time=1", job.rng.choice(("A", "TXT")),
                      f"{words.host_label(job.rng, 16)}.{zone}"], 3)

    together(job, _some(job, resolver), lambda bot: job.claim(bot, resolver, port=53, protocol="udp"),
             lambda bot: _keep_on(job, beat, jitter, lambda: ask(bot)))
