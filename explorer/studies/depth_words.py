"""What the study of depth found, in words computed from its tables."""

import pandas as pd

from explorer.charts.labels import interval, percent, rate, suite_label
from explorer.studies.compared_sets import RANDOM, by_words
from explorer.studies.statistics import Estimate

EARLY = 5
"""Tokens that count as an answer's first ones where divergences are summed up."""


def depth_sentence(table: pd.DataFrame, kl: pd.DataFrame) -> str:
    """Whether safety is shallow: what patching parts of a text does, behind an opening too, and KL along the answer.

    Args:
        table, kl: the run's tables `depth` and `depth_kl`.
    """
    patched = table[table["set"] != ""]
    if patched.empty:
        return ""
    name = str(patched["set"].iloc[0])
    free, random = _rows(table, name), _rows(table, RANDOM)
    everywhere = _one(free, "all")
    m1, m2 = (table[(table["where"] == where) & (table["opening"] == "")].iloc[0] for where in ("m1", "m2"))
    texts = [
        f"With the top {percent(everywhere['fraction'])} by {by_words(name)} patched at every position, "
        f"M1 refuses {_share(everywhere)} of {suite_label(everywhere['suite'])} ({rate(m1['refusal'])} unpatched, "
        f"M2 {rate(m2['refusal'])}, {_control(random)}n = {int(everywhere['n']):,}, up to "
        f"{int(everywhere['max_new_tokens'])} tokens).",
        _verdict(free),
        _single_tokens(free),
        _opened(table, name),
        _along(kl),
    ]
    return " ".join(text for text in texts if text)


def place_words(where: str, tokens: int) -> str:
    """A place in a text, as it stands in legends and sentences."""
    some = "first token" if tokens == 1 else f"first {tokens} tokens"
    return {
        "m1": "M1, nothing patched",
        "m2": "M2",
        "all": "every position",
        "prompt": "the prompt",
        "last_prompt": "the last prompt token (of the template)",
        "instruction": "the last token of the instruction",
        "first": f"the answer's {some}",
        "until": f"the prompt and the answer's {some}",
        "after": f"the answer without its {some}" if tokens else "the answer",
        "behind": "what follows the opening",
    }[where]


def how_deep(free: pd.DataFrame) -> str:
    """Whether safety is shallow, in a word.

    "shallow": patching the prompt, with or without the answer's first tokens, is as good as patching everything, and
    what follows them alone is not. "either": each suffices. "deep": that beginning does not. "": patching everything
    raises no refusals.

    Args:
        free: the rows of one set in the run's table `depth`, without an opening.
    """
    if Estimate.of(_one(free, "all"), "change").sign <= 0:
        return ""
    if _enough(free) is None:
        return "deep"
    behind = _behind(free)
    return "shallow" if behind is None or Estimate.of(behind, "below_all").sign > 0 else "either"


def _enough(free: pd.DataFrame) -> pd.Series | None:
    """The smallest beginning that is as good as patching everything; None where there is none."""
    early = pd.concat([free[free["where"] == "prompt"], free[free["where"] == "until"].sort_values("tokens")])
    return next((row for _, row in early.iterrows() if Estimate.of(row, "below_all").sign <= 0), None)


def _behind(free: pd.DataFrame) -> pd.Series | None:
    """The answer without its first tokens, as few as were left out."""
    late = free[(free["where"] == "after") & (free["tokens"] > 0)].sort_values("tokens")
    return None if late.empty else late.iloc[0]


_LEADS = {
    "shallow": "Safety is **shallow** here",
    "either": "Either part of the text suffices here, so safety is **not only shallow**",
    "deep": "Safety is **not shallow** here",
}


