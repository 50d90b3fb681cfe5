"""Words for what the tables name, and numbers as people write them."""

import textwrap
from collections.abc import Mapping
from typing import Any

NBSP = "\u00a0"

_SUITES = {
    "redteam": "red-team prompts",
    "ordinary": "ordinary prompts",
    "borderline": "harmless prompts that look harmful",
}
_NAMES = {
    "everyday_eval": "everyday prompts",
    "redteam_train": "red-team prompts (training part)",
    "ordinary_train": "ordinary prompts (training part)",
    "jailbreakbench": "JailbreakBench",
    "simple_safety_tests": "SimpleSafetyTests",
    "harmbench": "HarmBench",
    "beavertails": "BeaverTails",
    "advbench": "AdvBench",
    "xstest": "XSTest",
    "borderline_train": "harmless prompts that look harmful (training part)",
    "webgpt": "WebGPT",
    "hh_helpful": "HH-RLHF, helpful",
    "hh_harmless": "HH-RLHF, harmless",
    "dpo_mix": "DPO mix",
    "gsm8k_train": "GSM8K (training part)",
    "gptfuzz_evaluate": "GPTFuzz, evaluation questions",
    "own_written": "own refusals, advice and evasions",
    "model_answers": "answers of M1 and M2",
    "verdicts_read": "answers read for the wording",
    "verdicts_checked": "fresh answers, held out",
    "verdicts_plain": "plain sample of the run that ships",
}
BY_ATTRIBUTION = "attribution_"
"""What a ranking's name begins with that is by attribution beside one by change score."""

_RANKINGS = {
    "effect_size": "Effect size",
    "prompt_difference_m2": "Prompt Difference, M2",
    "helpful": "Helpfulness",
    "webgpt": "WebGPT answers",
    "harmless": "Harmlessness",
    "refusal": "Refusal, own writing",
    "reasoning": "Reasoning",
    "mix": "General mix",
    "style": "One sentence",
    "safety_seed1": "Safety, seed 1",
    "safety_seed2": "Safety, seed 2",
    "safety_sft": "Safety, before DPO",
    "prompt_difference": "Prompt Difference",
    "activation_variance": "Activation Variance",
    "safety": "Safety",
    "ordinary": "Ordinary prompts",
    "safety_shifted": "Safety, one token later",
    "safety_prompt": "Safety, whole prompt",
    "safety_last_prompt": "Safety, last prompt token",
    "safety_m2_answers": "Safety, M2's answers",
}
_POSITIONS = {
    "paper": "the positions that predict an answer's tokens",
    "shifted": "the answer's own tokens (the authors' code)",
    "prompt": "all prompt positions",
    "last_prompt": "the last prompt token",
}


def span(low: float, high: float) -> str:
    """The smallest and largest of some counts: "50", or "50 to 112"."""
    return f"{int(low):,}" if low == high else f"{int(low):,} to {int(high):,}"


def suite_label(name: str) -> str:
    """A prompt suite in words: "redteam_eval" → "red-team prompts"."""
    return _NAMES.get(name) or _SUITES.get(name.split("_")[0], name.replace("_", " "))


def category_label(name: str) -> str:
    """Categories of harm in words: "drug_abuse,weapons" → "drug abuse, weapons"."""
    return name.replace("_", " ").replace(",", ", ")


def ranking_label(name: str) -> str:
    """A ranking in words: "safety_last_prompt" → "Safety, last prompt token"."""
    if name.startswith(BY_ATTRIBUTION):
        return f"{ranking_label(name.removeprefix(BY_ATTRIBUTION))}, by attribution"
    return _RANKINGS.get(name, name.replace("_", " ").capitalize())


def ranking_about(about: Mapping[str, Any]) -> str:
    """What a ranking was computed from, in one sentence, out of the manifest's entry."""
    meta = about.get("meta") or {}
    parts = [f"{about.get('count', 0):,} positions compared"]
    if meta.get("prompts"):
        suite = f" of {suite_label(str(meta['suite']))}" if meta.get("suite") else ""
        parts.append(f"{meta['prompts']:,} prompts{suite}")
    if meta.get("answers") in ("m1", "m2") and meta.get("positions") in ("paper", "shifted"):
        parts.append(f"{meta['answers'].upper()}'s answers of up to {meta.get('max_new_tokens', '?')} tokens")
    if about.get("kind") == "attribution" and isinstance(meta.get("steps"), list):
        parts.append(f"gradients at {len(meta['steps'])} step{'s' * (len(meta['steps']) != 1)} from M1 to M2")
    if meta.get("positions") in _POSITIONS:
        parts.append(_POSITIONS[meta["positions"]])
    if about.get("excluded_layers"):
        parts.append("without layers " + ", ".join(map(str, about["excluded_layers"])))
    return ", ".join(parts) + "."


def percent(share: float) -> str:
    """A share as people write it: 0.075 → "7.5 %"; three digits at most, two below 1 %: 46 of 46,080 → "0.1 %"."""
    return f"{significant(100 * share, 2 if abs(share) < 0.01 else 3)}{NBSP}%"


def rate(share: float) -> str:
    """A measured rate in whole percent: 0.617 → "62 %"."""
    return f"{_signed(100 * share)}{NBSP}%"


def interval(low: float, high: float) -> str:
    """The bounds of a rate: "53–71 %", "−3 to 11 %"."""
    if low < 0:
        return f"{_signed(100 * low)} to {_signed(100 * high)}{NBSP}%"
    return f"{100 * low:.0f}–{100 * high:.0f}{NBSP}%"


def signed(value: float | None, decimals: int = 1) -> str:
    """A cost, a margin or another number with its sign, none before 0, or a dash where there is none: "−3.2"."""
    if value is None:
        return "–"
    text = f"{value:+.{decimals}f}"
    return true_minus(text if text.strip("+-0.") else text[1:])


def _signed(value: float) -> str:
    """A whole number with a true minus sign, and none before 0."""
    return true_minus(f"{round(value) + 0:d}" if abs(value) != float("inf") else f"{value}")


def lines(title: str, width: int = 32) -> list[str]:
    """The title of an axis in lines that a phone shows whole, beside the names of the rows."""
    return textwrap.wrap(title, width, break_long_words=False)


def true_minus(text: str) -> str:
    """A number that Python wrote, with a minus sign in place of its hyphen."""
    return text.replace("-", "−")


def significant(value: float, digits: int) -> str:
    """A number in so many digits at most: "0.032", "−2,300", "1.4 × 10⁻¹⁵"."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return true_minus(text)
    if 1 <= abs(value) < 1e15:
        return true_minus(f"{float(text):,.0f}")
    return _power_of_ten(text)


def p_value(p: float) -> str:
    """A p value in two digits: "0.032", "1.4 × 10⁻¹⁵"."""
    if p == 0 or p >= 1e-4:
        return f"{p:.2g}"
    return _power_of_ten(f"{p:.1e}")


def _power_of_ten(text: str) -> str:
    """A number that Python wrote with an exponent: "−1.4e-15" as "−1.4 × 10⁻¹⁵"."""
    factor, power = text.split("e")
    return f"{true_minus(factor)}{NBSP}×{NBSP}10{str(int(power)).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

NUMBERS = {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""], "percent": f"{NBSP}%"}
"""Numbers in charts as in texts: "7.5 %", not "7.5%"; for `config.locale.number` of Vega-Lite."""

PERCENT_AXIS = "format(datum.value * 100, '~g') + ' %'"
"""A Vega expression that labels an axis of shares in percent."""
