"""Beside a clone, in the user's data where the tool is installed, and where the settings say."""

import shutil

import pytest

from explorer import paths
from explorer.errors import ExplorerError
from explorer.runs.reader import find_run, run_names
from explorer.serve import build_files


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As in an installed package: a folder of what ships, which nobody writes to, and an empty home."""
    for name in ("EXPLORER_RUNS", "EXPLORER_PAIRS"):
        monkeypatch.delenv(name, raising=False)
    share = tmp_path / "site-packages" / "explorer" / "share"
    (share / "cache").mkdir(parents=True)
    shutil.copytree(paths.PROJECT / "cache" / "demo", share / "cache" / "demo")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(paths, "INSTALLED", True)
    monkeypatch.setattr(paths, "PROJECT", share)
    return tmp_path


def test_what_is_made_goes_to_the_user_s_data_and_what_ships_is_read(installed):
    data = installed / "data" / "safety-neurons"
    assert paths.runs_folder() == data / "runs"
    assert paths.pairs_folder() == data / "pairs"
    assert build_files.own_folder() == data / "pairs" / "builds"
    assert run_names() == ["demo"]
    assert find_run("cache/demo").name == find_run("demo").name == "demo"
    with pytest.raises(ExplorerError, match="no run “lost”"):
        find_run("lost")


def test_a_run_of_one_s_own_hides_a_shipped_one(installed):
    own = paths.runs_folder() / "demo"
    shutil.copytree(paths.PROJECT / "cache" / "demo", own)
    assert find_run("demo").path == own
    assert run_names() == ["demo"]


def test_a_folder_that_may_not_be_written_is_like_an_installed_one(installed, monkeypatch):
    monkeypatch.setattr(paths, "INSTALLED", False)
    assert paths.runs_folder() == paths.PROJECT / "cache"
    monkeypatch.setattr(paths.os, "access", lambda *_: False)
    assert paths.runs_folder() == installed / "data" / "safety-neurons" / "runs"
    assert run_names() == ["demo"]


def test_settings_win(installed, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(installed / "mine"))
    assert paths.run_folders() == [installed / "mine"]
    assert run_names() == []


def test_a_build_file_of_the_project_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = paths.Path("configs/build/small.toml")
    assert paths.shipped_file(small) == paths.PROJECT / small
    small.parent.mkdir(parents=True)
    small.touch()
    assert paths.shipped_file(small) == small  # one's own comes first
    assert paths.shipped_file(paths.Path("lost.toml")) == paths.Path("lost.toml")
