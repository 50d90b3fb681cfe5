"""The pages of the studies: what they say and show, follow and lack."""

import pytest

from explorer.paths import PROJECT
from tests.app.small_run import write_small_run

CAUSAL, TRANSFER, SAFEGUARD, METHODS, OVERLAP = (
    f"pages/{name}.py" for name in ("causal_effect", "transfer", "safeguard", "seeds_and_methods", "overlap")
)

TAX = {"part": "Alignment tax"}

# page, query, heading, parts of what it says, charts at least
TABLE = [
    (
        CAUSAL,
        {},
        "How few neurons restore safety?",
        ["top **5 %** of the neurons restore", "Beyond as many random neurons", "n = 12, up to 16 tokens"],
        4,
    ),
    (CAUSAL, {}, "How few", ["in refusals (95 %", "in cost (95 %", "Both intervals exclude 0", "are degenerate"], 4),
    (
        CAUSAL,
        {},
        "How few",
        ["MMLU (n = 20) changes by +1.0 points", "M1 itself is not distinguishable from chance"],
        4,
    ),
    (CAUSAL, {"score": "cost"}, "How few", ["90 % of the gap in cost is not reached with up to 20 %"], 4),
    (CAUSAL, {"score": "reward"}, "How few", ["of the gap in reward between M1 and M2"], 4),
    (CAUSAL, {}, "How few", ["90 % of the gap in refusals is restored by **17 %**", "to more than 20 %"], 4),
    (
        TRANSFER,
        {},
        "Do neurons found",
        [
            "restore **80 %** (95 % interval 70–90 %) of the gap in refusals",
            "those found on others **50 %** (95 % interval 40–60 %)",
            "restore distinguishably more",
            "of the gap in cost",
        ],
        1,
    ),
    (TRANSFER, {"between": "categories of harm"}, "Do neurons found", ["2 and 2 cells"], 1),
    (
        SAFEGUARD,
        {},
        "Can a harmful answer",
        ["the accuracy is **80 %** (95 % interval 70–90 %", "71 %", "baseline gives 60 %, which it beats"],
        2,
    ),
    (METHODS, {}, "Do other seeds", ["rankings of one recipe share"], 1),
    (METHODS, {"view": "Without an aligned model"}, "Do other seeds", ["**Prompt Difference** shares 33.3 %"], 1),
    (METHODS, {"view": "Sparsity and place"}, "Do other seeds", ["of the sum of squared scores"], 2),
    (OVERLAP, TAX, "How alike", ["change cost on red-team prompts by **+0.30**", "change reward on red-team"], 4),
    (OVERLAP, TAX | {"score": "refusals"}, "How alike", ["change refusals on red-team prompts by **+0.30**"], 3),
    (OVERLAP, TAX, "How alike", ["in the same direction"], 4),
    (OVERLAP, {"part": "Ablation"}, "How alike", [], 1),
]


@pytest.mark.parametrize(("file", "query", "heading", "says", "charts"), TABLE)
def test_a_page_answers_its_question(runs, open_page, file, query, heading, says, charts) -> None:
    app = open_page(file, **query)
    assert [e.value for e in app.error] == []
    assert app.title[0].value.startswith(heading)
    text = "\n".join(m.value for m in app.markdown).replace("\u00a0", " ")
    for part in says:
        assert part in text
    assert len(app.get("vega_lite_chart")) >= charts
    assert len(app.get("download_button")) >= 1


LACKING = [
    (TRANSFER, {}, "a transfer matrix"),
    (SAFEGUARD, {}, "a safeguard"),
    (METHODS, {}, "several seeds"),
    (METHODS, {"view": "Without an aligned model"}, "no aligned model"),
    (METHODS, {"view": "Sparsity and place"}, "the spread of its scores"),
    (OVERLAP, TAX, "an activation swap"),
    (OVERLAP, {"part": "Ablation"}, "an ablation of shared"),
    (CAUSAL, {}, "general capability"),
]


@pytest.mark.parametrize(("file", "query", "words"), LACKING)
def test_a_run_without_the_study_is_one_sentence(tmp_path, monkeypatch, open_page, file, query, words) -> None:
    write_small_run(tmp_path / "bare", studies=False)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    app = open_page(file, **query)
    assert [e.value for e in app.error] == []
    found = [i.value for i in app.info if words in i.value]
    assert len(found) == 1
    assert "build file" in found[0]


def test_the_causal_effect_follows_its_controls(runs, open_page) -> None:
    app = open_page(CAUSAL, patched="20%")
    assert app.select_slider(key="patched").value == 0.2
    app.select_slider(key="patched").set_value(0.01).run()
    assert "top **1\u00a0%**" in app.markdown[0].value
    assert len(app.dataframe[0].value) == 12


def test_prompts_lead_to_the_lab(runs, open_page) -> None:
    frame = open_page(TRANSFER).dataframe[0].value
    assert frame["lab"].str.startswith("patch_lab?prompt=A+prompt+%26+%3Cb%3E").all()


@pytest.mark.parametrize(
    ("file", "query"),
    [
        (CAUSAL, {"score": "none", "prompts": "none", "patched": "7"}),
        (TRANSFER, {"between": "none", "source": "none", "target": "none"}),
        (SAFEGUARD, {"neurons": "9", "measure": "none", "train": "none", "test": "none"}),
        (METHODS, {"view": "none", "ranking": "none"}),
    ],
)
def test_what_an_address_cannot_mean_is_left_out(runs, open_page, file, query) -> None:
    assert not open_page(file, **query).error


def test_pages_are_scripts_of_the_app() -> None:
    for file in (CAUSAL, TRANSFER, SAFEGUARD, METHODS):
        assert (PROJECT / file).is_file()