def _verdict(free: pd.DataFrame) -> str:
    """Shallow, deep, or between: how much of the text suffices, and whether its later part does anything alone."""
    kind = how_deep(free)
    if not kind:
        return (
            "Patching it does not raise refusals distinguishably, so how deep its effect lies cannot be told from it."
        )
    enough, behind, said = _enough(free), _behind(free), []
    if enough is not None:
        place = place_words(enough["where"], int(enough["tokens"]))
        said.append(f"patching {place} alone is not distinguishable from that ({_share(enough)})")
    else:
        most = free[free["where"].isin(("prompt", "until"))].sort_values("tokens").iloc[-1]
        place = place_words(most["where"], int(most["tokens"]))
        said.append(f"patching {place} alone gives distinguishably fewer ({_share(most)})")
    if behind is not None:
        change = Estimate.of(behind, "change")
        word = {1: "raises them", 0: "does not change them distinguishably", -1: "lowers them"}[change.sign]
        place = place_words("after", int(behind["tokens"]))
        said.append(f"patching {place} alone {word} ({_share(behind)})")
    return f"{_LEADS[kind]}: {'; '.join(said)}."


def _single_tokens(free: pd.DataFrame) -> str:
    """The one token of the instruction against the one of the template."""
    found = [free[free["where"] == where] for where in ("instruction", "last_prompt")]
    if any(rows.empty for rows in found):
        return ""
    parts = []
    for rows, name in zip(found, ("the last token of the instruction", "that of the chat template"), strict=True):
        row = rows.iloc[0]
        unsure = "" if Estimate.of(row, "change").sign else ", not distinguishable from M1"
        parts.append(f"{name} {_share(row)}{unsure}")
    return f"One position alone: patching {parts[0]}; {parts[1]}."


def _opened(table: pd.DataFrame, name: str) -> str:
    """What is left of it behind an opening that goes along."""
    rows = table[table["opening"] != ""]
    mine = rows[rows["set"] == name]
    if mine.empty:
        return ""
    models = {where: rows[rows["where"] == where].iloc[0] for where in ("m1", "m2")}
    everywhere = _one(mine, "all")
    unsure = "" if Estimate.of(everywhere, "change").sign else ", not distinguishable from M1"
    parts = [
        f"{words} {_share(_one(mine, where))}"
        for where, words in (("prompt", "patched only before it"), ("behind", "only behind it"))
        if (mine["where"] == where).any()
    ]
    return (
        f"Behind a forced “{everywhere['opening']}” patched M1 refuses in what follows {_share(everywhere)}{unsure} "
        f"(M1 {rate(models['m1']['refusal'])}, M2 {_share(models['m2'])}; {', '.join(parts)})."
    )


def _along(kl: pd.DataFrame) -> str:
    """How much of the divergence between M1 and M2 lies in the first tokens of M2's answers."""
    m1 = kl[kl["set"] == ""].sort_values("position") if len(kl) else kl
    if len(m1) <= EARLY:
        return ""
    early, late = m1[m1["position"] <= EARLY], m1[m1["position"] > EARLY]
    whole = float((m1["kl"] * m1["n"]).sum())
    if not whole:
        return ""
    part = float((early["kl"] * early["n"]).sum()) / whole
    even = float(early["n"].sum()) / float(m1["n"].sum())
    top = m1.iloc[int(m1["kl"].to_numpy().argmax())]
    return (
        f"Along M2's own answers the first {EARLY} tokens hold {percent(part)} of KL(M2 ‖ M1) ({percent(even)} of the "
        f"tokens; {early['kl'].mean():.2f} nats a token there, {late['kl'].mean():.2f} behind them); it is largest at "
        f"token {int(top['position'])} ({top['kl']:.2f} nats, 95 % interval {top['kl_low']:.2f} to "
        f"{top['kl_high']:.2f})."
    )


def _rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[(table["set"] == name) & (table["opening"] == "")]


def _one(rows: pd.DataFrame, where: str) -> pd.Series:
    return rows[rows["where"] == where].iloc[0]


def _control(random: pd.DataFrame) -> str:
    rows = random[random["where"] == "all"]
    return "" if rows.empty else f"as many random neurons {rate(rows.iloc[0]['refusal'])}; "


def _share(row: pd.Series) -> str:
    return f"{rate(row['refusal'])} (95 % interval {interval(row['refusal_low'], row['refusal_high'])})"
