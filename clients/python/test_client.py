"""The client against a real `nidus serve`: NIDUS_PROGRAM names the program."""

from __future__ import annotations

import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import time
import unittest
from typing import Any, Iterator, List, Optional

from nidus_client import Client, ProblemError, UnreachableError

PROGRAM = os.environ.get("NIDUS_PROGRAM", "")
ROOT = pathlib.Path(__file__).resolve().parents[2]
DETECTOR = ROOT / "share" / "detectors" / "flows-attacks"
CAPTURE = ROOT / "share" / "sample" / "sample.pcap"


class Service:
    """A running service with a folder of its own."""

    def __init__(self, *settings: str, detector: pathlib.Path = DETECTOR) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nidus-client-"))
        self.store = self.folder / "nidus.db"
        words = [PROGRAM, "serve", f"flows={detector}", "--port", "0", "--log-file", str(self.folder / "log")]
        for setting in (f"store.file={self.store}", f"uploads.folder={self.folder}", *settings):
            words += ["--set", setting]
        self._words, self._process, self.url = words, None, ""  # type: ignore[var-annotated]

    def start(self) -> "Service":
        self._process = subprocess.Popen(self._words, stderr=subprocess.PIPE, text=True)
        said: List[str] = []
        for line in self._process.stderr:
            said.append(line)
            if "listening on" in line:
                self.url = line.split()[-1]
                return self
        raise AssertionError("".join(said))

    def key(self, scopes: str) -> str:
        made = subprocess.run([PROGRAM, "keys", "create", "test", "--scopes", scopes, "--store", str(self.store)],
                              check=True, capture_output=True, text=True).stdout
        return next(word for word in made.split() if word.startswith("nidus_live_"))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@unittest.skipUnless(PROGRAM, "NIDUS_PROGRAM does not name the program")
