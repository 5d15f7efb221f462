"""A client of `nidus serve`, in the standard library alone. Python 3.9 or later.

    from nidus_client import Client

    with Client("http://127.0.0.1:8080", key="nidus_live_...") as nidus:
        print(nidus.predict({"dst_port": 80, "fwd_pkts": 3})["prediction_label"])
        for verdict in nidus.predict_stream(rows):       # any number of rows, none held
            ...
        answer = nidus.detect("office.pcap")

A row is a dict of features by name, or a list in the order of the detector's columns. Answers are what the
service sent, as dicts (docs/api.md, docs/api-captures.md, docs/alerts.md say what is in them).

What the service refuses raises ProblemError with its sentence and the id of the request, which is in the
service's log; a service that cannot be reached, or breaks off, raises UnreachableError. Where it says that it
is busy (429, 503) the request is sent again after the time that it names in Retry-After, as often as `retries`
says; so is a request that changes nothing, if a connection that was kept open turns out to be closed.

A Client keeps one connection and is not thread-safe: give each thread one of its own.
"""

from __future__ import annotations

import email.utils
import http.client
import io
import json
import os
import selectors
import socket
import ssl
import time
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["Client", "NidusError", "ProblemError", "UnreachableError"]

Row = Union[Mapping[str, Any], Sequence[Any]]
Capture = Union[str, "os.PathLike[str]", bytes, BinaryIO]
Json = Dict[str, Any]

_PIECE = 1 << 16  # bytes sent or read at once
_CAPTURE = "application/octet-stream"


class NidusError(Exception):
    """Everything that this module raises of itself."""


class UnreachableError(NidusError):
    """No connection, no answer in time, or one that broke off."""


class ProblemError(NidusError):
    """The service refused: `status`, its sentence `detail`, `request_id`, and all members of the problem
    in `body` (RFC 9457)."""

    def __init__(self, status: int, detail: str, request_id: str, body: Json) -> None:
        super().__init__(f"{status}: {detail}" + (f" (request {request_id})" if request_id else ""))
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.body = body


