"""Invented words, names, passwords and file contents: nothing here comes from anybody's list."""
import math
import string

_ONSET = ("b", "br", "c", "d", "dr", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr",
          "v", "w")
_VOWEL = ("a", "e", "i", "o", "u", "ai", "ea", "oo")
_CODA = ("", "", "l", "n", "r", "s", "t", "nd", "rk", "x")

ADMIN_WORDS = ("admin", "backup", "config", "login", "test", "old", "private", "db", "api", "debug", "status",
               "upload",
               "files", "secret", "console", "setup", "install", "users", "shell", "panel", "logs", "tmp", "data",
               "portal", "manage", "system", "export", "archive", "hidden", "staging")
ENDINGS = ("", "/", ".php", ".bak", ".txt", ".old", ".zip", ".sql", ".html", ".json", "~", ".cfg")


def word(rng, parts=2):
    return "".join(rng.choice(_ONSET) + rng.choice(_VOWEL) + rng.choice(_CODA) for _ in range(parts))


def sentence(rng, words=12):
    return " ".join(word(rng, rng.randint(1, 3)) for _ in range(words)).capitalize() + "."


def password(rng):
    return word(rng) + rng.choice("!-_.") + str(rng.randrange(10, 9999))


def guesses(rng, count):
    """What somebody would try who has no idea."""
    common = ["password", "letmein", "welcome1", "qwerty", "changeme", "root", "admin123", "summer2024"]
    made = [rng.choice((word(rng, 2), word(rng, 1).capitalize() + str(rng.randrange(1900, 2030)),
                        word(rng, 3) + rng.choice("!1#"))) for _ in range(count)]
    return (common + made)[:count] if count > 12 else made


def paths(rng, count):
    """What a prober would ask a web server for."""
    made = [rng.choice(ADMIN_WORDS) + rng.choice(ENDINGS) if rng.random() < 0.6 else
            f"{rng.choice(ADMIN_WORDS)}/{word(rng)}{rng.choice(ENDINGS)}" for _ in range(count)]
    return list(dict.fromkeys(made))


def host_label(rng, length=12):
    return "".join(rng.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def size(rng, low, high):
    """Sizes as files have them: as many between 1k and 10k as between 10k and 100k."""
    return int(math.exp(rng.uniform(math.log(low), math.log(high))))


def page(rng, length):
    body = "".join(f"<p>{sentence(rng, rng.randint(6, 20))}</p>\n" for _ in range(min(40, length // 100 + 1)))
    text = f"<html><body><h1>{word(rng)}</h1>\n" + body * (length // max(1, len(body)) + 1)
    return text[:length] + "</body></html>\n"
