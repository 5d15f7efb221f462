"""What is measured: which rows of which data set are learnt from, which draw the thresholds, which are tested on.

Every experiment divides the rows of its data set, for each seed, into `fit` (learnt from), `held` (benign rows of the
training side that only draw the thresholds) and `test`. Rows that are equal in every feature never stand on two sides
of a division that is drawn by chance. Cells stay the text they are in the published file.
"""

import hashlib
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import zstandard

NSL_NAMES = """duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot num_failed_logins
logged_in num_compromised root_shell su_attempted num_root num_file_creations num_shells num_access_files
num_outbound_cmds is_host_login is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate
same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count dst_host_same_srv_rate
dst_host_diff_srv_rate dst_host_same_src_port_rate dst_host_srv_diff_host_rate dst_host_serror_rate
dst_host_srv_serror_rate dst_host_rerror_rate dst_host_srv_rerror_rate label difficulty""".split()

# The four categories of the attacks of NSL-KDD. Where the literature differs: httptunnel counts as R2L, worm as DoS.
NSL_CATEGORY = {
    "dos": "neptune smurf back teardrop pod land apache2 processtable mailbomb udpstorm worm",
    "probe": "satan ipsweep portsweep nmap mscan saint",
    "r2l": "guess_passwd warezmaster warezclient imap ftp_write multihop phf spy snmpguess snmpgetattack httptunnel "
           "named sendmail xlock xsnoop",
    "u2r": "buffer_overflow rootkit loadmodule perl ps xterm sqlattack",
}
NSL_CLASS = {name: category for category, names in NSL_CATEGORY.items() for name in names.split()}

UNSW_TTL = ["sttl", "dttl", "ct_state_ttl"]
CIC_IDENTITY = ["id", "Flow ID", "Src IP", "Src Port", "Dst IP", "Timestamp", "Label", "Attempted Category"]
CIC_DAYS = ["monday", "tuesday", "wednesday", "friday"]
CIC_FAMILIES = ["FTP-Patator", "SSH-Patator", "DoS Hulk", "DoS GoldenEye", "DoS Slowloris", "DoS Slowhttptest",
                "Heartbleed", "Portscan", "DDoS", "Botnet"]
# Of Zeek's conn.log, what is neither who nor when; ports and the open-ended history are left out.
ZEEK_FEATURES = ["proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state", "missed_bytes", "orig_pkts",
                 "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"]
IOT_CAPTURES = ["malware-capture-34-1", "malware-capture-20-1", "malware-capture-42-1", "malware-capture-44-1",
                "honeypot-capture-4-1", "honeypot-capture-5-1", "honeypot-capture-7-1"]


# Of the files as they are unpacked, so that everybody measures on the same rows.
SHA256 = {name: digest for digest, name in
          (line.split() for line in Path(__file__).with_name("data.sha256").read_text().splitlines())}


@dataclass
class Rows:
    """A data set: text cells of the features, and for each row its class, its attack's name and its origin."""

    cells: pd.DataFrame
    label: np.ndarray   # "benign", or the class of the task
    family: np.ndarray  # "benign", or the name of the attack
    origin: np.ndarray  # file, day or capture
    texts: list         # the columns of cells that hold words
    hard: np.ndarray = None  # a part of the test that gets figures of its own


@dataclass
class Experiment:
    name: str
    table: str
    read: object           # (folder) -> Rows
    split: object          # (Rows, seed) -> three masks: fit, held, test
    kind: str = "binary"   # binary, classes
    models: tuple = ("forest", "boost")
    seeds: tuple = (1, 2, 3)
    weights: str = "none"  # or balanced: each class counts the same
    same_test: bool = True  # the test rows are the same for every seed


def read_zst(folder, name, **options):
    with open(folder / (name + ".zst"), "rb") as packed:
        text = zstandard.ZstdDecompressor().stream_reader(packed).read()
    if hashlib.sha256(text).hexdigest() != SHA256[name]:
        sys.exit(f"{folder / name}.zst: unpacked, these are not the bytes that data.sha256 names")
    return pd.read_csv(BytesIO(text), dtype=str, keep_default_na=False, encoding="utf-8-sig", **options)


