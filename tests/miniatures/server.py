"""A web server on this machine that serves a few files and misbehaves on request."""

import hashlib
import re
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files` (content by name) with ranges and entity tags.

    Attributes:
        files: may be changed while it runs.
        requests: what was asked for, in order: (name, value of Range or None).
        cuts: for the next answers, in order, after how many bytes of content the connection is closed.
        unavailable: so many of the next requests are answered with 503.
        ranges: whether it understands Range; otherwise it sends everything.
        versions: whether it sends entity tags, the SHA-256 of the content.
        headers: sent with every file, those of the same name instead of its own.
    """

    def __init__(self, files, address):
        self.files, self.address = dict(files), address
        self.requests, self.cuts, self.unavailable = [], [], 0
        self.ranges = self.versions = True
        self.headers = {}

    def url(self, name):
        return f"{self.address}/{name}"

    def answer(self, name, range_header, if_range):
        """Return status, headers and content."""
        self.requests.append((name, range_header))
        if self.unavailable:
            self.unavailable -= 1
            return 503, {}, b"try again"
        if name not in self.files:
            return 404, {}, b"no such file"
        content = self.files[name]
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = ({"ETag": tag} if self.versions else {}) | self.headers
        if range_header is None or not self.ranges or if_range not in (None, tag):
            return 200, headers, content
        start = int(re.fullmatch(r"bytes=(\d+)-", range_header)[1])
        if start >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return 206, headers, content[start:]


@contextmanager
def file_server(files):
    """Serve `files` until the block ends; yields the `FileServer`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, headers, content = served.answer(
                self.path.lstrip("/"), self.headers["Range"], self.headers["If-Range"]
            )
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status in (200, 206) and served.cuts:
                content = content[: served.cuts.pop(0)]
                self.close_connection = True
            with suppress(ConnectionError):  # who has seen enough hangs up
                self.wfile.write(content if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = FileServer(files, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
