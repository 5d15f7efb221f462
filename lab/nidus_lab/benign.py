"""What honest hosts do, human error included. Each function is one thing somebody does; `me` is a Person."""
import os
import tempfile

from . import sandbox, words

MANY = ["curl", "-sSk", "--connect-timeout", "5"]  # Each URL needs its own -o.
CURL = [*MANY, "-o", "/dev/null"]

AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/115.0", "curl/7.88.1",
          "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "updater/4.1",
          "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148")

SSH = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o",
       "ConnectTimeout=6", "-o", "GSSAPIAuthentication=no"]


def _curl(me, site, *more, agent=None, many=()):
    """curl for one URL or, with `many` paths, for all of them in one run."""
    more = (*more, *_each(site.url(path) for path in many))
    return [*(MANY if many else CURL), "-6" if site.family == 6 else "-4", "-A", agent or me.rng.choice(AGENTS),
            *more]


def _each(urls):
    return [word for url in urls for word in ("-o", "/dev/null", url)]


def _web(me):
    return me.visit(me.rng.choice(("web", "tls")))


def _pages(me, count):
    return me.rng.choices([p for p, _ in me.services.pages if not p.startswith("/big")], k=count)


# -- the web -----------------------------------------------------------------------

def browse(me):
    """A page and what belongs to it over several connections, think, the next page."""
    with _web(me) as site:
        for _ in range(me.rng.randint(1, 4)):
            if not site:
                return
            me.run(_curl(me, site, site.url(me.rng.choice(("/", "/", "/index.html")))), 10)
            me.run(_curl(me, site, "--parallel", "--parallel-max", me.rng.randint(2, 6),
                         many=_pages(me, me.rng.randint(2, 12))), 15)
            if not me.think(0.5, 5):
                return


def one_page(me):
    with _web(me) as site:
        if site:
            me.run(_curl(me, site, *me.rng.choice(([], [], ["-I"], ["-L"], ["--compressed"])),
                         site.url(me.rng.choice(("/moved", *_pages(me, 4))))), 10)


def keep_alive_fetch(me):
    """Many things over one connection."""
    with _web(me) as site:
        if site:
            me.run(_curl(me, site, many=_pages(me, me.rng.randint(3, 15))), 20)


def dead_link(me):
    with _web(me) as site:
        for _ in range(me.rng.randint(1, 3)):
            if site:
                me.run(_curl(me, site, site.url(f"/{words.word(me.rng)}/{words.word(me.rng)}.html")), 10)


def search(me):
    with _web(me) as site:
        for _ in range(me.rng.randint(1, 4)):
            if site:
                text = "+".join(words.word(me.rng) for _ in range(me.rng.randint(1, 4))) + me.rng.choice(("", "",
                                                                                                          "", "'s"))
                me.run(_curl(me, site, site.url(f"/app/search?q={text}")), 10)
                me.think(0.3, 3)


def form_login(me):
    """Now and then with a typing error first."""
    with _web(me) as site:
        if not site:
            return
        tries = ["wrong"] * (me.rng.random() < 0.3) + [me.services.web_password]
        for secret in tries:
            me.run(_curl(me, site, "-d", f"user={words.word(me.rng)}&pass={secret}", site.url("/app/login")), 10)
            me.think(1, 3)


def members(me):
    with _web(me) as site:
        if site:
            user, secret = me.services.basic_user
            for attempt in [secret + "x"] * (me.rng.random() < 0.25) + [secret]:
                me.run(_curl(me, site, "-u", f"{user}:{attempt}", site.url("/members/")), 10)


def upload(me):
    with _web(me) as site:
        if site:
            path = _file(me, me.size(500, 3_000_000))
            me.run(_curl(me, site, "-T", path, site.url("/app/upload")), 20)
            os.unlink(path)


def api_posts(me):
    with _web(me) as site:
        for _ in range(me.rng.randint(1, 6)):
            if site:
                me.run(_curl(me, site, "-H", "Content-Type: application/json", "-d",
                             '{"v":"' + "1" * words.size(me.rng, 10, 4000) + '"}', site.url("/app/api/items")), 10)


