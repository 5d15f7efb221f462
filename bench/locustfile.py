"""Many users of a running nidus service, for locust (https://locust.io), which nidus does not need otherwise:

    nidus serve share/detectors/flows-attacks &
    locust -f bench/locustfile.py --host http://127.0.0.1:8080 --headless -u 50 -r 50 -t 20s --anomalies 0.05
    locust -f bench/locustfile.py --host http://127.0.0.1:8080 --table flows.csv      # real rows; web page on :8089

Users send single rows mostly, batches now and then, and look at /health. The rows are valid ones of the detector
that the service says it serves to /predict: its columns are asked for when the load begins. With --table, a CSV
with a header, rows are drawn from the file, and those are anomalies whose --label column is not the detector's
benign label; without it they are made up around 1, and an anomaly is such a row with a fifth of its numbers a
thousand to a million times too large. A stated share of --anomalies is injected. An answer with another number of verdicts than
rows, or without the members that the clients need, is a failure. At the end it says which share of the injected
and of the other rows the detector called attacks.
"""

import csv
import os
import random

import gevent.lock
from locust import HttpUser, between, events, task
from locust.exception import StopUser


@events.init_command_line_parser.add_listener
def _arguments(parser):
    parser.add_argument("--anomalies", type=float, default=0.05, help="Share of the rows that are anomalies, 0 to 1")
    parser.add_argument("--table", default="", help="CSV with a header that rows are drawn from")
    parser.add_argument("--label", default="label", help="Its column with labels")
    parser.add_argument("--batch", type=int, default=100, help="Rows of a batch")
    parser.add_argument("--key", default=os.environ.get("NIDUS_KEY", ""), help="API key; NIDUS_KEY", is_secret=True)


class Rows:
    """Valid rows of the served detector. One for all users, made by the first of them."""

    lock = gevent.lock.Semaphore()
    made = None

    @classmethod
    def of(cls, user):
        with cls.lock:
            if cls.made is None:
                cls.made = cls(user)
            return cls.made

    def __init__(self, user):
        detectors = user.ask("/api/v1/detectors")["detectors"]
        serving = [one["name"] for one in detectors if "predict" in one["roles"]]
        if not serving:
            raise RuntimeError("the service has no detector for /predict")
        detector = user.ask("/api/v1/detectors/" + serving[0])
        self.columns = detector["columns"]
        self.normal, self.odd = [], []
        options = user.environment.parsed_options
        if options.table:
            self._read(options.table, options.label, detector["labels"][0])

    def _read(self, path, label, benign):
        names = {column["name"]: column for column in self.columns}
        with open(path, newline="") as file:
            for number, line in enumerate(csv.DictReader(file)):
                if number >= 200_000:
                    break
                missing = [name for name in names if name not in line]
                if missing:
                    raise RuntimeError(f"{path} lacks columns of the detector: {', '.join(missing[:10])}")
                row = {name: line[name] if "vocabulary" in column else float(line[name])
                       for name, column in names.items()}
                (self.normal if line.get(label, benign).lower() == benign.lower() else self.odd).append(row)
        if not self.normal or not self.odd:
            raise RuntimeError(f"{path} needs rows with and without the label '{benign}'")

    def one(self, is_odd):
        if self.normal:
            return random.choice(self.odd if is_odd else self.normal)
        row = {}
        for column in self.columns:
            words = column.get("vocabulary")
            if words:
                row[column["name"]] = random.choice(words)
                continue
            value = random.lognormvariate(0, 1)
            if is_odd and random.random() < 0.2:
                value *= 10 ** random.uniform(3, 6)
            row[column["name"]] = round(value, 3)
        return row


class Found:
    """Verdicts on injected rows and on the others: how many, and how many were called attacks."""

    odd, odd_called, normal, normal_called = 0, 0, 0, 0

    @classmethod
    def add(cls, is_odd, called):
        if is_odd:
            cls.odd, cls.odd_called = cls.odd + 1, cls.odd_called + called
        else:
            cls.normal, cls.normal_called = cls.normal + 1, cls.normal_called + called


@events.test_stop.add_listener
def _tell(**_):
    for name, called, all_rows in (("injected", Found.odd_called, Found.odd), ("other", Found.normal_called, Found.normal)):
        if all_rows:
            print(f"{name} rows called attacks: {called} of {all_rows} ({100 * called / all_rows:.1f} %)")


class NidusUser(HttpUser):
    wait_time = between(0.01, 0.1)

    def ask(self, path):
        with self.client.get(path, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                raise RuntimeError(f"{path}: {response.status_code}")
            return response.json()

    def on_start(self):
        options = self.environment.parsed_options
        if options.key:
            self.client.headers["Authorization"] = "Bearer " + options.key
        try:
            self.rows = Rows.of(self)
        except (RuntimeError, OSError, KeyError, ValueError) as error:
            print(f"cannot begin: {error}")
            self.environment.process_exit_code = 1
            self.environment.runner.quit()
            raise StopUser() from error

    def draw(self):
        is_odd = random.random() < self.environment.parsed_options.anomalies
        return is_odd, self.rows.one(is_odd)

    @task(20)
    def predict(self):
        is_odd, row = self.draw()
        with self.client.post("/predict", json={"features": row}, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return
            answer = response.json()
            if answer.get("prediction") not in (0, 1) or "confidence" not in answer:
                response.failure("no verdict in the answer")
                return
            Found.add(is_odd, answer["prediction"])

    @task(2)
    def predict_batch(self):
        drawn = [self.draw() for _ in range(self.environment.parsed_options.batch)]
        with self.client.post("/predict/batch", json={"flows": [row for _, row in drawn]}, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return
            predictions = response.json().get("predictions", [])
            if len(predictions) != len(drawn):
                response.failure(f"{len(predictions)} verdicts for {len(drawn)} rows")
                return
            for (is_odd, _), called in zip(drawn, predictions):
                Found.add(is_odd, called)

    @task(1)
    def health(self):
        self.client.get("/health")
