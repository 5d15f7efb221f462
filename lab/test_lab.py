#!/usr/bin/env python3
"""Tests of the lab that need no root: rules, plans, the ledger, and what the guard refuses."""
import ipaddress
import json
import os
import random
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from nidus_lab import attacks, cli, evade, guard, labels, ledger, plan, session  # noqa: E402
from nidus_lab.labels import CATCH_ALL, Flow, Rule, first_match  # noqa: E402

SEEDS = range(1, 60)


def flow(time=10.0, source="10.0.0.1", source_port=40000, target="10.0.0.2", target_port=80, protocol=6):
    return Flow(time, source, source_port, target, target_port, protocol)


class Rules(unittest.TestCase):
    def test_a_rule_matches_in_either_direction(self):
        rule = Rule("dos", "x", a="10.0.0.1", b="10.0.0.2", b_port=80, protocol="tcp")
        self.assertTrue(rule.matches(flow()))
        self.assertTrue(rule.matches(flow(source="10.0.0.2", source_port=80, target="10.0.0.1", target_port=40000)))

    def test_a_port_belongs_to_its_end(self):
        rule = Rule("dos", "x", a="10.0.0.1", b="10.0.0.2", b_port=80)
        self.assertFalse(rule.matches(flow(source_port=80, target_port=9)))

    def test_the_span_includes_its_ends(self):
        rule = Rule("dos", "x", start=10.0, end=12.0)
        self.assertEqual([rule.matches(flow(time=t)) for t in (9.999999, 10.0, 12.0, 12.000001)],
                         [False, True, True, False])

    def test_networks_and_versions(self):
        rule = Rule("ddos", "x", a="10.0.0.0/24")
        self.assertTrue(rule.matches(flow()))
        self.assertFalse(rule.matches(flow(source="fd00::1", target="fd00::2")))

    def test_icmp_means_both_versions(self):
        rule = Rule("dos", "x", protocol="icmp")
        self.assertEqual([rule.matches(flow(protocol=p)) for p in (1, 58, 6)], [True, True, False])

    def test_the_first_match_wins(self):
        rules = [Rule("dos", "first", b_port=80), Rule("ddos", "second"), CATCH_ALL]
        self.assertEqual(first_match(rules, flow()).attack, "first")
        self.assertEqual(first_match(rules, flow(target_port=81)).attack, "second")

    def test_wrong_words_are_refused(self):
        with self.assertRaises(ValueError):
            Rule("malware")
        with self.assertRaises(ValueError):
            Rule("dos", a="10.0.0.300")


class LabelFile(unittest.TestCase):
    def test_what_is_written_is_read_and_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "labels.csv")
            rule = Rule("botnet", "beacon", a="10.0.0.1", b="fd00::1", b_port=443, protocol="tcp", start=1.25)
            labels.merge(path, "one.pcap", [rule, rule], "g1")
            labels.merge(path, "two.pcap", [], "g2")
            labels.merge(path, "one.pcap", [rule], "g1")
            self.assertEqual(labels.rules_of(path, "one.pcap"), [rule, CATCH_ALL])
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
        self.assertEqual(lines, ["capture,from,to,a,a_port,b,b_port,protocol,label,attack,group",
                                 "two.pcap,,,,,,,,benign,,g2",
                                 "one.pcap,1.250000,,10.0.0.1,,fd00::1,443,tcp,botnet,beacon,g1",
                                 "one.pcap,,,,,,,,benign,,g1"])

    def test_another_file_is_not_overwritten(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "labels.csv")
            with open(path, "w", encoding="ascii") as file:
                file.write("name,age\n")
            with self.assertRaises(ValueError):
                labels.merge(path, "one.pcap", [], "g")


class Plans(unittest.TestCase):
    def test_a_seed_decides(self):
        self.assertEqual(plan.make_plan(7), plan.make_plan(7))
        self.assertNotEqual(plan.make_plan(7), plan.make_plan(8))

    def test_addresses_are_the_labs_and_nobodys_twice(self):
        for seed in SEEDS:
            made = plan.make_plan(seed)
            both = [h.v4 for h in made.hosts] + [h.v6 for h in made.hosts]
            self.assertEqual(len(both), len(set(both)))
            self.assertTrue(all(guard.allowed(address) for address in both))
            self.assertTrue(all(ipaddress.ip_address(h.v4) in ipaddress.ip_network(h.net) for h in made.hosts))

    def test_made_up_senders_are_nobody(self):
        for seed in SEEDS:
            made = plan.make_plan(seed)
            for net in map(ipaddress.ip_network, made.spoofable):
                self.assertTrue(guard.allowed(str(net)))
                self.assertFalse(any(net.overlaps(ipaddress.ip_network(other)) for other in made.nets))

    def test_hardware_addresses_are_local_and_single(self):
        for host in plan.make_plan(3).hosts:
            self.assertEqual(int(host.mac.split(":")[0], 16) & 3, 2)

    def test_every_service_is_somewhere(self):
        for seed in SEEDS:
            made = plan.make_plan(seed)
            for service in ("web", "tls", "dns", "ssh", "ftp", "smtp", "redis", "mqtt", "ntp", "voice", "bulk",
                            "reflector"):
                self.assertTrue(made.offering(service), f"seed {seed} has no {service}")


