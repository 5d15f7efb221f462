"""The closed room one capture is made in, and everything in it dies with its first process.

The room is a network, mount and process namespace of its own, made by unshare(1):
nothing the lab starts sees the machine's network, and /run, /etc and /var are
private copies, so that daemons, users and named network namespaces of the room
do not exist outside and need no cleaning. The rest of the disk is read-only
there, but for the folder that the captures go to. Killing the room's parent kills it all.
"""
import os
import pathlib
import shutil
import subprocess
import sys

MARK = "NIDUS_LAB_ROOM"
WORK = "/run/lab"
OUT = WORK + "/out"  # The folder for captures, as the room sees it.
SCRATCH = WORK + "/tmp"

FOLDER = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PYTHON = "/usr/bin/python3"


def command(arguments):
    """The command that runs `lab ARGUMENTS` in a new room."""
    room = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
            "--propagation", "private"]
    return ["env", f"{MARK}={os.readlink('/proc/self/ns/net')}",
            *room, "sh", "-c", '"$@"; exit $?', "room",  # The room's first process buries the others' orphans.
            "nice", "-n", "5", PYTHON, os.path.join(FOLDER, "lab"), *arguments]


def module(name, *arguments):
    """The command that runs a module of the lab as a program of its own."""
    return ["env", f"PYTHONPATH={FOLDER}", PYTHON, "-m", f"nidus_lab.{name}", *map(str, arguments)]


def inside():
    return MARK in os.environ


def outside_network():
    """The name of the network namespace the room was made from."""
    return os.environ[MARK]


def furnish(out):
    """Private /run, /etc and /var, a read-only disk, `out` mounted at OUT, and no proxies."""
    os.makedirs(out, exist_ok=True)
    _mount("tmpfs", "lab", "/run", "mode=0755,size=1500m")
    for directory in ("/run/netns", "/run/lock", "/run/sshd", OUT, SCRATCH):
        os.makedirs(directory)
    _run("mount", "--bind", out, OUT)
    for directory in ("/etc", "/var"):
        upper, work = f"{WORK}/upper{directory}", f"{WORK}/work{directory}"
        os.makedirs(upper)
        os.makedirs(work)
        _mount("overlay", "lab", directory, f"lowerdir={directory},upperdir={upper},workdir={work}")
    _run("mount", "-o", "remount,bind,ro", "/")
    for name in list(os.environ):
        if "proxy" in name.lower() or name.endswith("_BUNDLE") or name.startswith("SSL_CERT"):
            del os.environ[name]
    os.environ.update(HOME=f"{WORK}/home/root", TMPDIR=SCRATCH, LANG="C.UTF-8", LC_ALL="C.UTF-8")
    os.makedirs(os.environ["HOME"], mode=0o700)


def add_user(name, password):
    """A person who can log in over SSH and FTP, inside the room only. Returns the home directory."""
    home = f"{WORK}/home/{name}"
    _run("useradd", "--create-home", "--home-dir", home, "--shell", "/bin/bash", "--no-log-init", name)
    _run("chpasswd", given=f"{name}:{password}\n")
    return home


def missing(programs):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in programs if not shutil.which(name, path=path)]


def write(path, text, mode=0o644):
    """A file in the room; its directory is made. Returns the path."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    pathlib.Path(path).write_bytes(data)
    os.chmod(path, mode)
    return str(path)


def _mount(kind, source, target, options):
    _run("mount", "-t", kind, source, target, "-o", options)


def _run(*words, given=None):
    done = subprocess.run(words, input=given, text=True, capture_output=True, timeout=30)
    if done.returncode:
        sys.exit(f"lab: {' '.join(words)}: {done.stderr.strip()}")