def download(me):
    with _web(me) as site:
        if site:
            limit = me.rng.choice(([], [], ["--limit-rate", f"{me.rng.randint(80, 900)}k"]))
            me.run(_curl(me, site, *limit, site.url(me.rng.choice(("/big/disk.iso", "/big/video.mp4")))), 20)


def crawl(me):
    """A search engine or a backup of the whole site: fast, many, and nothing wrong with it."""
    with _web(me) as site:
        if site:
            for path, _ in me.services.pages[:me.rng.randint(10, 50)]:
                me.run(_curl(me, site, site.url(path if me.rng.random() < 0.95 else "/robots.txt"),
                             agent="crawler/1.0"), 10)
                if not me.think(0, 0.15):
                    return


def polling(me):
    """A dashboard or an updater: the same request at a steady beat, like a beacon's, over one line or many."""
    service = me.rng.choice(("web", "tls"))
    with me.visit(service) as site:
        if not site:
            return
        beat, length = me.rng.choice((0.5, 1, 2, 3, 5)), me.rng.uniform(8, 25)
        if me.rng.random() < 0.5:
            _tiny(me, length + 10, "polling", site.literal, site.port, service, length, beat, "/app/api/status")
        else:
            for _ in range(int(length / beat)):
                me.run(_curl(me, site, site.url("/app/api/status"), agent="updater/4.1"), 8)
                if not me.think(beat, beat * 1.1):
                    return


# -- names, time, echoes -----------------------------------------------------------

def look_up(me):
    with me.visit("dns", literal=True) as server:
        for _ in range(me.rng.randint(1, 6)):
            if server:
                names = list(me.services.names)
                name, kind = me.rng.choice(((me.rng.choice(names), "A"), (me.rng.choice(names), "AAAA"),
                                            (f"txt{me.rng.randrange(4)}.{me.plan.domain}", "TXT"),
                                            (me.plan.domain, "MX"),
                                            (f"{words.word(me.rng)}.{me.plan.domain}", "A"),
                                            (f"{words.host_label(me.rng, 30)}.cdn.{me.plan.domain}", "A"),
                                            (me.services.amplified, "TXT")))
                me.run(["dig", f"@{server.literal}", "-p", server.port, "+tries=1", "+time=2",
                        *me.rng.choice(([], [], ["+tcp"], ["+noedns"])),
                        kind, name], 5)
                me.think(0, 0.5)


def ping(me):
    target = me.rng.choice([h for h in me.plan.hosts if h.role != "gate"])
    with me.talk(target, "icmp") as allowed:
        if allowed:
            me.run(["ping", "-n", "-q", "-c", me.rng.randint(1, 8), "-i", me.rng.choice((0.2, 0.5, 1)), "-s",
                    me.rng.choice((56, 56, 32, 1000)),
                    "-W", "2", target.address(me.rng.choice((4, 4, 6)))], 15)


def clock(me):
    with me.visit("ntp", literal=True) as server:
        if server:
            me.run(["chronyd", "-Q", "-t", "6", "-f", "/dev/null",
                    f"server {server.literal} iburst maxsamples {me.rng.randint(1, 4)}"], 8)


def monitoring(me):
    """Is everything up? One connection to each of some ports, some of them closed."""
    targets = []
    for host in me.rng.sample(me.plan.by_role("server"), 3):
        ports = [p for p in host.services.values() if p not in (5004, 16384, 40000)] + me.rng.sample((81, 3306,
                                                                                                      5432, 9100), 1)
        targets += [(host, p) for p in ports]
    with _all(me, targets) as allowed:
        if allowed:
            _tiny(me, 20, "checks", 20, *[f"{h.address()}={p}" for h, p in allowed])


def closed_port(me):
    """Somebody mistyped, or the service has moved."""
    host = me.rng.choice(me.plan.by_role("server", "client"))
    port = me.rng.choice((81, 8888, 3389, 5432, 445, 9090))
    with me.talk(host, port) as allowed:
        if allowed:
            me.run([*CURL, f"http://{host.v4}:{port}/"], 6)


def nobody_there(me):
    me.run([*CURL, "--connect-timeout", "3",
            f"http://{me.plan.spoofable[-1].rsplit('.', 2)[0]}.9.{me.rng.randrange(1, 250)}/"], 4)


# -- logins and files --------------------------------------------------------------

