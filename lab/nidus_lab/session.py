"""One capture, from a seed to the files: plan, room, servers, people, attacks, labels."""
import json
import os
import random
import shutil
import subprocess
import threading
import time

from . import attacks, labels, people, sandbox
from .install import PACKAGES
from .ledger import Ledger
from .network import BRIDGE, SWITCH, Network
from .plan import make_plan
from .programs import Programs
from .services import Services

# Families whose attacks are few flows each: a mixture has two of them.
FEW = ("brute_force", "web_attack", "botnet", "exfiltration", "infiltration")

# No capture is longer, whatever happens in it.
MOST_PACKETS = 400_000

TOOLS = ("ip", "tc", "nft", "ethtool", "tcpdump", "nsenter", "ss", "curl", "nginx", "dnsmasq", "dig", "sshd", "ssh",
         "ssh-keygen", "sshpass", "vsftpd", "smtpd", "swaks", "redis-server", "mosquitto", "chronyd", "iperf3", "ping",
         "openssl")


def families():
    found = {}
    for one in attacks.REGISTRY.values():
        found.setdefault(one.family, []).append(one.name)
    return found


def choose(scenario, seed, duration):
    """The attacks a scenario stands for: names of attacks, of families, `benign`, or `mix`."""
    rng, chosen, groups = random.Random(f"choice {seed} {scenario}"), [], families()
    for name in scenario.split(","):
        if name == "mix":
            many = list(groups)
            rng.shuffle(many)
            count = max(3, min(len(many), round(duration / 18)))
            chosen += [rng.choice(groups[family]) for family in many[:count]
                       for _ in range(2 if family in FEW else 1)]
            chosen += [rng.choice(list(attacks.REGISTRY)) for _ in range(rng.randint(0, 2))]
        elif name in groups:
            chosen += rng.sample(groups[name], min(len(groups[name]), max(1, round(duration / 20))))
        elif name in attacks.REGISTRY:
            chosen.append(name)
        elif name != "benign":
            raise ValueError(f"no scenario or attack named {name!r}; see `lab/lab list`")
    return [attacks.REGISTRY[name] for name in dict.fromkeys(chosen)]


