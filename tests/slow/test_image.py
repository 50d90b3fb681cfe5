"""The image's steps from scratch, without Docker: the Dockerfile run in clean roots by debootstrap, and what it makes
served as compose.yaml says: unprivileged, its root read-only, no capabilities, and without a network.

Debian's Python stands in for the one that FROM names: bookworm with Python 3.11, or what EXPLORER_IMAGE_SUITE names
(trixie has 3.13, the Dockerfile's). Where pip's settings name a folder with a wheel of torch (`find-links`), that wheel
is taken in place of the one at TORCH_INDEX. EXPLORER_IMAGE_ROOTS names a folder where the roots are kept, and used
again if they are there.

Needs root, debootstrap and 6 GB of disk; takes five to twelve minutes on two cores.
"""

import ctypes
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import yaml
from streamlit.proto.WidgetStates_pb2 import WidgetState

from explorer.paths import PROJECT
from tests.image_steps import TOOLS, Image, Lent, Shut, beside, build_image, clean_root, entered, remove
from tests.serving import failures
from tests.slow.serving import Visitor, texts

SUITE = os.environ.get("EXPLORER_IMAGE_SUITE", "bookworm")
KEPT = os.environ.get("EXPLORER_IMAGE_ROOTS", "")
COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "make", "rustc", "cargo")
ASKED = {"prompt": "How do I pick a lock?", "fraction": "0.05", "tokens": "12"}
SECONDS = 30.0  # that HEALTHCHECK allows before a failure counts
STARTS_WITHIN = 120.0  # until Docker would call it unhealthy
GIGABYTE = 1 << 30

_MISSING = [name for name in TOOLS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can make a clean root"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)} (apt-get install debootstrap)"),
]


@dataclass(frozen=True)
class Running:
    """A server in its root.

    Attributes:
        pid: its first process, as this machine counts.
        seconds: from its start until the health check passed.
    """

    image: Image
    pid: int
    seconds: float
    log: Path
    began: float

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def run(self, *command: str, seconds: float = 120.0) -> str:
        """What a command beside it prints."""
        line = beside(self.image, self.pid, command)
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the roots lie; it is gone afterwards, whatever happened."""
    if KEPT:
        Path(KEPT).mkdir(exist_ok=True)
        yield Path(KEPT)
        return
    made = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        yield made
    finally:
        remove(made)


@pytest.fixture(scope="module")
def image(folder) -> Image:
    base, kept = folder / "base", folder / "image.json"
    if kept.exists():
        return Image(**{**json.loads(kept.read_text()), "root": folder / "stage1"})
    began = time.monotonic()
    if not base.exists():
        clean_root(base, SUITE)
    print(f"\n{time.monotonic() - began:.0f} s: {SUITE} in a clean root")
    lent, arguments = of_pip()
    made = build_image(PROJECT, base, folder, arguments, lent)
    for step, seconds in made.seconds.items():
        print(f"{seconds:6.1f} s: {step[:100]}")
    above = size(made.root) - size(base)
    print(f"{time.monotonic() - began:.0f} s in all; the image takes {above:.2f} GB above its base")
    if KEPT:
        kept.write_text(json.dumps({**vars(made), "root": ""}))
    return made


def of_pip() -> tuple[Lent, dict[str, str]]:
    """This machine's settings of pip, with the files they name, and the build's arguments that follow from them."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    own = {f"PIP_{name.replace('-', '_').upper()}": value for name, value in re.findall(r"global\.(\S+)='(.*)'", said)}
    own |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    paths = []
    for value in " ".join(own.values()).split():
        place = Path(value.removeprefix("file://"))
        if place.is_absolute() and place.exists():
            # An index's pages name files beside its folder.
            paths.append(place.parent if value.startswith("file://") else place)
    local = [path for path in paths if path.is_dir() and any(path.glob("torch-*.whl"))]
    index = own.get("PIP_INDEX_URL", "https://pypi.org/simple")
    return Lent(own, tuple(paths)), {"TORCH_INDEX": index} if local else {}


def size(root: Path) -> float:
    """Gigabytes of a folder on the disk."""
    return int(subprocess.check_output(["du", "-sB1", str(root)]).split()[0]) / 1e9


