"""The docs' nginx configuration before a real public server: subpath, websocket, headers, the host's name."""

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.paths import PROJECT
from tests.serving import free_port
from tests.slow.serving import Served, Visitor, public_server, texts

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
BASE = "tools/neurons"
NAME = "neurons.example.org"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"),
]

AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


def configuration(folder: Path, port: int, app: int) -> str:
    """The file of deploy/, at a port of this machine, without a certificate, and with all paths in a folder."""
    text = (PROJECT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    text, listens = re.subn(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", text)
    text, passes = re.subn(r"proxy_pass http://127\.0\.0\.1:8501;", f"proxy_pass http://127.0.0.1:{app};", text)
    assert (listens, passes) == (1, 1)
    return AROUND.format(folder=folder, server=text)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    with public_server(tmp_path_factory.mktemp("server"), "--base-path", BASE, "--host", NAME) as served:
        yield served


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory) -> Iterator[int]:
    """The port at which nginx stands before the server."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, port, server.port), encoding="utf-8")
    log = folder / "nginx.log"
    with log.open("wb") as out:
        command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(file)]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                get(port, "_stcore/health")
                break
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < end, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)
    assert "emerg" not in log.read_text()


def get(port: int, path: str, host: str = NAME):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{BASE}/{path}", headers={"Host": host})
    return urllib.request.urlopen(request, timeout=20)


def test_the_docs_show_the_file_that_is_tested():
    page = (PROJECT / "docs" / "server.md").read_text(encoding="utf-8")
    shown = re.search(r"```nginx\n(.*?)```", page, re.S)
    assert shown is not None
    assert shown[1] == (PROJECT / "deploy" / "nginx.conf").read_text(encoding="utf-8")


def test_every_answer_carries_the_security_headers(proxy):
    wanted = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Strict-Transport-Security": "max-age=31536000",
    }
    for path in ("", "_stcore/health"):
        found = get(proxy, path).headers
        assert {name: found[name] for name in wanted} == wanted
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"http://127.0.0.1:{proxy}/elsewhere", timeout=20)
    assert {name: missing.value.headers[name] for name in wanted} == wanted


def test_a_page_and_what_it_loads_lie_below_the_subpath(proxy):
    page = get(proxy, "").read().decode()
    assert "<title>" in page
    linked = re.findall(r'(?:src|href)="\./([^"]+)"', page)
    assert linked
    for path in linked:
        assert get(proxy, path).status == 200


def test_the_document_of_a_page_says_where_the_app_begins(proxy):
    assert "BACKEND_BASE_URL" in get(proxy, "patch_lab").read().decode()


def test_a_page_runs_through_the_websocket(proxy):
    with Visitor(proxy, BASE, NAME) as visitor:
        shown = texts(visitor.run())
        assert "neurons" in shown
        assert "Traceback" not in shown
        assert "prompt" in texts(visitor.run("patch_lab"))


def test_a_page_of_another_site_gets_no_session(proxy):
    exceptions = pytest.importorskip("websockets.exceptions")
    with (
        pytest.raises((exceptions.InvalidStatus, exceptions.ConnectionClosed)),
        Visitor(proxy, BASE, "evil.org") as other,
    ):
        other.run()


def test_who_sends_too_much_is_refused(proxy):
    request = urllib.request.Request(f"http://127.0.0.1:{proxy}/{BASE}/", data=b"x" * 3_000_000, method="POST")
    with pytest.raises((urllib.error.HTTPError, urllib.error.URLError)) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert not isinstance(refused.value, urllib.error.HTTPError) or refused.value.code == 413
