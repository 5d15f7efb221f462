"""Runs programs in the namespaces of hosts, with a limit on every one."""
import os
import signal
import subprocess
import threading
import time

from .sandbox import SCRATCH


class Programs:
    """All programs of one capture. stop() ends them and makes every later run() return at once. Thread-safe."""

    def __init__(self, log_path):
        self._lock = threading.Lock()
        self._live = set()
        self._log = open(log_path, "ab", buffering=0)
        self.stopping = threading.Event()

    def run(self, host, words, limit, given=None):
        """Runs a program on a host to its end or to its limit in seconds. Its exit status, None if it was cut."""
        if self.stopping.is_set():
            return None
        process = self._start(host, words, stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL)
        try:
            process.communicate(given.encode() if isinstance(given, str) else given, timeout=limit)
            return process.returncode
        except subprocess.TimeoutExpired:
            self._end(process)
            return None
        finally:
            self._forget(process)

    def start(self, host, words, stdin=subprocess.DEVNULL):
        """Starts a program that runs until end() or stop()."""
        return self._start(host, words, stdin=stdin)

    def end(self, process):
        self._end(process)
        self._forget(process)

    def sleep(self, seconds):
        """False when the capture is over."""
        return not self.stopping.wait(max(0, seconds))

    def stop(self):
        self.stopping.set()
        with self._lock:
            live = list(self._live)
        for process in live:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + 2
        for process in live:
            try:
                process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)

    def _start(self, host, words, stdin):
        words = [str(word) for word in words]
        self._log.write(f"{time.time():.3f} {host}: {' '.join(words)[:300]}\n".encode())
        process = subprocess.Popen(enter(host) + words, stdin=stdin, stdout=self._log, stderr=self._log,
                                   start_new_session=True, cwd=SCRATCH)
        with self._lock:
            self._live.add(process)
        return process

    def _end(self, process):
        _signal(process, signal.SIGTERM)
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait(5)

    def _forget(self, process):
        if process.stdin:
            try:
                process.stdin.close()
            except OSError:
                pass
        with self._lock:
            self._live.discard(process)


def enter(host):
    """The words that put a program into a host's network namespace."""
    return ["nsenter", f"--net=/run/netns/{host}", "--"]


def _signal(process, number):
    """To the program and what it started: each runs in a session of its own."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
