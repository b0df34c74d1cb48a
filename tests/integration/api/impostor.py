"""An inference server that says what a test wants it to say, or says nothing."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.integration.api.requests import ROW
from tests.waiting import FOREVER_S, PATIENCE_S

READY, INDEX = "/v2/health/ready", "/v2/repository/index"
MODEL = "/v2/models/scale/versions/1"
INFER = f"{MODEL}/infer"
SHAPE = [-1, 4]


def metadata(**changes: Any) -> bytes:
    """Of model `scale`, with its own signature unless changed."""
    tensor = {"datatype": "FP32", "shape": SHAPE} | changes
    return json.dumps(
        {"name": "scale", "inputs": [tensor | {"name": "x"}], "outputs": [tensor | {"name": "y"}]}
    ).encode()


def outputs(shape: list[int], data: list[Any], datatype: str = "FP32") -> bytes:
    """An answer to a request."""
    return json.dumps({"outputs": [{"name": "y", "datatype": datatype, "shape": shape, "data": data}]}).encode()


class Impostor:
    """Ready, with model `scale`, until told otherwise by `answers`; a path in `hanging` is never answered."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {
            READY: (200, b""),
            "/v2": (200, b"{}"),
            MODEL: (200, metadata()),
            f"{MODEL}/ready": (200, b""),
            INFER: (200, outputs([1, 4], [2 * x for x in ROW])),
        }
        self.hanging: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.authorizations: set[str | None] = set()
        self._ended = threading.Event()
        impostor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer()

            def answer(self) -> None:
                impostor.asked[self.path] += 1
                impostor.authorizations.add(self.headers["Authorization"])
                if self.path in impostor.hanging:
                    impostor._ended.wait(FOREVER_S)
                status, content = impostor.answers.get(self.path, (404, b'{"error": "nothing here"}'))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if status == 302:
                    self.send_header("Location", "/v2")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                """Clients hang up on who does not answer."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def hangs_no_more(self) -> None:
        """All that was not answered is, and nothing hangs any more."""
        self._ended.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_S)