def _user(me):
    return me.rng.choice(list(me.services.users.items()))


def _shell(me, server, secret=None):
    name, right = _user(me)
    family = "-6" if server.family == 6 else "-4"
    if secret is None and me.rng.random() < 0.6:
        return ["ssh", family, *SSH, "-i", me.key, "-o", "BatchMode=yes", "-p", server.port,
                f"{name}@{server.literal}"]
    return ["sshpass", "-p", secret or right, "ssh", family, *SSH, "-o", "PubkeyAuthentication=no", "-o",
            "NumberOfPasswordPrompts=1", "-p",
            server.port, f"{name}@{server.literal}"]


def shell_command(me):
    with me.visit("ssh", literal=True) as server:
        if server:
            if me.rng.random() < 0.12:
                me.run([*_shell(me, server, secret="mistyped"), "true"], 10)
            me.run([*_shell(me, server), me.rng.choice(("uptime", "ls -la", "df",
                                                        "cat /etc/services | head -c 9000", "ps aux | head"))], 10)


def shell_session(me):
    """Somebody types, reads, types."""
    with me.visit("ssh", literal=True) as server:
        if server:
            orders = ("ls -la", "uptime", "head -c 3000 file0.bin | base64", "date")
            typed = "; ".join(f"sleep {me.rng.uniform(0.2, 3):.1f}; {me.rng.choice(orders)}"
                              for _ in range(me.rng.randint(3, 9)))
            me.run([*_shell(me, server), typed], 30)


def secure_copy(me):
    with me.visit("ssh", literal=True) as server:
        if server:
            name, _ = _user(me)
            place = f"{name}@[{server.literal}]:"
            base = ["scp", "-q", *SSH, "-i", me.key, "-P", server.port]
            if me.rng.random() < 0.5:
                path = _file(me, 1)
                me.run([*base, f"{place}file{me.rng.randrange(4)}.bin", path], 25)
            else:
                path = _file(me, me.size(1000, 4_000_000))
                me.run([*base, path, f"{place}up{me.rng.randrange(9)}.bin"], 25)
            os.unlink(path)


def file_transfer(me):
    with me.visit("ftp", literal=True) as server:
        if not server:
            return
        name, secret = _user(me)
        base = [*CURL, "--user", f"{name}:{secret}", "--disable-eprt"]
        if me.rng.random() < 0.2:
            me.run([*CURL, "--user", f"{name}:{secret[:-1]}", server.url("/", "ftp")], 10)
        for _ in range(me.rng.randint(1, 3)):
            if me.rng.random() < 0.4:
                path = _file(me, me.size(500, 2_000_000))
                me.run([*base, "-T", path, server.url(f"/in{me.rng.randrange(9)}.bin", "ftp")], 20)
                os.unlink(path)
            else:
                me.run([*base, server.url(me.rng.choice(("/", "/file0.bin", "/file1.bin", "/none.bin")), "ftp")],
                       20)


def mail(me):
    with me.visit("smtp", literal=True) as server:
        if server:
            path = _file(me, me.size(300, 600_000))
            me.run(["swaks", "--silent", "3", "--server", server.literal, "--port", server.port, "--timeout", "8",
                    "--from",
                    f"{words.word(me.rng)}@{me.plan.domain}", "--to", f"{_user(me)[0]}@{me.plan.domain}", "--helo",
                    me.host.name + ".lab",
                    "--header", f"Subject: {words.sentence(me.rng, 4)}", "--body",
                    words.sentence(me.rng, me.rng.randint(5, 200)),
                    *(["--attach", f"@{path}"] if me.rng.random() < 0.4 else [])], 15)
            os.unlink(path)


# -- data, voice, bulk -------------------------------------------------------------

