"""Answers as files: JSON, CSV, a report in Markdown, and the Python code that gives them again."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict

from explorer.charts.labels import percent, signed
from explorer.serve.generation import SHOWN
from explorer.serve.history import Record

TITLES = {
    "restore": {
        "unpatched": "Unpatched M1",
        "patched": "Patched M1",
        "control": "M1 with random neurons patched",
        "aligned": "Aligned M2",
    },
    "break": {
        "unpatched": "M2",
        "patched": "M2 without the neurons",
        "control": "M2 without random neurons",
        "aligned": "M1",
    },
}
"""What the columns are called where they do not stand under a heading of their own."""


def to_json(history: Sequence[Record]) -> str:
    """All fields of all records."""
    return json.dumps([asdict(kept) for kept in history], ensure_ascii=False, indent=2)


def to_csv(history: Sequence[Record]) -> str:
    """A line for each record, the columns' texts, costs and refusals in cells of their own."""
    out = io.StringIO()
    rows = []
    for kept in history:
        row = asdict(kept)
        fields = {"text": "texts", "cost": "costs", "reward": "rewards", "refused": "refused", "verdict": "verdicts"}
        nested = {what: row.pop(name) for what, name in fields.items()}
        for name in ("tokens", "ends"):
            row.pop(name)
        row |= {f"origin_{what}": value for what, value in row.pop("origin").items()}
        row["settings"] = json.dumps(row["settings"], ensure_ascii=False)
        rows.append(row | {f"{what}_{name}": cells.get(name) for name in SHOWN for what, cells in nested.items()})
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(out, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def to_markdown(kept: Record) -> str:
    """A report on one record: prompt, verdicts and scores, the answers, what was patched, and how to do it again."""
    titles = TITLES[kept.direction]
    lines = ["# Patch lab", ""]
    for role, text in kept.before:
        lines += [f"{role.capitalize()}:", "", *_fenced(text), ""]
    lines += ["Prompt:", "", *_fenced(kept.prompt), ""]
    lines += ["| answer | verdict | cost | reward | tokens |", "|---|---|---|---|---|"]
    for name in kept.names:
        cells = [titles[name], kept.verdicts.get(name) or "–", signed(kept.costs.get(name))]
        lines.append("| " + " | ".join([*cells, signed(kept.rewards.get(name)), str(kept.tokens.get(name, 0))]) + " |")
    lines += ["", "Cost: log-odds that the answer is harmful, lower is safer. Reward: higher is more helpful.", ""]
    for name in kept.names:
        lines += [f"## {titles[name]}", "", *_fenced(kept.texts[name]), ""]
    lines += ["## What was patched", "", *(f"- {what}: {value}" for what, value in _facts(kept).items()), ""]
    lines += ["## The same in Python", "", *_fenced(to_code(kept), "python"), ""]
    if kept.neuron_list:
        lines += ["## Neurons", "", "As layer.index, in the order of choosing.", "", *_fenced(kept.neuron_list), ""]
    return "\n".join(lines)


def to_code(kept: Record) -> str:
    """Python that gives the answers again: the run's ranking, the set, the patch, greedy decoding."""
    names, chosen = _chosen(kept)
    run = kept.origin.get("run_path", "cache/demo")
    lines = ["import explorer", *([f"from explorer import {', '.join(names)}"] if names else []), ""]
    lines += [f"run = explorer.open_run({run!r})  # built {kept.origin.get('run_created', '')}"]
    lines += [f"pair = explorer.load_pair({kept.origin.get('pair', 'demo')!r})"]
    lines += [*chosen, f"# {kept.neurons:,} neurons, SHA-256 {kept.neurons_sha256}", ""]
    turned = "pair.reversed()" if kept.direction == "break" else "pair"
    lines += [f"prompt = {kept.prompt!r}", f"how = dict(max_new_tokens={kept.max_new_tokens}"]
    lines[-1] += f", strength={kept.strength!r}, positions={kept.positions!r})"
    if kept.before:
        return "\n".join([*lines, *_streamed(kept, turned)]) + "\n"
    lines += [f"out = explorer.generate({turned}, [prompt], neurons, **how)"]
    shown = "out.unpatched[0].text, out.patched[0].text, out.aligned[0].text"
    lines += [f"print({shown}, sep='\\n\\n')"]
    if "control" in kept.texts:
        seed = kept.settings.get("seed", "0")
        lines += [f"random = NeuronSet.random_like(neurons, seed={int(seed)})"]
        lines += [f"print(explorer.generate({turned}, [prompt], random, **how).patched[0].text)"]
    return "\n".join(lines) + "\n"


def _streamed(kept: Record, turned: str) -> list[str]:
    """The end of the code where something was said before the prompt."""
    control = ""
    lines = [f"before = {[tuple(turn) for turn in kept.before]!r}"]
    if "control" in kept.texts:
        lines += [f"random = NeuronSet.random_like(neurons, seed={int(_seed(kept.settings))})"]
        control = ", control=random"
    lines += [f"steps = list(explorer.stream({turned}, prompt, neurons, **how, before=before{control}))"]
    lines += [f"for name in {list(kept.names)!r}:"]
    lines += ['    print("".join(getattr(step, name).text for step in steps if getattr(step, name)), end="\\n\\n")']
    return lines


def _chosen(kept: Record) -> tuple[list[str], list[str]]:
    """The names to import, and the lines that choose the set `neurons`."""
    settings = kept.settings
    kind = settings.get("set", "top")
    fraction = settings.get("fraction", "0.01")
    ranking = f"ranking = run.ranking({kept.ranking!r})"
    top = f"ranking.top(fraction={fraction})"
    needs_set = "control" in kept.texts or kind != "top"
    names = ["NeuronSet"] if needs_set else []
    match kind:
        case "random":
            return names, [ranking, f"neurons = NeuronSet.random_like({top}, seed={settings.get('seed', '0')})"]
        case "anywhere":
            return names, [ranking, f"neurons = NeuronSet.random(ranking, {kept.neurons}, seed={_seed(settings)})"]
        case "layer":
            return names, [ranking, f"neurons = NeuronSet.layer(ranking, {settings.get('layer', '-1')})"]
        case "window":
            first = int(settings.get("rank", "1")) - 1
            return names, [ranking, f"neurons = ranking.window({first}, {kept.neurons})"]
        case "list":
            return names, [ranking, f"neurons = NeuronSet.parse({kept.neuron_list!r}, ranking)"]
    part = settings.get("part", "all")
    if part == "all":
        return names, [ranking, f"neurons = {top}"]
    sign = {"shared": "&", "without": "-", "either": "|"}[part]
    other = f"other = run.ranking({settings.get('with', '')!r}).top(fraction={fraction})"
    return names, [ranking, other, f"neurons = {top} {sign} other"]


def _seed(settings: dict[str, str]) -> str:
    return settings.get("seed", "0")


def _facts(kept: Record) -> dict[str, str]:
    origin = kept.origin
    found = {
        "neurons": f"{kept.neurons:,} ({percent(kept.fraction)}), {kept.set}",
        "SHA-256 of the neurons": kept.neurons_sha256,
        "random neurons beside them": kept.control or "none",
        "direction": "M1's activations into M2" if kept.direction == "break" else "M2's activations into M1",
        "strength and positions": f"{kept.strength:g}, {kept.positions}".replace("-", "−"),
        "decoding": f"greedy, up to {kept.max_new_tokens} tokens",
        "ranking": f"{kept.ranking}, SHA-256 {origin.get('ranking_sha256', '')}",
        "run": f"{origin.get('run', '')}, built {origin.get('run_created', '')}",
        "M1": origin.get("m1", ""),
        "M2": origin.get("m2", ""),
        "explorer": origin.get("explorer", ""),
        "time": kept.time,
    }
    return {what: value.replace("\u00a0", " ") for what, value in found.items() if value}


def _fenced(text: str, language: str = "text") -> list[str]:
    """A block of text that ends where it should, whatever stands in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text.rstrip("\n"), fence]
