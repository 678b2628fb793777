"""A web server on this machine that sends files as the test tells it to."""

import io
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class FileServer(ThreadingHTTPServer):
    """Serves a folder.

    Attributes:
        break_after: for each answer to come, after how many bytes it ends early; None or none left: it does not.
        ranges: whether it can send the rest of a file.
        compares: whether it sends everything if the file is no longer the one that a rest is asked of.
        portion: of a rest, how many bytes it sends at most; None for all.
        tag: its ETag; empty for none.
        content_type: of every answer.
        announces: whether it says how long a file is.
        codes: status codes of the answers to come; none left: the file.
        requests: path and Range of each request.
    """

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = Path(folder)
        self.break_after, self.codes, self.requests = [], [], []
        self.ranges, self.announces, self.compares, self.portion = True, True, True, None
        self.tag, self.content_type = '"1"', "application/octet-stream"

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def fetched(self):
        return [path for path, _ in self.requests]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, unquote(self.path)
        server.requests.append((path.lstrip("/"), self.headers["Range"]))
        file = server.folder / path.lstrip("/")
        if server.codes:
            return self.send_error_or_circle(server.codes.pop(0))
        if not file.is_file():
            return self.send_error(404)
        self.send_file(file.read_bytes())

    def send_error_or_circle(self, code):
        if code != 302:
            return self.send_error(code)
        self.send_response(code)
        self.send_header("Location", self.path)
        self.end_headers()

    def send_file(self, content):
        server = self.server
        begin = self.first_byte()
        if begin and begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        end = begin + (server.portion or len(content)) if begin else len(content)
        content, total = content[:end], len(content)
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", server.content_type)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{total}")
        if server.announces:
            self.send_header("Content-Length", str(len(content) - begin))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        limit = server.break_after.pop(0) if server.break_after else None
        self.wfile.write(content[begin:][:limit])

    def first_byte(self):
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        is_same = self.headers["If-Range"] in (None, self.server.tag) or not self.server.compares
        return int(asked[1]) if asked and is_same and self.server.ranges else 0

    def log_message(self, *arguments):
        pass


@contextmanager
def serving(folder):
    server = FileServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def zip_bytes(files):
    """A zip archive of {path: content}; paths that end in a slash are folders."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for path, content in files.items():
            packed.writestr(path, content)
    return stream.getvalue()
