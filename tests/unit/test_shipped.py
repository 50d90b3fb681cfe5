"""The adapters that ship: what they were trained on can be read, and a card is of the weights beside it."""

import subprocess
import sys

import pytest

from explorer.errors import ExplorerError
from explorer.models.adapters import digest
from explorer.models.pair_file import pair_files, read_pair_file
from explorer.models.shipped import find_adapter, shipped_adapters
from explorer.paths import PROJECT
from explorer.training.cards import read_card
from explorer.training.config import read_train_config
from explorer.training.record import read_record
from tests import tiny_adapter


@pytest.mark.parametrize("name", shipped_adapters())
def test_a_shipped_adapter_tells_its_training_and_its_card_is_of_its_weights(name):
    folder = find_adapter(name)
    record = read_record(folder)
    if not record.stages:  # a weighted sum of adapters, each of which tells its own training
        assert len(read_train_config(PROJECT / "configs" / "train" / f"{name}.toml").start) > 1
    else:
        assert record.steps > 0
        assert record.data
    assert record.curve()["loss"].notna().all()
    card = read_card(folder)
    if card is not None:
        assert (card.name, card.sha256) == (name, digest(folder))


@pytest.mark.parametrize("name", shipped_adapters())
def test_a_shipped_adapter_s_name_is_a_pair(name):
    spec = read_pair_file(name)
    assert spec.m1.adapters == ()
    assert spec.m2.adapters == (str(find_adapter(name)),)
    assert spec.m1.base == spec.m2.base == "embedded:smollm2-135m-instruct"


def test_pair_files_come_before_adapters_and_win(tmp_path, monkeypatch):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "safety.toml").write_text('[m1]\nbase = "org/a"\n[m2]\nbase = "org/b"\n')
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path / "pairs"))
    assert next(iter(pair_files())) == "demo"
    assert list(pair_files())[-1] == max(shipped_adapters())
    assert read_pair_file("safety").m2.base == "org/b"


def test_an_adapter_s_folder_is_a_pair(tmp_path):
    folder = tiny_adapter.write(tmp_path / "mine", tmp_path / "base")
    assert read_pair_file(folder).m2.adapters == (str(folder),)
    (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(ExplorerError, match="which base model"):
        read_pair_file(folder)


def test_a_curve_goes_on_over_the_stages(tmp_path):
    record = read_record(tiny_adapter.write(tmp_path / "mine", tmp_path / "base"))
    assert record.steps == tiny_adapter.STEPS
    curve = record.curve()
    assert curve["step"].tolist() == [5, 10, 15]
    assert curve["stage"].tolist() == [1, 2, 2]
    assert curve["accuracy"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not valid JSON"), ("[]", "lacks what"), ('{"name": "x"}', "lacks what")]
)
def test_a_damaged_record_is_one_sentence(tmp_path, text, words):
    folder = tiny_adapter.write(tmp_path / "mine", tmp_path / "base")
    (folder / "training.json").write_text(text)
    with pytest.raises(ExplorerError, match=words):
        read_record(folder)
    (folder / "training.json").unlink()
    with pytest.raises(ExplorerError, match=r"no training\.json"):
        read_record(folder)


def test_records_and_cards_are_read_without_torch():
    code = (
        "import sys\nfrom explorer.report.adapter_cards import read_adapters\nread_adapters()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, timeout=120)