def nsl(five, whole):
    def read(folder):
        train = read_zst(folder, "KDDTrain+.txt", header=None, names=NSL_NAMES)
        if not whole:
            train = train[:25192]  # KDDTrain+_20Percent of its authors
        test = read_zst(folder, "KDDTest+.txt", header=None, names=NSL_NAMES)
        table = pd.concat([train, test], ignore_index=True)
        family = np.where(table.label == "normal", "benign", table.label)
        label = [NSL_CLASS.get(f, "benign") if five or f == "benign" else "attack" for f in family]
        # KDDTest-21 is KDDTest+ without the rows that all 21 learners of its authors got right.
        origin = np.repeat(["train", "test"], [len(train), len(test)])
        return Rows(table[NSL_NAMES[:41]], np.array(label), family, origin, ["protocol_type", "service", "flag"],
                    (table.difficulty != "21").to_numpy())

    return read


def unsw(without, ten):
    def read(folder):
        table = read_zst(folder, "UNSW_NB15_82332.csv")
        family = np.where(table.attack_cat == "Normal", "benign", table.attack_cat)
        label = family if ten else np.where(family == "benign", "benign", "attack")
        cells = table.drop(columns=["id", "attack_cat", "label", *without])
        # Rows that differ in nothing but the time-to-live columns stand together, so that the split is the same with
        # and without them.
        group = equal_rows(table.drop(columns=["id", "attack_cat", "label", *UNSW_TTL]))
        return Rows(cells, label, family, group.astype(str), ["proto", "service", "state"])

    return read


def cic(port):
    def read(folder):
        days = [read_zst(folder, f"cicids2017-improved-sample-{day}.csv") for day in CIC_DAYS]
        table = pd.concat(days, ignore_index=True)
        family = np.where(table.Label == "BENIGN", "benign", table.Label)
        cells = table.drop(columns=CIC_IDENTITY + ([] if port else ["Dst Port"]))
        return Rows(cells, np.where(family == "benign", "benign", "attack"), family,
                    np.repeat(CIC_DAYS, [len(day) for day in days]), [])

    return read


def zeek_rows(tables):
    parts, families, origins = [], [], []
    for origin, table, detail in tables:
        benign = table["label"].str.lower() == "benign"
        keep = (benign | (table["label"] == "Malicious")).to_numpy()
        parts.append(table.loc[keep, ZEEK_FEATURES].replace("-", ""))
        families.append(np.where(benign, "benign", table[detail])[keep])
        origins.append(np.repeat(origin, keep.sum()))
    family = np.concatenate(families)
    return Rows(pd.concat(parts, ignore_index=True), np.where(family == "benign", "benign", "attack"), family,
                np.concatenate(origins), ["proto", "service", "conn_state"])


def iot(folder):
    return zeek_rows([(c, read_zst(folder, f"iot23-{c}.csv"), "detailed-label") for c in IOT_CAPTURES])


def ctu(folder):
    tables = []
    for name, file in [("sme-008", "ctu-sme-008"), ("sme-010", "ctu-sme-010"), ("sme-011", "ctu-sme-011"),
                       ("001-malicious", "ctu-001-malicious")]:
        table = read_zst(folder, f"{file}-conn.log.labeled", sep="\t", header=None, comment=None, names=range(64))
        names = table[table[0] == "#fields"].iloc[0, 1:]
        names = [n for n in names if n]
        table = table[~table[0].str.startswith("#")].iloc[:, : len(names)].fillna("")
        table.columns = names
        tables.append((name, table.reset_index(drop=True), "detailedlabel"))
    return zeek_rows(tables)


def equal_rows(cells):
    """A number for each row; the same for rows that are equal in every cell."""
    return pd.util.hash_pandas_object(cells, index=False).to_numpy()


def draw(group, label, share, seed):
    """A mask of at most `share` of the rows of each class, and hardly less; rows of one group are all in it or all out.

    A group that is too large for what is still wanted is passed over, so that thousands of equal rows cannot swamp it.
    """
    random = np.random.default_rng(seed)
    _, first, code = np.unique(group, return_index=True, return_inverse=True)
    size = np.bincount(code)
    chosen = np.zeros(len(size), bool)
    for name in np.unique(label):
        members = random.permutation(np.flatnonzero(label[first] == name))
        wanted = share * size[members].sum()
        for member in members:
            if size[member] <= wanted:
                chosen[member] = True
                wanted -= size[member]
    return chosen[code]