class Session:
    """Runs inside the room."""

    def __init__(self, seed, scenario, duration, out, snap, name, calm=1.0, bulk=1.0):
        self.seed, self.scenario, self.duration, self.out, self.snap = seed, scenario, duration, out, snap
        self.name = name or f"lab-s{seed:04d}-{scenario.split(',')[0]}"
        self.group = f"lab-{seed}"
        self.log = os.path.join(sandbox.WORK, "log")
        self._calm, self._bulk = calm, bulk
        self._rules, self._lock, self._journal = {}, threading.Lock(), []
        self._begin = 0.0

    def make(self):
        """Writes OUT/NAME.pcap, merges its rules into OUT/labels.csv and returns the capture's size."""
        chosen = choose(self.scenario, self.seed, self.duration)
        sandbox.furnish(self.out)
        absent = sandbox.missing(TOOLS)
        if absent:
            raise RuntimeError(f"missing programs: {' '.join(absent)}; run `lab/lab install` first")
        plan = make_plan(self.seed)
        plan.pace *= self._calm
        plan.bulk = self._bulk
        programs, network, ledger = Programs(self.log), Network(plan), Ledger()
        services = Services(plan, programs, random.Random(f"services {self.seed}"), self.duration + 60)
        try:
            network.build()
            network.check()
            silent = services.start()
            sniffer = self._sniff()
            self._begin = time.time()
            folk, threads = people.populate(plan, services, ledger, programs, self.seed, random.Random)
            threads += self._schedule(chosen, plan, services, ledger, programs)
            programs.sleep(self.duration)
            network.check()  # Still closed, after all that happened.
            programs.stopping.set()
            programs.stop()
            for thread in threads:
                thread.join(3)
            time.sleep(0.5)
            self._stop(sniffer)
        finally:
            programs.stop()
            network.close()
            if os.environ.get("LAB_LOG"):  # What the programs said, for whoever works on the lab.
                shutil.copyfile(self.log, os.path.join(sandbox.OUT, self.name + ".log"))
        return self._write(plan, network, folk, silent)

    def _sniff(self):
        path = os.path.join(sandbox.WORK, "raw.pcap")
        sniffer = subprocess.Popen(["nsenter", f"--net=/run/netns/{SWITCH}", "--", "tcpdump", "-i", BRIDGE, "-n",
                                    "-U", "-w", path, "-s",
                                    str(self.snap), "-B", "8192", "-c", str(MOST_PACKETS), "-Z", "root"],
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, text=True)
        for line in sniffer.stderr:
            if "listening" in line:
                return sniffer
        raise RuntimeError("tcpdump did not start")

    def _stop(self, sniffer):
        sniffer.terminate()
        _, said = sniffer.communicate(timeout=10)
        self._sniffed = " ".join(said.split())

    def _schedule(self, chosen, plan, services, ledger, programs):
        """A thread for each attack; they begin one after the other, and may overlap."""
        rng = random.Random(f"schedule {self.seed} {self.scenario}")
        rng.shuffle(chosen)
        room = max(1.0, self.duration - 16)
        threads = []
        for number, one in enumerate(chosen):
            long = one.family in ("botnet",) or rng.random() < 0.2
            share = rng.uniform(0.6, 0.9) if long else rng.uniform(0.2, 0.4)
            seconds = max(10.0, min(75.0, self.duration * share))
            latest = max(2.0, self.duration - seconds - 2)
            start = min(latest, 2 + room * number / max(1, len(chosen)) + rng.uniform(0,
                                                                                      room / max(1, len(chosen))))
            job_rng = random.Random(f"attack {self.seed} {one.name} {number}")
            threads.append(threading.Thread(target=self._attack,
                                            args=(one, start, seconds, plan, services, ledger, programs, job_rng),
                                            daemon=True))
            threads[-1].start()
        return threads

    def _attack(self, one, start, seconds, plan, services, ledger, programs, rng):
        entry = {"attack": one.name, "family": one.family}
        with self._lock:
            self._journal.append(entry)
        if not programs.sleep(start):
            entry["outcome"] = "no time"
            return
        absent = sandbox.missing(one.needs)
        if absent:
            entry["outcome"] = f"missing {' '.join(absent)}"
            return
        for _ in range(4):  # A busy pair, most likely: try another.
            left = min(seconds, self._begin + self.duration - 1 - time.time())
            if left < 5:
                return
            entry["start"] = round(time.time() - self._begin, 3)
            job = attacks.Job(one, plan, services, ledger, programs, rng, left, self._set_rules)
            try:
                one.do(job)
                entry.update(outcome="done", seconds=round(time.time() - self._begin - entry["start"], 3),
                             programs=job.events[:8])
                return
            except attacks.Missed as reason:
                entry["outcome"] = f"missed: {reason}"

    def _set_rules(self, key, rules):
        """An open-ended rule stands until its attack ends and puts the end in."""
        with self._lock:
            self._rules[key] = rules

    def _write(self, plan, network, folk, silent):
        file = self.name + ".pcap"
        target = os.path.join(sandbox.OUT, file)
        shutil.copyfile(os.path.join(sandbox.WORK, "raw.pcap"), target + ".new")
        os.replace(target + ".new", target)
        rules = sorted((rule for some in self._rules.values() for rule in some), key=lambda rule: rule.start)
        labels.merge(os.path.join(sandbox.OUT, "labels.csv"), file, rules, self.group)
        counts = {}
        for person in folk:
            for what, count in person.counts.items():
                counts[what] = counts.get(what, 0) + count
        entry = {"seed": self.seed, "scenario": self.scenario, "group": self.group, "began": round(self._begin, 6),
                 "duration": self.duration, "calm": self._calm, "bulk": self._bulk,
                 "snap": self.snap, "bytes": os.path.getsize(target), "tcpdump": self._sniffed,
                 "attacks": self._journal, "benign": counts,
                 "silent": silent, "impairments": network.impairments(),
                 "hosts": [{"name": h.name, "role": h.role, "v4": h.v4, "v6": h.v6, "mtu": h.mtu,
                            "services": h.services, "system": h.sysctl}
                           for h in plan.hosts],
                 "programs": versions()}
        path = os.path.join(sandbox.OUT, "manifest.json")
        with labels.locked(path):
            whole = {}
            if os.path.exists(path):
                with open(path, encoding="utf-8") as old:
                    whole = json.load(old)
            whole[file] = entry
            with open(path + ".new", "w", encoding="utf-8") as new:
                json.dump(whole, new, indent=1, sort_keys=True)
            os.replace(path + ".new", path)
        return os.path.getsize(target)


def versions():
    """Debian's names and versions of what made the traffic."""
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES], capture_output=True,
                          text=True, timeout=20,
                          check=False).stdout
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
