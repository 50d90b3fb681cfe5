"""The docs' proxies before a real public server: subpath, websocket, headers, the host's name."""

import http.client
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from explorer.paths import PROJECT
from tests.serving import free_port, serving
from tests.slow.serving import Served, Visitor, public_server, texts

BASE = "tools/neurons"
NAME = "neurons.example.org"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Proxy:
    """A proxy of the docs, and how it runs here: at a port of this machine, without a certificate.

    Attributes:
        name: its command.
        package: of Debian.
        file: its configuration, in deploy/.
        shown: the language that the docs give the file.
        changes: what is changed in the file, each found once; {port} is the proxy's and {app} the server's.
        around: what the file stands in; {folder} is where it may write.
        options: of its command; {file} is the configuration.
    """

    name: str
    package: str
    file: str
    shown: str
    changes: tuple[tuple[str, str], ...]
    around: str
    options: tuple[str, ...]

    @property
    def binary(self) -> str | None:
        """Its path; None where it is not installed."""
        return shutil.which(self.name) or shutil.which(self.name, path="/usr/sbin:/usr/local/sbin")

    @property
    def text(self) -> str:
        """The file of deploy/."""
        return (PROJECT / "deploy" / self.file).read_text(encoding="utf-8")

    def configuration(self, folder: Path, port: int, app: int) -> str:
        """The file of deploy/ with its changes."""
        text = self.text
        for old, new in self.changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new.format(port=port, app=app))
        return self.around.format(folder=folder, server=text)


NGINX = Proxy(
    name="nginx",
    package="nginx-light",
    file="nginx.conf",
    shown="nginx",
    changes=(
        ("listen 443 ssl;", "listen 127.0.0.1:{port};"),
        ("proxy_pass http://127.0.0.1:8501;", "proxy_pass http://127.0.0.1:{app};"),
    ),
    around="""
user root;  # where the tests run as root, their folder is closed to others
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
""",
    options=("-p", "{folder}", "-e", "stderr", "-c", "{file}"),
)

# With http:// in a site's address Caddy asks for no certificate.
CADDY = Proxy(
    name="caddy",
    package="caddy",
    file="Caddyfile",
    shown="caddy",
    changes=(
        (NAME + " {", "http://" + NAME + ":{port} {{"),
        ("reverse_proxy 127.0.0.1:8501", "reverse_proxy 127.0.0.1:{app}"),
    ),
    around="""{{
	admin off
	auto_https off
	default_bind 127.0.0.1
	storage file_system {folder}
}}

{server}""",
    options=("run", "--adapter", "caddyfile", "--config", "{file}"),
)

PROXIES = (NGINX, CADDY)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    with public_server(tmp_path_factory.mktemp("server"), "--base-path", BASE, "--host", NAME) as served:
        yield served


@pytest.fixture(scope="module", params=PROXIES, ids=lambda chosen: chosen.name)
def proxy(request, server, tmp_path_factory) -> Iterator[int]:
    """The port at which a proxy stands before the server."""
    chosen: Proxy = request.param
    if chosen.binary is None:
        pytest.skip(f"{chosen.name} is not installed (apt-get install {chosen.package})")
    folder, port = tmp_path_factory.mktemp(chosen.name), free_port()
    file, log = folder / chosen.file, folder / "log"
    file.write_text(chosen.configuration(folder, port, server.port), encoding="utf-8")
    command = [chosen.binary, *(option.format(folder=folder, file=file) for option in chosen.options)]
    own = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with serving(command, asked(port, "_stcore/health"), log, own):
        yield port
    assert "emerg" not in log.read_text()


def asked(port: int, path: str, host: str = NAME) -> urllib.request.Request:
    return urllib.request.Request(f"http://127.0.0.1:{port}/{BASE}/{path}", headers={"Host": host})


def get(port: int, path: str, host: str = NAME):
    return urllib.request.urlopen(asked(port, path, host), timeout=20)


def first_answer(port: int, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """What is answered to a request's head alone; redirections are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers={"Host": NAME, **headers})
    return connection.getresponse()


@pytest.mark.parametrize("chosen", PROXIES, ids=lambda chosen: chosen.name)
def test_the_docs_show_the_file_that_is_tested(chosen):
    page = (PROJECT / "docs" / "server.md").read_text(encoding="utf-8")
    shown = re.search(rf"```{chosen.shown}\n(.*?)```", page, re.S)
    assert shown is not None
    assert shown[1] == chosen.text


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
        assert {name: found.get_all(name) for name in wanted} == {name: [value] for name, value in wanted.items()}
        assert len(found.get_all("Server")) == 1
    missing = first_answer(proxy, "GET", "/elsewhere")
    assert missing.status == 404
    assert {name: missing.headers[name] for name in wanted} == wanted


def test_the_subpath_without_its_last_slash_leads_to_the_app(proxy):
    answer = first_answer(proxy, "GET", f"/{BASE}")
    assert answer.status == 301
    assert urllib.parse.urlsplit(answer.headers["Location"]).path == f"/{BASE}/"


def test_what_is_not_below_the_subpath_is_not_there(proxy):
    assert {first_answer(proxy, "GET", path).status for path in ("/", "/elsewhere", f"/{BASE}2/")} == {404}


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


@pytest.mark.parametrize("host", [NAME, "evil.org"])
def test_a_page_of_another_site_gets_no_session(proxy, host):
    exceptions = pytest.importorskip("websockets.exceptions")
    with (
        pytest.raises((exceptions.InvalidStatus, exceptions.ConnectionClosed)),
        Visitor(proxy, BASE, host, origin="evil.org") as other,
    ):
        other.run()


def test_who_says_that_too_much_will_come_is_refused_before_it_comes(proxy):
    sizes = ("2200000", "30000000")
    answers = [first_answer(proxy, "POST", f"/{BASE}/", **{"Content-Length": size}) for size in sizes]
    assert [answer.status for answer in answers] == [413, 413]


def test_who_sends_a_megabyte_is_heard(proxy):
    request = urllib.request.Request(f"http://127.0.0.1:{proxy}/{BASE}/", data=b"x" * 1_000_000, headers={"Host": NAME})
    with pytest.raises((urllib.error.HTTPError, urllib.error.URLError)) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert not isinstance(refused.value, urllib.error.HTTPError) or refused.value.code == 405  # the app's own


def test_who_sends_too_much_is_refused(proxy):
    request = urllib.request.Request(f"http://127.0.0.1:{proxy}/{BASE}/", data=b"x" * 3_000_000, headers={"Host": NAME})
    with pytest.raises((urllib.error.HTTPError, urllib.error.URLError)) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert not isinstance(refused.value, urllib.error.HTTPError) or refused.value.code == 413