class Scenarios(unittest.TestCase):
    def test_families_are_the_detectors(self):
        self.assertLessEqual(set(session.families()), set(labels.FAMILIES) - {"benign"})
        self.assertEqual(set(session.families()), set(labels.FAMILIES) - {"benign"})

    def test_choice_is_the_seeds(self):
        names = lambda seed: [a.name for a in session.choose("mix", seed, 60)]
        self.assertEqual(names(4), names(4))
        self.assertNotEqual([names(s) for s in range(5)], [names(s) for s in range(5, 10)])

    def test_benign_has_no_attack(self):
        self.assertEqual(session.choose("benign", 1, 60), [])

    def test_an_unknown_name_is_told(self):
        with self.assertRaisesRegex(ValueError, "teapot"):
            session.choose("teapot", 1, 60)

    def test_every_attack_can_be_named(self):
        for name in attacks.REGISTRY:
            self.assertEqual([a.name for a in session.choose(name, 1, 60)], [name])


class Lists(unittest.TestCase):
    HEADER = "folder,name,seed,scenario,duration,calm,bulk\n"

    def list_of(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "list.csv")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return cli.read_list(path)

    def test_the_list_of_the_bundled_detectors_is_one(self):
        rows = cli.read_list(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "share", "detectors",
                                          "captures.csv"))
        folders = [row["folder"] for row in rows]
        self.assertEqual((folders.count("train"), folders.count("test")), (43, 11))
        self.assertFalse({row["seed"] for row in rows if row["folder"] == "train"} &
                         {row["seed"] for row in rows if row["folder"] == "test"})

    def test_a_scenario_may_be_several_names(self):
        rows = self.list_of(self.HEADER + 'a,one,7,"sweep,dos",40,2,0.3\n')
        self.assertEqual(rows[0]["scenario"], "sweep,dos")
        self.assertEqual(session.choose("sweep,sqlmap_run", 7, 40),
                         [attacks.REGISTRY["sweep"], attacks.REGISTRY["sqlmap_run"]])

    def test_what_is_wrong_is_told_by_line(self):
        for row, reason in (("a,one,7,dos,40,2\n", "7 cells"), ("a,one,7,dos,40,2,1,1\n", "7 cells"),
                            ("../a,one,7,dos,40,1,1\n", "letters"), ("a,o/ne,7,dos,40,1,1\n", "letters"),
                            ("a,one,7,teapot,40,1,1\n", "teapot"), ("a,one,7,dos,400,1,1\n", "10 and 300"),
                            ("a,one,x,dos,40,1,1\n", "'x'"), ("a,one,7,dos,40,0,1\n", "above 0"),
                            ("a,two,7,dos,40,1,1\na,two,8,dos,40,1,1\n", "twice")):
            with self.assertRaisesRegex(ValueError, r"list\.csv:\d: .*" + reason):
                self.list_of(self.HEADER + row)
        with self.assertRaisesRegex(ValueError, "header"):
            self.list_of("name,seed\n")
        with self.assertRaisesRegex(ValueError, "no such file"):
            cli.read_list("/nowhere/list.csv")

    def test_what_was_made_is_not_made_again(self):
        with tempfile.TemporaryDirectory() as out:
            os.makedirs(os.path.join(out, "a"))
            one = dict(zip(cli.COLUMNS, ("a", "one", "7", "dos", "40", "2", "0.3")))
            self.assertFalse(cli.is_there(out, one))
            with open(os.path.join(out, "a", "one.pcap"), "wb"):
                pass
            self.assertFalse(cli.is_there(out, one))  # Its labels may be missing: the manifest is written last.
            with open(os.path.join(out, "a", "manifest.json"), "w", encoding="utf-8") as file:
                json.dump({"one.pcap": {"seed": 7, "scenario": "dos", "duration": 40.0, "calm": 2.0, "bulk": 0.3}}, file)
            self.assertTrue(cli.is_there(out, one))
            for key, other in (("seed", "8"), ("scenario", "ddos"), ("duration", "41"), ("bulk", "1")):
                with self.assertRaisesRegex(ValueError, "another capture"):
                    cli.is_there(out, {**one, key: other})