def hold_out(rows, learn, share, seed, group=None):
    """Divides the rows of the mask `learn` into fit and held: a share of its benign rows."""
    at = np.flatnonzero(learn & (rows.label == "benign"))
    group = equal_rows(rows.cells.iloc[at]) if group is None else group[at]
    held = np.zeros(len(learn), bool)
    held[at[draw(group, rows.label[at], share, seed)]] = True
    return learn & ~held, held


def by_origin(learn, test, share=0.2):
    def split(rows, seed):
        fit, held = hold_out(rows, np.isin(rows.origin, learn), share, seed)
        return fit, held, np.isin(rows.origin, test)

    return split


def unsw_split(rows, seed):
    test = draw(rows.origin, rows.label, 0.3, 1000 + seed)
    fit, held = hold_out(rows, ~test, 0.2, seed, rows.origin)
    return fit, held, test


def without_attack(family):
    """All days; benign rows 60/20/20 by chance. One attack is only in the test; of each other one 1,000 rows, drawn by
    the seed, are learnt from, or all if it has fewer."""

    def split(rows, seed):
        benign = rows.family == "benign"
        group = equal_rows(rows.cells)
        aside = np.zeros(len(benign), bool)
        aside[benign] = draw(group[benign], rows.label[benign], 0.2, 1000 + seed)
        learn = benign & ~aside
        random = np.random.default_rng(2000 + seed)
        for other in sorted(set(rows.family) - {"benign", family}):
            learn[random.permutation(np.flatnonzero(rows.family == other))[:1000]] = True
        fit, held = hold_out(rows, learn, 0.25, seed, group)
        return fit, held, aside | (rows.family == family)

    return split


def all_experiments():
    out = []
    nsl_split = by_origin(["train"], ["test"])
    for end, whole in (("", True), ("-20", False)):
        out.append(Experiment(f"nsl-binary{end}", "nsl-binary", nsl(False, whole), nsl_split))
        out.append(Experiment(f"nsl-five{end}", "nsl-five", nsl(True, whole), nsl_split, "classes", weights="balanced"))
    for name, without in (("unsw-ttl", []), ("unsw-no-ttl", UNSW_TTL)):
        out.append(Experiment(name, "unsw-binary", unsw(without, False), unsw_split, seeds=(1, 2), same_test=False))
    for name, without in (("unsw-ten-ttl", []), ("unsw-ten-no-ttl", UNSW_TTL)):
        out.append(Experiment(name, "unsw-ten", unsw(without, True), unsw_split, "classes", ("forest",),
                              seeds=(1,), same_test=False))
    for port in (True, False):
        end = "" if port else "-no-port"
        for name, learn, test in (("wednesday", CIC_DAYS[:2], ["wednesday"]), ("friday", CIC_DAYS[:3], ["friday"]),
                                  ("tuesday", ["monday", "wednesday", "friday"], ["tuesday"])):
            out.append(Experiment(f"cic-{name}{end}", "cic-day", cic(port), by_origin(learn, test, 0.3),
                                  seeds=(1, 2, 3) if port else (1,)))
    for family in CIC_FAMILIES:
        name = family.lower().replace("dos ", "").replace(" ", "-")
        out.append(Experiment(f"cic-without-{name}", "cic-attack", cic(True), without_attack(family), seeds=(1,),
                              same_test=False))
    for capture in IOT_CAPTURES[:4]:
        learn = [c for c in IOT_CAPTURES if c != capture]
        out.append(Experiment(f"iot-{capture[16:]}", "iot", iot, by_origin(learn, [capture], 0.3)))
    days = ["sme-008", "sme-010", "sme-011"]
    for day in days:
        out.append(Experiment(f"ctu-{day}", "ctu", ctu, by_origin([d for d in days if d != day], [day], 0.3)))
    out.append(Experiment("ctu-001-malicious", "ctu", ctu, by_origin(days, ["001-malicious"], 0.3)))
    return out
