"""The dynamic half of the lab's web sites: a form login, a search, an API, uploads. Behind nginx.

    python3 -m nidus_lab.web_app SOCKET SECONDS
"""
import http.server
import os
import random
import socketserver
import sys
import threading
import time
import urllib.parse

UPLOAD_LIMIT = 64 << 20
PASSWORD = "correct-horse-7"


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/app/search":
            time.sleep(random.uniform(0.001, 0.02))
            found = "".join(f"<li>{n} {query.get('q', '')[:40]}</li>" for n in range(len(query.get("q", "")) % 30))
            if "'" in query.get("q", ""):
                return self._answer(500, "<p>syntax error near '" + query["q"][:60] + "</p>")
            return self._answer(200, f"<ul>{found}</ul>")
        if url.path.startswith("/app/api"):
            return self._answer(200, '{"state": "' + "ok" * random.randint(1, 400) + '"}', "application/json")
        if url.path == "/app/login":
            return self._answer(200, "<form method=post><input name=user><input name=pass></form>")
        if url.path == "/app/task":  # What a beacon asks for.
            return self._answer(200, "x" * random.choice((2, 2, 2, 2, 40, 900)))
        return self._answer(404, "<h1>Not here</h1>")

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length") or 0), UPLOAD_LIMIT)
        left, kept = length, b""
        while left > 0:
            part = self.rfile.read(min(left, 65536))
            if not part:
                return None
            kept = kept or part[:500]
            left -= len(part)
        if self.path.startswith("/app/login"):
            good = PASSWORD.encode() in kept
            time.sleep(random.uniform(0.005, 0.04))
            return self._answer(200 if good else 403, "<h1>Welcome</h1>" * 60 if good else "<p>login incorrect</p>")
        return self._answer(201, f"stored {length}")

    do_PUT = do_POST
    do_HEAD = do_GET

    def _answer(self, status, text, kind="text/html"):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


if __name__ == "__main__":
    server = Server(sys.argv[1], App)
    os.chmod(sys.argv[1], 0o666)
    threading.Timer(float(sys.argv[2]), lambda: os._exit(0)).start()
    server.serve_forever()
