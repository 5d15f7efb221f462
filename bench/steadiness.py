#!/usr/bin/env python3
"""steadiness.py reloads|soak NIDUS …: whether a service stays as it was. Called by reload_under_load.sh and soak.sh."""
import argparse
import dataclasses
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "clients" / "python"))
from nidus_client import Client, NidusError  # noqa: E402

DETECTOR = ROOT / "share" / "detectors" / "flows-attacks"
CAPTURE = ROOT / "share" / "sample" / "sample.pcap"


class Service:
    """`nidus serve` over a copy of a detector, which may be changed."""

    def __init__(self, program, *settings, detector=DETECTOR):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nidus-steady-"))
        self.detector = self.folder / "flows"
        shutil.copytree(detector, self.detector)
        self.manifest = json.loads((self.detector / "detector.json").read_text())
        words = [program, "serve", f"flows={self.detector}", "--port", "0", "--log-file", str(self.folder / "log")]
        for setting in (f"store.file={self.folder}/nidus.db", f"uploads.folder={self.folder}/uploads",
                        "detectors.watch=false", *settings):
            words += ["--set", setting]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "listening on" in line:
                self.url = line.split()[-1]
                return
        sys.exit("the service did not start")

    def put_version(self, number):
        """Another version in the place of the one that is there, at once."""
        self.manifest["version"] = str(number)
        fresh = self.detector / "next"
        fresh.write_text(json.dumps(self.manifest))
        fresh.rename(self.detector / "detector.json")

    def check(self):
        if self.process.poll() is not None:
            sys.exit(f"the service ended with {self.process.returncode}; its log is {self.folder}/log")

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def disk_mb(self):
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file()) / 1e6

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)


@dataclasses.dataclass
class Sample:
    rate: float
    p50: float
    p99: float
    failed: int
    memory_mb: float  # the median
    files: int        # the least: connections come and go all the time


class Load:
    """wrk, asking /predict with one row of the detector's over and over."""

    def __init__(self, service, connections):
        with Client(service.url) as nidus:
            columns = [column["name"] for column in nidus.detector("flows")["columns"]]
        self.service, self.url, self.connections = service, service.url, connections
        self.script = service.folder / "post.lua"
        body = json.dumps({"features": {name: number % 7 for number, name in enumerate(columns)}})
        self.script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\n"
                               "wrk.headers['Content-Type'] = 'application/json'\n")

    def run(self, seconds):
        """What was said of a run of wrk, while memory and open files are looked at ten times a second."""
        wrk = self.start(seconds)
        looks = []
        end = time.monotonic() + seconds + 60
        while wrk.poll() is None:
            if time.monotonic() > end:
                wrk.kill()
            self.service.check()
            looks.append((self.service.memory_mb(), self.service.files()))
            time.sleep(0.1)
        return Sample(*self.said(wrk), statistics.median(m for m, _ in looks), min(f for _, f in looks))

    def start(self, seconds):
        return subprocess.Popen(["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency", "-s", str(self.script),
                                 self.url + "/predict"], stdout=subprocess.PIPE, text=True)

    @staticmethod
    def said(process):
        """Requests a second, p50 and p99 in ms, and requests that failed."""
        text = process.communicate()[0]
        if "Requests/sec" not in text:
            sys.exit("wrk said: " + text)
        unit = {"us": 1e-3, "ms": 1, "s": 1e3}
        times = {share: float(value) * unit[u]
                 for share, value, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)\b", text)}
        failed = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
        for kinds in re.findall(r"Socket errors: (.*)", text):
            failed += sum(map(int, re.findall(r"\d+", kinds)))
        return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), times["50"], times["99"], failed


def show(what, service, one, more=""):
    print(f"{what:<28} {one.memory_mb:8.1f} MB {one.files:5} files {service.threads():4} threads {one.rate:8.0f} requests/s  "
          f"p50 {one.p50:7.2f} ms  p99 {one.p99:7.2f} ms  failed {one.failed}{more}", flush=True)