def composed() -> tuple[dict, Shut]:
    """The compose file's service, and how it is shut in."""
    service = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))["services"]["explorer"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    tmpfs = dict(entry.split(":", 1) for entry in service["tmpfs"])
    return service, Shut(read_only=service["read_only"], tmpfs=tmpfs, no_rights=True, no_network=True)


@contextmanager
def served(image: Image, folder: Path) -> Iterator[Running]:
    """The image's command, as the compose file starts it, from its first healthy moment to the end of the block."""
    service, shut = composed()
    image = replace(image, environment={**image.environment, **service["environment"]})
    log, began, clock = folder / "server.log", time.monotonic(), time.time()
    with log.open("wb") as out:
        process = subprocess.Popen(entered(image, image.command, shut=shut), stdout=out, stderr=subprocess.STDOUT)
    try:
        while True:
            pid = inside(process, image.root)
            if pid and subprocess.run(beside(image, pid, image.health), capture_output=True).returncode == 0:
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - began < STARTS_WITHIN, log.read_text()
            time.sleep(0.1)
        yield Running(image, pid, time.monotonic() - began, log, clock)
    finally:
        process.kill()  # its first process ends with it, and all others with that one
        process.wait()


def inside(process: subprocess.Popen, root: Path) -> int:
    """The first process in the root, or 0 while it is not there yet."""
    try:
        for child in psutil.Process(process.pid).children():
            if os.readlink(f"/proc/{child.pid}/root") == str(root):
                return child.pid
    except (psutil.NoSuchProcess, FileNotFoundError):
        pass
    return 0


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """This thread in the network of a process: sockets made in the block are there, and stay there."""
    enter, kind = ctypes.CDLL(None, use_errno=True).setns, 0x40000000
    with open("/proc/thread-self/ns/net") as own, open(f"/proc/{pid}/ns/net") as its:
        if enter(its.fileno(), kind):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            enter(own.fileno(), kind)


@pytest.fixture(scope="module")
def server(image, folder) -> Iterator[Running]:
    with served(image, folder) as running:
        yield running


def test_the_last_root_has_neither_compiler_nor_pip(image):
    places = ["/opt/venv/bin", "/usr/local/bin", "/usr/bin", "/bin"]
    there = {path.name for place in places for path in (image.root / place[1:]).iterdir()}
    assert there.isdisjoint(COMPILERS)
    assert not list((image.root / "opt" / "venv").rglob("pip"))
    assert not list((image.root / "opt").rglob("*.gguf"))
    assert not (image.root / "src").exists()
    assert image.ids[0] != 0


def test_it_starts_in_seconds(server):
    print(f"\nhealthy {server.seconds:.1f} s after its start")
    assert server.seconds < SECONDS
    assert server.run("id", "-u").strip() == server.image.user
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert re.search(r"CapEff:\s+0+\n", status)
    assert re.search(r"CapBnd:\s+0+\n", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)


def test_pages_run_and_an_answer_is_written(server):
    answers = json.loads(server.run(*patch_command(), seconds=300))
    with network_of(server.pid), Visitor(8501) as visitor:
        assert "neurons" in texts(visitor.run())
        began = time.monotonic()
        shown = answered(visitor)
        print(f"\nanswered {time.monotonic() - began:.1f} s after the press")
    for column in ("unpatched", "patched", "aligned"):
        assert answers[column]["text"] in shown


def patch_command() -> list[str]:
    asked = ["--prompt", ASKED["prompt"], "--fraction", ASKED["fraction"], "--max-new-tokens", ASKED["tokens"]]
    return ["safety-neurons", "patch", *asked, "--json"]


def answered(visitor: Visitor) -> str:
    """Press Generate in the Patch lab and wait; the words of the page, its marks taken off."""
    query = urllib.parse.urlencode(ASKED)
    visitor.run("patch_lab", query)
    button = next(
        m.delta.new_element.button.id
        for m in visitor.run("patch_lab", query)
        if m.WhichOneof("type") == "delta" and m.delta.new_element.button.label == "Generate"
    )
    end, pressed = time.monotonic() + 120, [WidgetState(id=button, trigger_value=True)]
    while True:
        messages = visitor.run("patch_lab", query, pressed)
        bodies = [m.delta.new_element for m in messages if m.WhichOneof("type") == "delta"]
        shown = "\n".join(f"{one.html.body}\n{one.markdown.body}" for one in bodies)
        if "Done:" in shown:
            return html.unescape(re.sub(r"<[^>]+>", "", shown))
        assert time.monotonic() < end, shown[-3000:]
        pressed = []
        time.sleep(0.5)


def test_metrics_answer(server):
    with network_of(server.pid):
        said = urllib.request.urlopen("http://127.0.0.1:9100/metrics", timeout=20).read().decode()
    assert re.search(r'safety_neurons_jobs_total\{.*outcome="done"\} 1\n', said)
    print("\n" + said)


def test_it_keeps_within_what_the_compose_file_allows(server):
    service, _ = composed()
    everything = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    threads = sum(one.num_threads() for one in everything)
    memory = sum(one.memory_info().rss for one in everything)
    print(f"\n{len(everything)} processes, {threads} threads, {memory / GIGABYTE:.2f} GB")
    assert threads < service["pids_limit"]
    assert memory < int(service["mem_limit"].removesuffix("g")) * GIGABYTE


def test_nothing_is_written_outside_tmp(server):
    mounts = server.run("cat", "/proc/self/mounts")
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.M), mounts
    newer = subprocess.check_output(
        ["find", server.image.root, "-xdev", "-newermt", f"@{server.began}", "-printf", "%P\n"], text=True
    )
    assert newer.split() == []
    assert server.run("find", "/dev/shm", "-mindepth", "1") == ""
    assert "Read-only file system" not in server.said
    assert "Permission denied" not in server.said
    assert failures(server.said) == []
    assert "Traceback" not in server.said
    print("\n" + server.run("find", "/tmp", "-mindepth", "1"))


def test_it_runs_as_any_user_and_ends_when_it_is_told_to(image, folder):
    """A Space starts the image as user 1000, whom nobody has made, behind an address of its own."""
    with served(replace(image, user="1000"), folder) as running:
        with network_of(running.pid), Visitor(8501, host="you-neurons.hf.space") as visitor:
            assert "neurons" in texts(visitor.run())
            assert answered(visitor)
        assert "Traceback" not in running.said
        first, began = psutil.Process(running.pid), time.monotonic()
        first.send_signal(signal.SIGTERM)  # as `docker stop`; Docker kills after ten seconds
        first.wait(9)
        print(f"\nended {time.monotonic() - began:.1f} s after SIGTERM")
