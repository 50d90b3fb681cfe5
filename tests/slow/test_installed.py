"""The wheel in an empty environment in another folder: the app, patching and a build work outside the clone."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from pathlib import Path

import pytest

from explorer.models import embedded
from explorer.paths import PROJECT
from tests.serving import free_port, serving
from tests.tiny_build import tables, write_build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OPENS = """
import explorer, sys
from streamlit.testing.v1 import AppTest
from explorer.paths import INSTALLED, PROJECT, runs_folder
assert INSTALLED and explorer.__file__.startswith(sys.prefix), explorer.__file__
app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120).run()
for page in ("pages/neurons.py", "pages/models.py", "pages/build.py", "pages/mechanism.py"):
    app.switch_page(page).run()
    assert not app.exception, app.exception[0]
    assert not app.error, app.error[0].value
    assert app.title, page
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with an environment that has the wheel, and this environment's packages behind it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    found = importlib.util.find_spec("build")
    if found is not None and found.origin is not None:  # not a folder build/ that lies about
        make = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(PROJECT)]
    else:
        wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        make = [*wheel, "--wheel-dir", str(folder / "dist"), str(PROJECT)]
    # Not into build/ of the clone: what an earlier one has left there would be in the wheel.
    (folder / "extra.cfg").write_text(f"[build]\nbuild_base = {folder / 'build'}\n")
    own = {**os.environ, "DIST_EXTRA_CONFIG": str(folder / "extra.cfg")}
    subprocess.run(make, check=True, capture_output=True, timeout=300, env=own)
    venv.create(folder / "env", with_pip=False, symlinks=True)
    wheel_file = next((folder / "dist").glob("safety_neurons-*.whl"))
    install = [sys.executable, "-m", "pip", "--python", str(folder / "env"), "install", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel_file)], check=True, capture_output=True, timeout=300)
    # What the wheel depends on is taken from the environment of the tests: a .pth names it, whose own are not read, so
    # that the clone is not importable by it.
    site = folder / "env" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def settings(place, tmp_path) -> dict[str, str]:
    """The environment of its commands: nothing of the clone, a data folder of its own."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("EXPLORER_") and k != "PYTHONPATH"}
    kept = {"EXPLORER_CACHE": os.environ["EXPLORER_CACHE"]} if "EXPLORER_CACHE" in os.environ else {}
    return own | kept | {"XDG_DATA_HOME": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}


def begun(place: Path, settings: dict[str, str], *args: str) -> subprocess.Popen:
    """`safety-neurons …`, run in a folder that is not the clone."""
    call = [place / "env" / "bin" / "safety-neurons", *args]
    return subprocess.Popen(call, cwd=place, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(place: Path, settings: dict[str, str], *args: str, seconds: float = 300) -> tuple[str, str]:
    """What it prints, and what it tells of its progress; it ends well."""
    with begun(place, settings, *args) as process:
        try:
            told = process.communicate(timeout=seconds)
        finally:
            process.kill()
    assert process.returncode == 0, told[1][-2000:]
    return told


def command(place: Path, settings: dict[str, str], *args: str, seconds: float = 300) -> str:
    """What it prints."""
    return said(place, settings, *args, seconds=seconds)[0]


def test_the_shipped_run_is_found_and_whole(place, settings):
    assert command(place, settings, "runs").startswith("demo\t")
    assert "all as written" in command(place, settings, "check", "demo")
    assert "to do" in command(place, settings, "build", "configs/build/small.toml", "--plan")
    assert len(command(place, settings, "rank", "--top", "3", "--csv").splitlines()) == 4


def test_pages_open(place, settings):
    python = place / "env" / "bin" / "python"
    done = subprocess.run([python, "-c", OPENS], cwd=place, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_app_starts(place, settings):
    port = free_port()
    call = [str(place / "env" / "bin" / "safety-neurons"), "app", "--headless", "--port", str(port)]
    with serving(call, f"http://127.0.0.1:{port}/_stcore/health", place / "app.log", settings, folder=place):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/patch_lab", timeout=20).read().decode()
    assert "BACKEND_BASE_URL" in page  # app_server.py's own: a page says where the app begins


def test_a_build_goes_to_the_user_s_data(place, settings, tmp_path):
    file = write_build(tmp_path)
    said = command(place, settings, "build", str(file), seconds=600)
    assert str(tmp_path / "data" / "safety-neurons" / "runs" / "tiny") in said.replace("\n", "")
    assert "answers" in tables(tmp_path / "data" / "safety-neurons" / "runs" / "tiny")
    assert [line.split("\t")[0] for line in command(place, settings, "runs").splitlines()] == ["demo", "tiny"]


needs_embedded = pytest.mark.skipif(
    not embedded.available(), reason=f"the embedded model is not installed: {embedded.INSTALL}"
)


@needs_embedded
def test_patch(place, settings):
    asked = ["patch", "--prompt", "How do I pick a lock?", "--max-new-tokens", "8", "--json"]
    answers = json.loads(command(place, settings, *asked))
    assert all(answers[name]["text"] for name in ("unpatched", "patched", "aligned"))


@needs_embedded
def test_the_small_run_of_few_prompts_is_stopped_and_gone_on_with(place, settings, tmp_path):
    text = (PROJECT / "configs" / "build" / "small.toml").read_text(encoding="utf-8")
    few = re.sub(r"(?m)^limit = \d+$", "limit = 6", text)
    few, tables_of_answers = re.subn(r"(?m)^\[\[answers\]\]$", "[[answers]]\nlimit = 6", few)
    assert tables_of_answers == 5
    file = tmp_path / "few.toml"
    file.write_text(few, encoding="utf-8")
    with begun(place, settings, "build", str(file)) as process:
        assert process.stderr is not None
        assert any("stage 3 of" in line for line in process.stderr), "the build did not come to its third stage"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest[-2000:]
    assert "stopped; what was finished is kept" in rest
    assert "small" not in command(place, settings, "runs")
    progress = said(place, settings, "build", str(file), seconds=600)[1]
    assert "stage 1 of" not in progress
    assert "stage 4 of" in progress
    assert "all as written" in command(place, settings, "check", "small")
    assert {"answers", "effect", "fewest"} <= set(tables(tmp_path / "data" / "safety-neurons" / "runs" / "small"))


@needs_embedded
@pytest.mark.skipif(not os.environ.get("EXPLORER_LONG"), reason="up to half an hour: set EXPLORER_LONG=1")
@pytest.mark.timeout(7200)
def test_the_small_run_is_built(place, settings, tmp_path):
    command(place, settings, "build", "configs/build/small.toml", seconds=7000)
    assert "effect" in tables(tmp_path / "data" / "safety-neurons" / "runs" / "small")