def verdict(samples):
    """The last tenth of the samples beside the first, without a tenth to warm up (versions that are kept for a way back,
    buffers, the store up to its size); whether all stayed as it was."""
    tenth = max(1, len(samples) // 10)
    first, last = samples[tenth:2 * tenth] or samples[:1], samples[-tenth:]
    good = True
    for what, unit, value, most in (("memory", "MB", lambda s: s.memory_mb, lambda x: 1.1 * x + 2),
                                    ("open files", "", lambda s: s.files, lambda x: x + 20),
                                    ("p99", "ms", lambda s: s.p99, lambda x: 1.25 * x + 0.5)):
        before, after = (statistics.median(map(value, some)) for some in (first, last))
        fine = after <= most(before)
        good = good and fine
        print(f"verdict: {what}: {before:.2f} {unit} first, {after:.2f} {unit} last, at most {most(before):.2f}: "
              f"{'good' if fine else 'NOT GOOD'}")
    failed = sum(s.failed for s in samples)
    print(f"verdict: {failed} requests of wrk failed: {'good' if failed == 0 else 'NOT GOOD'}", flush=True)
    return good and failed == 0


def reloads(options):
    with tempfile.TemporaryDirectory() as folder:
        # Small, so that ten thousand loads do not take hours.
        small, table = pathlib.Path(folder) / "small", pathlib.Path(folder) / "flows.csv"
        for words in (["flows", CAPTURE, "--labels", CAPTURE.with_name("labels.csv"), "-o", table],
                      ["train", table, "--label", "label", "--model", "forest", "--trees", "10", "--depth", "8", "-o", small]):
            subprocess.run([options.nidus, *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        service = Service(options.nidus, "store.off=true", detector=small)
    load = Load(service, 16)
    nidus = Client(service.url)
    window = 5
    load.run(2)  # warm
    show("before, no reloads", service, load.run(window))
    samples = []
    start, done = time.monotonic(), 0
    next_report = 0
    while done < options.reloads and not (options.seconds and time.monotonic() - start > options.seconds):
        one = []
        asking = threading.Thread(target=lambda into=one: into.append(load.run(window)))
        asking.start()
        began, first = time.monotonic(), done
        while asking.is_alive() and done < options.reloads:
            done += 1
            service.put_version(done)
            answer = nidus.reload("flows")
            if answer["manifest_version"] != str(done):
                sys.exit(f"reload {done} serves version {answer['manifest_version']}")
        seconds = time.monotonic() - began
        asking.join()
        samples += one
        if not one:
            sys.exit("wrk or the service ended")
        if first >= next_report or done >= options.reloads:
            show(f"{done:,} reloads", service, one[0], f"  {(done - first) / seconds:.0f} reloads/s")
            next_report = done + max(1, options.reloads // 20)
    time.sleep(2)
    show(f"after {done:,}, none any more", service, load.run(window))
    print(f"{done:,} reloads in {time.monotonic() - start:.0f} s")
    good = verdict(samples)
    service.stop()
    sys.exit(0 if good else 1)


def soak(options):
    service = Service(options.nidus, "server.idle_s=20", "store.size_mb=256")
    load = Load(service, 8)
    with Client(service.url) as nidus:
        columns = len(nidus.detector("flows")["columns"])
    stopping = threading.Event()
    counts, failures = {}, []

    def again_and_again(name, pause, what):
        def run():
            nidus = Client(service.url)
            while not stopping.is_set():
                try:
                    what(nidus)
                    counts[name] = counts.get(name, 0) + 1
                except (NidusError, OSError, http.client.HTTPException) as error:
                    failures.append(f"{name}: {error}")
                stopping.wait(pause)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def rows(nidus):
        seen = sum(1 for _ in nidus.predict_stream([float(i % 100)] * columns for i in range(2000)))
        if seen != 2000:
            failures.append(f"rows: {seen} verdicts")

    def job(nidus):
        one = nidus.wait_for_job(nidus.submit_job(CAPTURE)["id"])
        if one["state"] != "done" or not nidus.job_result(one["id"]):
            failures.append(f"job: {one}")
        nidus.remove_job(one["id"])

    def one_reload(nidus):
        service.put_version(counts.get("reloads", 0))
        nidus.reload("flows")

    def strangers(_):
        host, port = service.url.split("//")[1].split(":")
        opened = [socket.create_connection((host, int(port))) for _ in range(50)]
        for number, one in enumerate(opened):
            one.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[:number])
        stopping.wait(1)
        for one in opened:
            one.close()

    threads = [again_and_again("rows", 0.2, rows), again_and_again("captures", 1, lambda n: n.detect(CAPTURE)),
               again_and_again("jobs", 2, job), again_and_again("reloads", 0.5, one_reload),
               again_and_again("alerts", 1, lambda n: sum(1 for _ in n.alerts(limit=500))),
               again_and_again("strangers", 2, strangers), again_and_again("metrics", 1, lambda n: n.metrics())]
    end = time.monotonic() + options.minutes * 60
    step = min(60, max(10, int(options.minutes * 60 / 6)))
    samples = []
    while time.monotonic() < end:
        samples.append(load.run(step))
        minutes = options.minutes - max(0.0, end - time.monotonic()) / 60
        show(f"{minutes:5.1f} min", service, samples[-1], f"  {service.disk_mb():.0f} MB on disk  {len(failures)} failures")
    stopping.set()
    for thread in threads:
        thread.join(120)
        if thread.is_alive():
            failures.append("a client hangs")
    time.sleep(2)
    show("quiet again", service, load.run(5))
    print("done:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    for failure in failures[:10]:
        print("failed:", failure)
    good = verdict(samples)
    print(f"verdict: {len(failures)} other requests failed: {'good' if not failures else 'NOT GOOD'}")
    service.stop()
    sys.exit(0 if good and not failures else 1)


parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["reloads", "soak"])
parser.add_argument("nidus")
parser.add_argument("--reloads", type=int, default=10000)
parser.add_argument("--seconds", type=float, default=0)
parser.add_argument("--minutes", type=float, default=60)
arguments = parser.parse_args()
# Whatever hangs: it ends by itself.
watchdog = threading.Timer((arguments.minutes * 60 if arguments.mode == "soak" else 3 * 3600) + 600, lambda: os._exit(3))
watchdog.daemon = True
watchdog.start()
(reloads if arguments.mode == "reloads" else soak)(arguments)
