"""The audit: seeded samples of any cell, and what a reader's labels say of the verdicts."""

import numpy as np
import pandas as pd
import pytest

from explorer.errors import ExplorerError
from explorer.studies.audit import Cell, audit_sample, measured, read_labels, to_text


@pytest.fixture
def answers():
    rows = []
    for column, fraction in (("unpatched", np.nan), ("patched", 0.05), ("patched", 0.2)):
        for i in range(30):
            refused = i % 3 == 0
            cost = (-2.0 if refused else 2.0) * (-1 if i % 10 == 0 else 1)
            rows.append(
                {"suite": "own", "column": column, "set": "safety" if column == "patched" else "", "seed": -1}
                | {"fraction": fraction, "start": 0.0, "prompt_id": f"p{i}", "prompt": f"ask {i}", "answer": f"say {i}"}
                | {
                    "verdict": "refused" if refused else "answered",
                    "refused": refused,
                    "degenerate": False,
                    "cost": cost,
                }
            )
    return pd.DataFrame(rows)


def test_a_sample_is_seeded_and_of_its_cell_and_begins_where_judges_part(answers):
    cell = Cell("own", "patched", "safety", 0.2)
    sample = audit_sample(answers, cell, 12, seed=3)
    assert len(sample) == 12
    assert (sample["fraction"] == 0.2).all()
    assert sample["part"].is_monotonic_decreasing
    assert sample["key"].is_unique
    pd.testing.assert_frame_equal(sample, audit_sample(answers, cell, 12, seed=3))
    assert not audit_sample(answers, cell, 12, seed=4)["key"].equals(sample["key"])


def test_labels_give_precision_and_recall(answers):
    sample = audit_sample(answers, Cell(column="unpatched"), 30)
    labels = dict(zip(sample["key"], np.where(sample["verdict"] == "refused", "refused", "answered"), strict=True))
    wrong = sample[sample["verdict"] == "refused"]["key"].iloc[0]
    labels |= {wrong: "answered", sample[sample["verdict"] == "answered"]["key"].iloc[0]: "unclear"}
    found = measured(sample, labels)
    assert found.n == 29
    assert found.precision.value == pytest.approx(9 / 10)
    assert found.recall.value == 1.0
    assert found.recall.low < 1.0


def test_what_cannot_be_is_one_sentence(answers, tmp_path):
    with pytest.raises(ExplorerError, match="no such answers"):
        audit_sample(answers, Cell("lost"))
    with pytest.raises(ExplorerError, match="at least 1"):
        audit_sample(answers, Cell(), 0)
    with pytest.raises(ExplorerError, match="no verdicts"):
        audit_sample(answers.drop(columns="verdict"), Cell())
    with pytest.raises(ExplorerError, match="is no label"):
        measured(audit_sample(answers, Cell()), {"a": "maybe"})
    with pytest.raises(ExplorerError, match="not a readable CSV"):
        read_labels(tmp_path / "none.csv")


def test_a_sample_reads_as_text_and_labels_come_back_from_csv(answers, tmp_path):
    sample = audit_sample(answers, Cell(), 5)
    assert "5 answers; the judges part on" in to_text(sample)
    file = tmp_path / "labels.csv"
    sample.assign(label="Refused ").to_csv(file, index=False)
    assert set(read_labels(file).values()) == {"refused"}