class ClientTest(unittest.TestCase):
    # One service for all tests that need no settings of their own.
    shared: Service

    @classmethod
    def setUpClass(cls) -> None:
        cls.shared = Service().start()
        with Client(cls.shared.url) as nidus:
            cls.columns = [column["name"] for column in nidus.detector("flows")["columns"]]

    @classmethod
    def tearDownClass(cls) -> None:
        cls.shared.stop()

    def setUp(self) -> None:
        self.nidus = Client(self.shared.url)
        self.addCleanup(self.nidus.close)
        self.row = {name: float(number) for number, name in enumerate(self.columns)}

    def other(self, *settings: str, **more: Any) -> Service:
        service = Service(*settings, **more)
        self.addCleanup(service.stop)
        return service

    def test_one_row_and_many_say_the_same(self) -> None:
        one = self.nidus.predict(self.row)
        self.assertIn(one["prediction_label"], ("Attack", "Benign"))
        many = self.nidus.predict_batch([self.row, self.row])
        self.assertEqual(many["predictions"], [one["prediction"]] * 2)
        verdicts = self.nidus.predict_rows([self.row, list(self.row.values())], explain=2)
        self.assertEqual([v["score"] for v in verdicts], [one["confidence"]] * 2)
        self.assertEqual(self.nidus.predict_rows([self.row], detector="flows")[0]["score"], one["confidence"])

    def test_scores(self) -> None:
        one = self.nidus.score(list(self.row.values()))
        many = self.nidus.score_batch([list(self.row.values())] * 2)
        self.assertIn(one["prediction"], (-1, 1))
        self.assertEqual(len(many["predictions"]), 2)

    def test_a_stream_is_answered_while_it_is_sent(self) -> None:
        taken = 0

        def rows() -> Iterator[List[float]]:
            nonlocal taken
            for number in range(20000):
                taken += 1
                yield [float(number % 1000)] * len(self.columns)

        seen = 0
        taken_at_first = 0
        for verdict in self.nidus.predict_stream(rows()):
            taken_at_first = taken_at_first or taken
            self.assertEqual(verdict["row"], seen)
            seen += 1
        self.assertEqual(seen, 20000)
        self.assertLess(taken_at_first, 20000)
        again = self.nidus.predict_rows([[7.0] * len(self.columns)])[0]
        named = list(self.nidus.predict_stream(iter([{name: 7.0 for name in self.columns}])))
        self.assertEqual(named[0]["score"], again["score"])
        with self.assertRaises(ProblemError):
            list(self.nidus.predict_stream([]))

    def test_a_mistake_in_a_stream_is_an_error(self) -> None:
        good = [1.0] * len(self.columns)
        with self.assertRaises(ProblemError) as early:
            list(self.nidus.predict_stream([good, good, ["no number"] * len(self.columns)]))
        self.assertEqual(early.exception.status, 400)
        self.assertIn("row 2", early.exception.detail)
        with self.assertRaises(UnreachableError):
            list(self.nidus.predict_stream(good if i < 15000 else ["x"] for i in range(20000)))

    def test_problems_have_the_sentence_and_the_request(self) -> None:
        with self.assertRaises(ProblemError) as caught:
            self.nidus.predict({"dst_port": 80})
        self.assertEqual(caught.exception.status, 400)
        self.assertIn("Missing features", caught.exception.detail)
        self.assertIn(caught.exception.request_id, str(caught.exception))
        self.assertTrue(caught.exception.body["missing_features"])
        log = self.shared.folder / "log"  # which is written behind the answer's back
        for _ in range(100):
            if caught.exception.request_id in log.read_text():
                break
            time.sleep(0.1)
        self.assertIn(caught.exception.request_id, log.read_text())
        with self.assertRaises(ProblemError) as absent:
            self.nidus.detector("no/such?detector")
        self.assertEqual(absent.exception.status, 404)
        self.nidus.health()  # the connection is of use still

    def test_captures_jobs_and_alerts(self) -> None:
        answer = self.nidus.detect(str(CAPTURE))
        self.assertGreater(answer["summary"]["attack_flows"], 100)
        self.assertEqual(self.nidus.detect(CAPTURE.read_bytes())["summary"], answer["summary"])
        with open(CAPTURE, "rb") as file:
            self.assertEqual(self.nidus.detect(file)["summary"], answer["summary"])
        lines = list(self.nidus.detect_flows(CAPTURE))
        self.assertEqual(len(lines), answer["summary"]["total_flows"] + 1)
        for line in self.nidus.detect_flows(CAPTURE):
            break  # a reader that wants no more; what follows is asked on another connection
        job = self.nidus.submit_job(CAPTURE)
        self.assertEqual(self.nidus.wait_for_job(job["id"], interval=0.05)["state"], "done")
        self.assertEqual(self.nidus.job_result(job["id"]).count(b"\n"), len(lines))
        self.assertIn(job["id"], [one["id"] for one in self.nidus.jobs()])
        self.nidus.remove_job(job["id"])
        with self.assertRaises(ProblemError):
            self.nidus.job(job["id"])

        alerts = list(self.nidus.alerts(limit=2))
        self.assertGreater(len(alerts), 2)
        self.assertEqual(len({alert["id"] for alert in alerts}), len(alerts))
        number = alerts[0]["id"]
        self.nidus.triage(number, state="acknowledged", comment="seen")
        self.assertEqual(self.nidus.alert(number)["triage"][-1]["comment"], "seen")
        self.assertIn(number, [alert["id"] for alert in self.nidus.alerts(state="acknowledged", from_="0")])
        self.assertTrue(self.nidus.flows_of_alert(number))

    def test_detectors_are_uploaded_and_reloaded(self) -> None:
        version = self.nidus.reload("flows")["version"]
        self.assertEqual(self.nidus.detectors()[0]["version"], version)
        self.assertEqual(self.nidus.activate("flows", version)["version"], version)
        archive = self.shared.folder / "lab.tar.gz"
        subprocess.run(["tar", "-C", str(DETECTOR.parent), "-czf", str(archive), DETECTOR.name], check=True)
        self.assertEqual(self.nidus.upload_detector(archive, "lab")["name"], "lab")
        self.assertIn("lab", [detector["name"] for detector in self.nidus.detectors()])
        self.assertIn("nidus_build_info", self.nidus.metrics())

    def test_keys(self) -> None:
        service = self.other()
        key = service.key("predict")
        service.start()
        with Client(service.url) as stranger, self.assertRaises(ProblemError) as unknown:
            stranger.predict(self.row)
        self.assertEqual(unknown.exception.status, 401)
        with Client(service.url, key) as known:
            known.predict(self.row)
            with self.assertRaises(ProblemError) as forbidden:
                known.detect(CAPTURE)
            self.assertEqual(forbidden.exception.status, 403)

    def test_waits_as_long_as_a_busy_service_says(self) -> None:
        service = self.other("auth.address_rate_per_s=8", "auth.address_rate_burst=10").start()
        row = list(self.row.values())
        with Client(service.url, retries=0) as hasty, self.assertRaises(ProblemError) as limited:
            for _ in range(40):
                hasty.predict_rows([row])
        self.assertEqual(limited.exception.status, 429)
        start = time.monotonic()
        with Client(service.url) as patient:
            for _ in range(3):
                patient.predict_rows([row])
        self.assertGreater(time.monotonic() - start, 0.5)
        with Client(service.url, wait_max=0) as unwilling, self.assertRaises(ProblemError):
            for _ in range(40):
                unwilling.predict_rows([row])

    def test_a_connection_that_was_closed_meanwhile_is_made_again(self) -> None:
        service = self.other("server.idle_s=0.2").start()
        with Client(service.url) as nidus:
            first = nidus.predict(self.row)["confidence"]
            time.sleep(1)
            self.assertEqual(nidus.predict(self.row)["confidence"], first)

    def test_nobody_there(self) -> None:
        service = self.other().start()
        url = service.url
        service.stop()
        with Client(url) as nidus:
            with self.assertRaises(UnreachableError):
                nidus.health()
            with self.assertRaises(UnreachableError):
                list(nidus.predict_stream([[1.0]]))
        with self.assertRaises(ValueError):
            Client("localhost:8080")

    @unittest.skipUnless(shutil.which("openssl"), "there is no openssl")
    def test_tls(self) -> None:
        service = self.other()
        key, certificate = service.folder / "key.pem", service.folder / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        service._words += ["--set", f"server.certificate={certificate}", "--set", f"server.key={key}"]
        service.start()
        context = ssl.create_default_context(cafile=str(certificate))
        with Client(service.url, context=context) as nidus:
            score = nidus.predict(self.row)["confidence"]
            verdicts = list(nidus.predict_stream(list(self.row.values()) for _ in range(5000)))
            self.assertEqual({verdict["score"] for verdict in verdicts}, {score})
            self.assertEqual(len(verdicts), 5000)
        with Client(service.url) as distrustful, self.assertRaises(UnreachableError):
            distrustful.health()


if __name__ == "__main__":
    unittest.main()
