"""Refuses to send a packet when a namespace of the lab could reach anything but the lab.

The checks read what `ip -json` says, so that they can be tried without a kernel.
"""
import ipaddress
import os

# What the lab makes itself. A physical device has no kind, a tunnel to elsewhere another one.
KINDS = {"veth", "bridge", "tun"}

# Where test traffic may live: private, carrier-grade, benchmarking, unique local, link local, multicast.
ALLOWED = [ipaddress.ip_network(text) for text in (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "127.0.0.0/8",
    "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "fc00::/7", "fe80::/10", "ff00::/8", "::1/128")]


class Refused(Exception):
    """A namespace is not closed."""


def check_namespace(name, links, routes):
    """links and routes as `ip -json -details link` and `ip -json route show table all` give them."""
    for link in links:
        _check_link(name, link)
    for route in routes:
        _check_route(name, route)


def check_away_from_host(mine, first):
    """The lab's own process must have left the machine's network: two different namespace names."""
    if mine == first:
        raise Refused("the lab would run in the machine's own network namespace")


def own_namespace():
    return os.readlink("/proc/self/ns/net")


def allowed(network):
    net = ipaddress.ip_network(network, strict=False)
    return any(net.version == good.version and net.subnet_of(good) for good in ALLOWED)


def _check_link(name, link):
    device = link["ifname"].split("@")[0]
    if link.get("link_type") == "loopback":
        return
    kind = link.get("linkinfo", {}).get("info_kind")
    if kind is None and _is_spare(link):
        return
    if kind not in KINDS:
        raise Refused(f"{name}: interface {device} of kind {kind or 'hardware'} is not the lab's")


def _is_spare(link):
    return not {"UP", "LOWER_UP"} & set(link.get("flags", ()))


def _check_route(name, route):
    target = route.get("dst", "")
    if route.get("type") in ("unreachable", "blackhole", "prohibit"):
        return
    if target == "default" or target.endswith("/0"):
        raise Refused(f"{name}: there is a default route ({route.get('dev', '?')})")
    if not allowed(target):
        raise Refused(f"{name}: there is a route to {target}, which is not an address of the lab")