class Holding(unittest.TestCase):
    def setUp(self):
        self.book = ledger.Ledger()

    def test_a_held_pair_has_no_benign_talk(self):
        self.assertTrue(self.book.hold("a", ["b"], None, 0))
        self.assertFalse(self.book.enter("b", "a", 80))
        self.assertTrue(self.book.enter("a", "c", 80))
        self.book.release("a", ["b"], None)
        self.assertTrue(self.book.enter("a", "b", 80))

    def test_a_held_port_leaves_the_others(self):
        self.assertTrue(self.book.hold("a", ["b"], 80, 0))
        self.assertFalse(self.book.enter("a", "b", 80))
        self.assertFalse(self.book.enter("a", "b", ledger.ICMP))
        self.assertTrue(self.book.enter("a", "b", 22))

    def test_an_attack_does_not_begin_amid_talk(self):
        self.assertTrue(self.book.enter("a", "b", 80, 53))
        self.assertFalse(self.book.hold("a", ["b", "c"], None, 0.01))
        self.assertTrue(self.book.enter("a", "c", 80), "a hold that failed holds nothing")
        self.book.leave("a", "b", 80, 53)
        self.assertTrue(self.book.hold("a", ["b"], None, 0.01))

    def test_two_attacks_do_not_share_a_port(self):
        self.assertTrue(self.book.hold("a", ["b"], 80, 0))
        self.assertFalse(self.book.hold("b", ["a"], 80, 0))
        self.assertFalse(self.book.hold("b", ["a"], None, 0))
        self.assertTrue(self.book.hold("b", ["a"], 22, 0))


class Guard(unittest.TestCase):
    LOOP = {"ifname": "lo", "link_type": "loopback", "flags": ["UP"]}
    CABLE = {"ifname": "e0@if4", "link_type": "ether", "flags": ["UP"], "linkinfo": {"info_kind": "veth"}}

    def check(self, links=(), routes=()):
        guard.check_namespace("n", [self.LOOP, self.CABLE, *links], [{"dst": "10.1.2.0/24", "dev": "e0"}, *routes])

    def test_a_closed_namespace_passes(self):
        self.check(routes=[{"dst": "127.0.0.0/8", "dev": "lo"}, {"dst": "fe80::/64", "dev": "e0"},
                           {"dst": "ff00::/8", "dev": "e0"},
                           {"dst": "10.9.0.0/16", "gateway": "10.1.2.1", "dev": "e0"}])

    def test_a_default_route_is_refused(self):
        for target in ("default", "0.0.0.0/0", "::/0"):
            with self.assertRaises(guard.Refused):
                self.check(routes=[{"dst": target, "dev": "e0"}])

    def test_a_route_to_the_world_is_refused(self):
        for target in ("8.8.8.0/24", "10.0.0.0/7", "2001:db8::/32"):
            with self.assertRaises(guard.Refused):
                self.check(routes=[{"dst": target, "dev": "e0"}])

    def test_hardware_and_foreign_interfaces_are_refused(self):
        for link in ({"ifname": "eth0", "link_type": "ether", "flags": ["UP"]},
                     {"ifname": "wg0", "link_type": "none", "flags": ["UP"],
                      "linkinfo": {"info_kind": "wireguard"}},
                     {"ifname": "mv0", "link_type": "ether", "flags": ["UP"],
                      "linkinfo": {"info_kind": "macvlan"}}):
            with self.assertRaises(guard.Refused):
                self.check(links=[link])

    def test_a_foreign_interface_is_refused_even_when_down(self):
        with self.assertRaises(guard.Refused):
            self.check(links=[{"ifname": "wg0", "flags": [], "linkinfo": {"info_kind": "wireguard"}}])

    def test_the_machines_own_namespace_is_refused(self):
        with self.assertRaises(guard.Refused):
            guard.check_away_from_host("net:[4026531840]", "net:[4026531840]")