def database(me):
    with me.visit("redis", literal=True) as server:
        if server:
            secret = me.services.redis_password
            base = ["redis-cli", "--no-auth-warning", "-a", secret + "x" * (me.rng.random() < 0.04), "-h",
                    server.literal, "-p", server.port]
            kind = me.rng.random()
            if kind < 0.5:
                me.run([*base, *me.rng.choice((["SET", words.word(me.rng), words.sentence(me.rng, 60)],
                                               ["GET", words.word(me.rng)], ["INFO"]))], 5)
            elif kind < 0.75:
                lines = [f"SET {words.word(me.rng)} {words.word(me.rng)}" for _ in range(me.rng.randint(20, 400))]
                me.run([*base], 8, given="\n".join(lines) + "\n")
            elif kind < 0.9:
                me.run([*base, "SUBSCRIBE", words.word(me.rng)], me.rng.uniform(5, 25))
            else:
                me.run(["redis-benchmark", "-q", "-a", secret, "-h", server.literal, "-p", server.port, "-c", 4,
                        "-n", me.rng.randint(100, 800), "-t", "get"], 8)


def messages(me):
    with me.visit("mqtt", literal=True) as server:
        if server:
            base = ["-h", server.literal, "-p", server.port, "-t", f"lab/{me.rng.randrange(3)}"]
            if me.rng.random() < 0.5:
                me.run(["mosquitto_sub", *base, "-k", me.rng.choice((5, 10)), "-W", me.rng.randint(8, 30)], 35)
            else:
                for _ in range(me.rng.randint(1, 8)):
                    me.run(["mosquitto_pub", *base, "-q", me.rng.choice((0, 1)), "-m",
                            words.sentence(me.rng, me.rng.randint(1, 100))], 6)
                    me.think(0.1, 2)


def call(me):
    with me.visit("voice", literal=True) as peer:
        if peer:
            length = me.rng.uniform(4, 15)
            _tiny(me, length + 8, "voice", peer.literal, peer.port, length)


def bulk(me):
    with me.visit("bulk", literal=True) as server:
        if server:
            me.run(["iperf3", "-c", server.literal, "-p", server.port, "-t", me.rng.randint(1, 4), "-b",
                    f"{me.rng.choice((500, 1500, 4000))}k",
                    *me.rng.choice(([], ["-u", "-l", "1200"], ["-R"]))], 15)


def quiet_line(me):
    with me.visit(me.rng.choice(("redis", "ssh", "mqtt", "web")), literal=True) as server:
        if server:
            length = me.rng.uniform(6, 25)
            _tiny(me, length + 8, "idle", server.literal, server.port, length)


TASTES = {browse: 9, one_page: 6, keep_alive_fetch: 4, dead_link: 2, search: 4, form_login: 2, members: 1,
          upload: 2, api_posts: 3,
          download: 1, crawl: 0.7, polling: 2, look_up: 8, ping: 2, clock: 1.5, monitoring: 0.8, closed_port: 0.7,
          nobody_there: 0.4,
          shell_command: 4, shell_session: 2, secure_copy: 2, file_transfer: 3, mail: 3, database: 4, messages: 3,
          call: 1,
          bulk: 0.6, quiet_line: 1}

PAUSE = {"client": 2.0, "server": 8.0, "outside": 5.0}

SERVER_TASTES = {look_up, one_page, api_posts, database, messages, clock, monitoring, secure_copy, polling, ping,
                 mail, shell_command}
OUTSIDE_TASTES = {browse, one_page, keep_alive_fetch, dead_link, search, form_login, download, crawl, mail,
                  shell_command, look_up,
                  upload, ping, file_transfer, quiet_line}


def taste(rng, role):
    """What one host likes to do, and how much: different for each."""
    among = {"server": SERVER_TASTES, "outside": OUTSIDE_TASTES}.get(role, TASTES)
    return {activity: TASTES[activity] * rng.choice((0.2, 1, 1, 2)) for activity in TASTES if activity in among}


def _file(me, length):
    with tempfile.NamedTemporaryFile(dir=sandbox.WORK, delete=False) as file:
        file.write(os.urandom(length))
    return file.name


def _tiny(me, limit, *words_):
    return me.run(sandbox.module("tiny", *words_), limit)


class _all:
    """Those of many (host, port) pairs that this host may talk to until the block ends."""

    def __init__(self, me, targets):
        self._me, self._targets, self._open = me, targets, []

    def __enter__(self):
        allowed = []
        for host, port in self._targets:
            talk = self._me.talk(host, port)
            if talk.__enter__():
                allowed.append((host, port))
            self._open.append(talk)
        return allowed

    def __exit__(self, *failure):
        for talk in self._open:
            talk.__exit__(None, None, None)
