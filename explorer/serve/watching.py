"""For who runs a server: its log, and metrics on a port of their own, as the environment says.

start_watching()                    # once a process; later calls do nothing
"""

import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from explorer.serve.events import LOG, log_as_json
from explorer.serve.metrics import metrics_text

METRICS, METRICS_ADDRESS = "EXPLORER_METRICS_PORT", "EXPLORER_METRICS_ADDRESS"
"""The port for metrics, and the address that it listens at: 127.0.0.1 where it is not set."""

_lock = threading.Lock()
_started: list[ThreadingHTTPServer | None] = []


def start_watching() -> None:
    """Set up the log and the port for metrics, as the environment says; once a process."""
    with _lock:
        if _started:
            return
        _started.append(None)
        if os.environ.get(LOG) == "json":
            log_as_json()
        port = os.environ.get(METRICS, "")
        if port.isdecimal() and int(port):
            _started[0] = _serve(int(port))


def _serve(port: int) -> ThreadingHTTPServer | None:
    try:
        server = ThreadingHTTPServer((os.environ.get(METRICS_ADDRESS) or "127.0.0.1", port), _Metrics)
    except OSError as problem:  # the app is worth serving without
        logging.getLogger(__name__).warning("no metrics: port %d of this machine: %s", port, problem.strerror)
        return None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer /metrics in Prometheus' text form."""
        found = self.path.split("?")[0] == "/metrics"
        body = metrics_text().encode() if found else b"Metrics are at /metrics.\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no event."""