def packet(time, forward, payload, sequence, acknowledged=0, protocol=6):
    """An Ethernet frame of 10.0.0.1:4000 to 10.0.0.2:80, or back."""
    one, other = (bytes([10, 0, 0, 1]), 4000), (bytes([10, 0, 0, 2]), 80)
    source, target = (one, other) if forward else (other, one)
    body = bytes(range(256)) * 8
    if protocol == 6:
        l4 = struct.pack(">HHIIBBHHH", source[1], target[1], sequence, acknowledged, 0x50, 0x18, 1000, 0, 0)
    else:
        l4 = struct.pack(">HHHH", source[1], target[1], 8 + payload, 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(l4) + payload, 1, 0, 64, protocol, 0, source[0], target[0])
    whole = bytes(12) + b"\x08\x00" + ip + l4 + body[:payload]
    return evade.Packet(time, len(whole), whole[:256])


class Evasion(unittest.TestCase):
    def conversation(self):
        return [packet(1.0, True, 100, 1000), packet(1.1, False, 50, 5000, 1100), packet(1.5, True, 100, 1100, 5050),
                packet(1.6, True, 100, 1100, 5050), packet(1.7, False, 0, 5050, 1200)]

    def test_padding_is_followed_by_the_numbers_of_both_sides(self):
        packets = self.conversation()
        evade.pad(packets, 10, 10, 256, random.Random(1))
        self.assertEqual([p.payload for p in packets], [110, 50, 110, 110, 0])
        self.assertEqual([p.sequence() for p in packets if p.source[3] == 1], [1000, 1110, 1110])
        self.assertEqual([p.acknowledged() for p in packets if p.source[3] == 2], [1110, 1220])
        for p in packets:
            self.assertEqual(p.length, p.l4 + p.header() + p.payload)
            self.assertEqual(struct.unpack_from(">H", p.data, 16)[0], p.length - 14)

    def test_padding_never_exceeds_the_mtu_and_leaves_empty_packets_alone(self):
        packets = [packet(1.0, True, 1400, 0), packet(1.1, True, 0, 1400)]
        evade.pad(packets, 512, 512, 256, random.Random(1))
        self.assertEqual([p.ip_bytes() for p in packets], [1500, 40])

    def test_datagrams_say_their_new_length(self):
        packets = [packet(1.0, True, 40, 0, protocol=17)]
        evade.pad(packets, 64, 64, 256, random.Random(1))
        self.assertEqual(struct.unpack_from(">H", packets[0].data, packets[0].l4 + 4)[0], 8 + 104)

    def test_pieces_make_the_segment_again(self):
        packets = evade.split(self.conversation(), 40, 256)
        mine = [p for p in packets if p.source[3] == 1]
        self.assertEqual([p.payload for p in mine[:3]], [40, 40, 20])
        self.assertEqual([p.sequence() for p in mine[:3]], [1000, 1040, 1080])
        self.assertEqual(b"".join(bytes(p.data[p.l4 + 20:]) for p in mine[:3]), bytes(range(100)))
        self.assertEqual([p.data[p.l4 + 13] & 8 for p in mine[:3]], [0, 0, 8])

    def test_delay_moves_the_attacker_and_what_answers_him(self):
        packets = self.conversation()
        evade.delay(packets, 3, 0.0, random.Random(1))
        self.assertEqual([round(p.time, 6) for p in packets], [1.0, 1.1, 2.5, 2.8, 2.9])
        again = self.conversation()
        evade.delay(again, 5, 0.5, random.Random(1))
        times = [p.time for p in again]
        self.assertEqual(times, sorted(times))

    def test_only_attacks_are_rewritten(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.pcap")
            benign = packet(1.05, True, 100, 7)
            benign.data[14 + 15] = 9  # from 10.0.0.9
            benign = evade.Packet(1.05, benign.length, benign.data)
            evade.write_capture(path, self.conversation() + [benign], 256)
            labels.merge(os.path.join(folder, "labels.csv"), "a.pcap",
                         [Rule("dos", "x", a="10.0.0.1", start=0.5, end=2.0)], "g")
            found, rows = evade.rewrite(path, os.path.join(folder, "out", "a.pcap"), {"pad": (64, 64), "delay": 4})
            self.assertEqual(found, 1)
            packets, _ = evade.read_capture(os.path.join(folder, "out", "a.pcap"))
            sizes = {p.source[3]: p.payload for p in packets if p.payload}
            self.assertEqual(sizes, {1: 164, 2: 50, 9: 100})
            self.assertGreater(float(rows[0][2]), 3.4)
            self.assertEqual(len(rows), 2)


if __name__ == "__main__":
    unittest.main()
