"""Turns a plan into namespaces: a switch, a cable to each host, and what is wrong with the cables.

Every cable is a veth pair, or, when it must delay and the kernel has no netem,
two TAP devices with relay.py between them. Loss happens at the two ends of a
cable, so that the switch, where the capture is taken, sees what a tap would see.
"""
import ipaddress
import json
import subprocess

from . import guard, sandbox
from .programs import enter

SWITCH = "switch"
BRIDGE = "sw0"


class Network:
    def __init__(self, plan):
        self._plan = plan
        self.has_netem = False
        self._relay = None

    def build(self):
        self._ip("netns", "add", SWITCH)
        self._quiet_ipv6(SWITCH)
        self._ip("-n", SWITCH, "link", "add", "name", BRIDGE, "type", "bridge", "mcast_snooping", "0")
        self._ip("-n", SWITCH, "link", "set", BRIDGE, "up", "promisc", "on")
        self.has_netem = self._probe_netem()
        for host in self._plan.hosts:
            self._ip("netns", "add", host.name)
            self._ip("-n", host.name, "link", "set", "lo", "up")
            if not self._relayed(host):
                self._cable(host)
        self._start_relay()
        for host in self._plan.hosts:
            self._configure(host)
            self._impair(host)

    def check(self):
        """Raises guard.Refused unless every namespace is closed."""
        guard.check_away_from_host(guard.own_namespace(), sandbox.outside_network())
        names = [entry["name"] for entry in self._json("netns", "list")]
        for name in names:
            guard.check_namespace(name, self._json("-n", name, "-details", "link"),
                                  self._json("-n", name, "route", "show", "table", "all")
                                  + self._json("-n", name, "-6", "route", "show", "table", "all"))
        guard.check_namespace("room", self._json("-details", "link"), self._json("route", "show", "table", "all"))
        return names

    def impairments(self):
        return {h.name: {"delay_ms": h.link.delay_ms, "jitter_ms": h.link.jitter_ms, "loss": h.link.loss,
                         "rate_kbit": h.link.rate_kbit,
                         "by": ("netem" if self.has_netem else "relay") if h.link.delay_ms else "veth"}
                for h in self._plan.hosts}

    def close(self):
        if self._relay:
            self._relay.kill()
            self._relay.wait(5)

    def _relayed(self, host):
        return host.link.delay_ms > 0 and not self.has_netem

    def _probe_netem(self):
        found = _attempt(["tc", "-n", SWITCH, "qdisc", "add", "dev", BRIDGE, "root", "netem", "delay", "1ms"])
        if found:
            _must(["tc", "-n", SWITCH, "qdisc", "del", "dev", BRIDGE, "root"])
        return found

    def _cable(self, host):
        self._ip("-n", SWITCH, "link", "add", "name", port(host), "type", "veth",
                 "peer", "name", "e0", "netns", host.name)
        for place, device in ((SWITCH, port(host)), (host.name, "e0")):  # What the wire sees is what is captured.
            _must([*enter(place), "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])

    def _start_relay(self):
        ends = [f"{h.name}:{port(h)}:{h.link.delay_ms}:{h.link.jitter_ms}" for h in self._plan.hosts
                if self._relayed(h)]
        if not ends:
            return
        self._relay = subprocess.Popen([*enter(SWITCH), *sandbox.module("relay", self._plan.seed, *ends)],
                                       stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        if self._relay.stdout.readline().strip() != "ready":
            raise RuntimeError("the delay relay did not start")

    def _configure(self, host):
        self._quiet_ipv6(host.name)
        for key, value in {**host.sysctl, "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
                           "net.ipv4.ip_forward": 0, "net.ipv4.icmp_ratelimit": 0,
                           "net.ipv4.conf.e0.rp_filter": 0}.items():
            _attempt([*enter(host.name), "sysctl", "-qw", f"{key}={value}"])
        batch = [f"link set e0 address {host.mac}", f"link set e0 mtu {host.mtu}", "link set e0 up",
                 f"addr add {host.v4}/{host.net.split('/')[1]} dev e0", f"addr add {host.v6}/64 dev e0 nodad"]
        batch += [f"route add {net} dev e0 src {host.v4}" for net in self._plan.nets if net != host.net]
        if host.role != "gate":  # What goes to nobody's address goes to the gate, which forwards nothing.
            gate = self._plan.host("gate")
            batch += [f"route add {net} via {gate.v4} dev e0 onlink" for net in self._plan.spoofable]
        self._ip("-n", host.name, "-batch", "-", given="\n".join(batch) + "\n")
        self._ip("-n", SWITCH, "-batch", "-", given=f"link set {port(host)} mtu 1500\n"
                 f"link set {port(host)} master {BRIDGE}\nlink set {port(host)} up\n")

    def _impair(self, host):
        link = host.link
        for place, device in ((SWITCH, port(host)), (host.name, "e0")):
            handle = ["root"]
            if link.delay_ms and self.has_netem:
                _must(["tc", "-n", place, "qdisc", "add", "dev", device, "root", "handle", "1:", "netem",
                       "delay", f"{link.delay_ms}ms", f"{link.jitter_ms}ms"])
                handle = ["parent", "1:1"]
            if link.rate_kbit:
                _must(["tc", "-n", place, "qdisc", "add", "dev", device, *handle, "tbf",
                       "rate", f"{link.rate_kbit}kbit", "burst", "32kb", "latency", "80ms"])
            if link.loss:
                _must([*enter(place), "nft", "-f", "-"], given=f"""
table netdev loss_{host.name} {{
  chain incoming {{
    type filter hook ingress device "{device}" priority 0
    numgen random mod 10000 < {round(link.loss * 10000)} drop
  }}
}}
""")

    def _quiet_ipv6(self, name):
        _attempt([*enter(name), "sysctl", "-qw", "net.ipv6.conf.all.accept_ra=0",
                  "net.ipv6.conf.default.accept_ra=0",
                  "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                  "net.ipv6.conf.default.router_solicitations=0"])

    def _ip(self, *words, given=None):
        return _must(["ip", *words], given)

    def _json(self, *words):
        return json.loads(self._ip("-json", *words) or "[]")


def port(host):
    return f"p-{host.name}"


def dark_neighbours(plan, host, net, limit=512):
    """Lets a host send to the unused addresses of a network as a router would: to the gate, into the void."""
    used = {h.v4 for h in plan.hosts}
    addresses = [str(a) for a in list(ipaddress.ip_network(net).hosts())[:limit]]
    batch = "".join(f"neigh replace {a} lladdr {plan.host('gate').mac} dev e0 nud permanent\n"
                    for a in addresses if a not in used)
    _must(["ip", "-n", host.name, "-batch", "-"], batch)


def _attempt(words):
    return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode == 0


def _must(words, given=None):
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