class Client:
    """One caller of one service.

    url: of the service, with a path before its routes if a proxy adds one. key: an API key or a token.
    timeout: seconds without a byte, in either direction. retries: how often a request is sent again that the
    service was too busy for. wait_max: the longest that is waited before that; a longer Retry-After is an error
    at once. context: for TLS with an authority of one's own, or a client certificate.
    """

    def __init__(self, url: str = "http://127.0.0.1:8080", key: Optional[str] = None, *, timeout: float = 60,
                 retries: int = 5, wait_max: float = 60, context: Optional[ssl.SSLContext] = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the address of a service: {url!r}")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._context = context if parts.scheme == "http" or context else ssl.create_default_context()
        self._tls = parts.scheme == "https"
        self._headers = {"User-Agent": "nidus-client-python"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout, self._retries, self._wait_max = timeout, retries, wait_max
        self._connection: Optional[http.client.HTTPConnection] = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- Verdicts on rows

    def predict(self, row: Row, configuration: Optional[str] = None) -> Json:
        """/predict: one row, by the detector for ensembles. A mapping is sent by name."""
        body: Json = {"features": row}
        if configuration:
            body["configuration"] = configuration
        return self._json("POST", "/predict", body)

    def predict_batch(self, rows: Sequence[Row]) -> Json:
        """/predict/batch: many rows in one request, held in memory on both sides."""
        return self._json("POST", "/predict/batch", {"flows": list(rows)})

    def score(self, row: Row) -> Json:
        """/score: one row, by the detector for anomalies."""
        return self._json("POST", "/score", {"features": row})

    def score_batch(self, rows: Sequence[Row]) -> Json:
        """/batch_score."""
        return self._json("POST", "/batch_score", {"features": list(rows)})

    def predict_rows(self, rows: Sequence[Row], *, detector: Optional[str] = None, explain: int = 0) -> List[Json]:
        """/api/v1/predict: the verdicts on these rows, by any detector, each with the `explain` features that
        made its score."""
        answer = self._json("POST", "/api/v1/predict", {"rows": list(rows)}, detector=detector, explain=explain or None)
        verdicts: List[Json] = answer["verdicts"]
        return verdicts

    def predict_stream(self, rows: Iterable[Row], *, detector: Optional[str] = None,
                       explain: int = 0) -> Iterator[Json]:
        """/api/v1/predict as NDJSON: a verdict for each row, in their order, while rows are still taken from
        `rows` and sent; neither is ever held whole. On a connection of its own. A mistake in a row raises
        ProblemError, or UnreachableError once verdicts have come; it cannot be sent again, as the rows are
        gone."""
        return self._stream("/api/v1/predict", (_line(row) for row in rows), detector=detector,
                            explain=explain or None)

    # ---- Captures

    def detect(self, capture: Capture, *, kind: str = "ml") -> Json:
        """/detect/ml or /detect/dl: the attacks in a capture: a path, its bytes, or a file open for reading."""
        return self._upload(f"/detect/{kind}", capture)

    def detect_flows(self, capture: Capture, *, detector: Optional[str] = None, explain: int = 0,
                     attacks_only: bool = False) -> Iterator[Json]:
        """/api/v1/detect: a verdict for each flow of a capture, then {"summary": ...}, line by line."""
        response = self._send("POST", "/api/v1/detect", _Body(capture), _CAPTURE, repeatable=True, detector=detector,
                              explain=explain or None, attacks_only="1" if attacks_only else None)
        return self._kept_lines(response)

    # ---- Jobs

    def submit_job(self, capture: Capture, *, detector: Optional[str] = None, format: str = "ndjson") -> Json:
        """A capture to be judged while nobody waits; `id` is in the answer. It outlives the service's process."""
        return self._upload("/api/v1/jobs", capture, repeatable=False, detector=detector, format=format)

    def jobs(self) -> List[Json]:
        jobs: List[Json] = self._json("GET", "/api/v1/jobs")["jobs"]
        return jobs

    def job(self, id: str) -> Json:
        return self._json("GET", f"/api/v1/jobs/{quote(id, safe='')}")

    def wait_for_job(self, id: str, *, timeout: float = 3600, interval: float = 0.5) -> Json:
        """How the job ended: `state` is done, failed or cancelled. TimeoutError."""
        end = time.monotonic() + timeout
        while True:
            job = self.job(id)
            if job["state"] not in ("waiting", "running"):
                return job
            if time.monotonic() > end:
                raise TimeoutError(f"job {id} is {job['state']} after {timeout} s")
            time.sleep(interval)

    def job_result(self, id: str) -> bytes:
        return self._bytes("GET", f"/api/v1/jobs/{quote(id, safe='')}/result")

    def remove_job(self, id: str) -> Json:
        """Ends a job, or forgets one that has ended."""
        return self._json("DELETE", f"/api/v1/jobs/{quote(id, safe='')}")

    # ---- Alerts

    def alerts(self, *, limit: int = 100, **question: Any) -> Iterator[Json]:
        """All alerts that are meant, the newest first; asks for pages of `limit` as they are needed. The members
        of a question: state, label, detector, source, target, address, score_min, count_min, to, and
        from_ (a word of Python's own is written with _ behind it)."""
        question = {name.rstrip("_"): value for name, value in question.items()}
        after: Optional[str] = None
        while True:
            page = self._json("GET", "/api/v1/alerts", limit=limit, after=after, **question)
            yield from page["alerts"]
            after = page["next"]
            if after is None:
                return

    def alert(self, id: int) -> Json:
        return self._json("GET", f"/api/v1/alerts/{int(id)}")

    def triage(self, id: int, *, state: Optional[str] = None, comment: Optional[str] = None) -> Json:
        body = {name: value for name, value in (("state", state), ("comment", comment)) if value is not None}
        return self._json("PATCH", f"/api/v1/alerts/{int(id)}", body, repeatable=False)

    def flows_of_alert(self, id: int) -> List[Json]:
        flows: List[Json] = self._json("GET", "/api/v1/flows", alert=int(id))["flows"]
        return flows

    # ---- Detectors

    def detectors(self) -> List[Json]:
        detectors: List[Json] = self._json("GET", "/api/v1/detectors")["detectors"]
        return detectors

    def detector(self, name: str) -> Json:
        """One detector, with its columns and the versions that are loaded."""
        return self._json("GET", f"/api/v1/detectors/{quote(name, safe='')}")

    def upload_detector(self, archive: Capture, name: str, **parameters: str) -> Json:
        """A detector as tar, plain or gzip; parameters as those of `nidus import`."""
        return self._upload("/api/v1/detectors", archive, repeatable=False, name=name, **parameters)

    def activate(self, name: str, version: str) -> Json:
        return self._json("POST", f"/api/v1/detectors/{quote(name, safe='')}/activate", {"version": version})

    def rollback(self, name: str) -> Json:
        return self._json("POST", f"/api/v1/detectors/{quote(name, safe='')}/rollback", repeatable=False)

    def reload(self, name: str) -> Json:
        """Has the detector's files looked at again."""
        return self._json("POST", f"/api/v1/detectors/{quote(name, safe='')}/reload")

    # ---- The service

    def health(self) -> Json:
        return self._json("GET", "/health")

    def metrics(self) -> str:
        return self._bytes("GET", "/metrics").decode()

    # ---- How it is sent

    def _json(self, method: str, path: str, body: Any = None, *, repeatable: bool = True, **query: Any) -> Json:
        payload = None if body is None else _Body(json.dumps(body, allow_nan=False).encode())
        return self._object(self._send(method, path, payload, "application/json", repeatable=repeatable, **query))

    def _bytes(self, method: str, path: str) -> bytes:
        return _read_all(self._send(method, path, None, "", repeatable=True))

    def _upload(self, path: str, content: Capture, *, repeatable: bool = True, **query: Any) -> Json:
        return self._object(self._send("POST", path, _Body(content), _CAPTURE, repeatable=repeatable, **query))

    def _object(self, response: http.client.HTTPResponse) -> Json:
        body = _read_all(response)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise UnreachableError(f"the answer is no JSON object: {body[:100]!r}")
        return answer

    def _target(self, path: str, query: Mapping[str, Any]) -> str:
        asked = {name: value for name, value in query.items() if value is not None}
        return self._prefix + path + ("?" + urlencode(asked) if asked else "")

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _send(self, method: str, path: str, body: Optional["_Body"], content_type: str, *, repeatable: bool,
              **query: Any) -> http.client.HTTPResponse:
        """An answer that is no refusal, its body still to be read."""
        target = self._target(path, query)
        left = self._retries
        while True:
            response = self._send_once(method, target, body, content_type, repeatable)
            if response.status < 400:
                return response
            problem = _problem(response, _read_all(response))
            wait = _retry_after(response)
            can_again = body is None or body.can_be_sent_again()
            if problem.status not in (429, 503) or wait is None or wait > self._wait_max or left == 0 or not can_again:
                raise problem
            left -= 1
            time.sleep(wait)

    def _send_once(self, method: str, target: str, body: Optional["_Body"], content_type: str,
                   repeatable: bool) -> http.client.HTTPResponse:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = content_type
            size = body.size()
            headers.update({"Transfer-Encoding": "chunked"} if size is None else {"Content-Length": str(size)})
        while True:
            is_used = self._connection is not None and self._connection.sock is not None
            if self._connection is None:
                self._connection = self._connect()
            connection = self._connection
            try:
                try:
                    connection.request(method, target, body=None if body is None else body.pieces(), headers=headers,
                                       encode_chunked=body is not None and body.size() is None)
                except (BrokenPipeError, ConnectionResetError):
                    # It may have said why before it stopped to read.
                    if body is None or connection.sock is None:
                        raise
                return connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self.close()
                # A connection that was kept open may be closed at any time.
                if is_used and repeatable and (body is None or body.can_be_sent_again()):
                    continue
                raise UnreachableError(f"{self._host}: {error}") from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise UnreachableError(f"{self._host}: {error!r}") from error

    def _stream(self, path: str, pieces: Iterator[bytes], **query: Any) -> Iterator[Json]:
        connection = self._connect()
        try:
            connection.putrequest("POST", self._target(path, query))
            for name, value in {**self._headers, "Content-Type": "application/x-ndjson",
                                "Transfer-Encoding": "chunked"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            duplex = _Duplex(connection.sock, _chunks(pieces), self._timeout)
            response = http.client.HTTPResponse(duplex, method="POST")  # type: ignore[arg-type]
            response.begin()
            if response.status >= 400:
                raise _problem(response, _read_all(response))
            yield from _lines(response)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self._host}: {error!r}") from error
        finally:
            connection.close()

    def _kept_lines(self, response: http.client.HTTPResponse) -> Iterator[Json]:
        """Lines of an answer on the connection that is kept."""
        whole = False
        try:
            yield from _lines(response)
            whole = True
        finally:
            if not whole:  # what is left of it would be taken for the next answer
                response.close()
                self.close()


class _Body:
    """What is sent: bytes, the file at a path, or an open file."""

    def __init__(self, content: Capture) -> None:
        self._content = content

    def size(self) -> Optional[int]:
        """None if only its end will tell."""
        if isinstance(self._content, bytes):
            return len(self._content)
        if isinstance(self._content, (str, os.PathLike)):
            return os.stat(self._content).st_size
        return None

    def can_be_sent_again(self) -> bool:
        return isinstance(self._content, (bytes, str, os.PathLike))

    def pieces(self) -> Iterator[bytes]:
        if isinstance(self._content, bytes):
            view = memoryview(self._content)
            for at in range(0, len(view), _PIECE * 16):
                yield bytes(view[at:at + _PIECE * 16])
        elif isinstance(self._content, (str, os.PathLike)):
            with open(self._content, "rb") as file:
                yield from iter(lambda: file.read(_PIECE), b"")
        else:
            content = self._content
            yield from iter(lambda: content.read(_PIECE), b"")


class _Duplex(io.RawIOBase):
    """What is received on a connection; reading it also sends, as long as there is something to be sent. So
    neither side ever waits for the other to read: an answer may begin before the question ends."""

    def __init__(self, sock: socket.socket, pieces: Iterator[bytes], timeout: float) -> None:
        self._socket, self._pieces, self._timeout = sock, pieces, timeout
        self._piece: memoryview = memoryview(b"")
        self._sending = True
        sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:  # what HTTPResponse asks of a socket
        return io.BufferedReader(self, _PIECE)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._selector.close()
        super().close()

    def readinto(self, into: Any) -> int:
        while True:
            try:
                return self._socket.recv_into(into)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if self._sending and not self._piece:
                self._piece = memoryview(next(self._pieces, b""))
                self._sending = len(self._piece) > 0
            if self._sending:
                try:
                    self._piece = self._piece[self._socket.send(self._piece):]
                    continue
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except (BrokenPipeError, ConnectionResetError):
                    self._sending = False  # it reads no more: what it said about that is still to be read
                    continue
            self._selector.modify(self._socket,
                                  selectors.EVENT_READ | (selectors.EVENT_WRITE if self._sending else 0))
            if not self._selector.select(self._timeout):
                raise socket.timeout(f"nothing sent or received for {self._timeout} s")


def _line(row: Row) -> bytes:
    return json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines as the chunks of a body, several in one."""
    held: List[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE:
            yield b"%x\r\n%s\r\n" % (size, b"".join(held))
            held, size = [], 0
    if held:
        yield b"%x\r\n%s\r\n" % (size, b"".join(held))
    yield b"0\r\n\r\n"


def _lines(response: http.client.HTTPResponse) -> Iterator[Json]:
    # Not `for line in response`: an answer that breaks off would look like one that ends.
    rest = b""
    while True:
        try:
            piece = response.read1(_PIECE)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"the answer broke off: {error!r}") from error
        if not piece:
            break
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)
    if rest or response.length:
        raise UnreachableError("the answer broke off")


def _read_all(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read()
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"the answer broke off: {error!r}") from error


def _problem(response: http.client.HTTPResponse, body: bytes) -> ProblemError:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    detail = str(problem.get("detail") or problem.get("error") or response.reason or "refused")
    return ProblemError(response.status, detail, str(problem.get("request_id") or ""), problem)


def _retry_after(response: http.client.HTTPResponse) -> Optional[float]:
    """Seconds; None if it says nothing of the kind. A number, or a date."""
    text = response.getheader("Retry-After")
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
