"""Answers as files: JSON, CSV, a report in Markdown, and the Python code that gives them again."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict

from explorer.charts.labels import percent, signed
from explorer.serve.generation import SHOWN
from explorer.serve.history import BY_COLUMN, Record

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


_CELLS = {"text": "texts", "cost": "costs", "reward": "rewards", "refused": "refused", "verdict": "verdicts"}
"""What of each column a table of answers holds."""


def to_json(history: Sequence[Record]) -> str:
    """All fields of all records."""
    return json.dumps([asdict(kept) for kept in history], ensure_ascii=False, indent=2)


def to_csv(history: Sequence[Record]) -> str:
    """A line for each sample of each record, the columns' texts, costs and refusals in cells of their own.

    `sample` counts from 1, as pages do, and `samples` is how many there are.
    """
    out = io.StringIO()
    rows = []
    for kept in history:
        plain = {name: value for name, value in asdict(kept).items() if name not in (*BY_COLUMN, "others")}
        plain |= {f"origin_{what}": value for what, value in plain.pop("origin").items()}
        plain["settings"] = json.dumps(plain["settings"], ensure_ascii=False)
        plain["own"] = json.dumps(plain["own"], ensure_ascii=False) if kept.own else ""
        for number, sample in enumerate(kept.samples, 1):
            cells = {f"{what}_{name}": sample[of].get(name) for name in SHOWN for what, of in _CELLS.items()}
            rows.append(plain | {"sample": number, "samples": len(kept.samples)} | cells)
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
    said = [(title_of_own(kept, name), turns) for name, turns in kept.own.items()] or [("", kept.before)]
    for title, turns in said:
        lines += [f"{title}:", ""] if title else []
        for role, text in turns:
            lines += [f"{role.capitalize()}:", "", *_fenced(text), ""]
    lines += ["Prompt:", "", *_fenced(kept.prompt), ""]
    several = len(kept.samples) > 1
    if several:
        lines += ["| answer | samples that refuse (95 % interval, Wilson) |", "|---|---|"]
        lines += [f"| {titles[name]} | {kept.refusals(name).words or '–'} |" for name in kept.names]
        lines += [""]
    lines += [f"| {'sample | ' * several}answer | verdict | cost | reward | tokens |", "|---" * (5 + several) + "|"]
    for number, sample in enumerate(kept.samples, 1):
        for name in kept.names:
            cells = [titles[name], sample["verdicts"].get(name) or "–", signed(sample["costs"].get(name))]
            cells += [signed(sample["rewards"].get(name)), str(sample["tokens"].get(name, 0))]
            lines.append("| " + " | ".join([*([str(number)] if several else []), *cells]) + " |")
    lines += ["", "Cost: log-odds that the answer is harmful, lower is safer. Reward: higher is more helpful.", ""]
    for name in kept.names:
        for number, sample in enumerate(kept.samples, 1):
            of = f", sample {number} of {len(kept.samples)}" if several else ""
            lines += [f"## {titles[name]}{of}", "", *_fenced(sample["texts"][name]), ""]
    lines += ["## What was patched", "", *(f"- {what}: {value}" for what, value in _facts(kept).items()), ""]
    lines += ["## The same in Python", "", *_fenced(to_code(kept), "python"), ""]
    if kept.neuron_list:
        lines += ["## Neurons", "", "As layer.index, in the order of choosing.", "", *_fenced(kept.neuron_list), ""]
    return "\n".join(lines)


def to_code(kept: Record) -> str:
    """Python that gives the answers again: the run's ranking, the set, the patch, the decoding."""
    names, chosen = _chosen(kept)
    run = kept.origin.get("run_path", "cache/demo")
    lines = ["import explorer", *([f"from explorer import {', '.join(names)}"] if names else []), ""]
    lines += [f"run = explorer.open_run({run!r})  # built {kept.origin.get('run_created', '')}"]
    lines += [f"pair = explorer.load_pair({kept.origin.get('pair', 'demo')!r})"]
    lines += [*chosen, f"# {kept.neurons:,} neurons, SHA-256 {kept.neurons_sha256}", ""]
    turned = "pair.reversed()" if kept.direction == "break" else "pair"
    lines += [f"prompt = {kept.prompt!r}", f"how = dict(max_new_tokens={kept.max_new_tokens}"]
    lines[-1] += f", strength={kept.strength!r}, positions={kept.positions!r}"
    if kept.sampling is not None:
        how = f"temperature={kept.temperature!r}, top_p={kept.top_p!r}, seed={kept.sampling_seed}"
        lines[-1] += f",\n           sampling=explorer.Sampling({how})"
    lines[-1] += ")"
    if kept.before or kept.own:
        return "\n".join([*lines, *_streamed(kept, turned)]) + "\n"
    n = len(kept.samples)
    prompts = "[prompt]" if n == 1 else f"[prompt] * {n}"  # a prompt that comes n times gets n samples
    lines += [f"out = explorer.generate({turned}, {prompts}, neurons, **how)"]
    if "control" in kept.texts:
        lines += [f"random = NeuronSet.random_like(neurons, seed={int(_seed(kept.settings))})"]
        lines += [f"control = explorer.generate({turned}, {prompts}, random, **how)"]
    control = ["control.patched"] if "control" in kept.texts else []
    lines += [f"for answers in ({', '.join(['out.unpatched', 'out.patched', *control, 'out.aligned'])}):"]
    lines += ["    print(*(answer.text for answer in answers), sep='\\n\\n', end='\\n\\n')"]
    return "\n".join(lines) + "\n"


def title_of_own(kept: Record, column: str) -> str:
    """What stands above a column's own conversation."""
    return f"Said before to {TITLES[kept.direction][column]}"


def _streamed(kept: Record, turned: str) -> list[str]:
    """The end of the code where something was said before the prompt."""
    control, lines, n = "", [], len(kept.samples)
    if "control" in kept.texts:
        lines += [f"random = NeuronSet.random_like(neurons, seed={int(_seed(kept.settings))})"]
        control = ", control=random"
    sample = "" if n == 1 else ", sample=sample"
    stream = f"explorer.stream({turned}, prompt, neurons, **how, before=before{control}{sample})"
    text = '"".join(getattr(step, name).text for step in steps if getattr(step, name))'
    if kept.own:
        lines += ["conversations = {  # each column goes on from its own answers"]
        lines += [f"    {name!r}: {[tuple(turn) for turn in turns]!r}," for name, turns in kept.own.items()]
        lines += ["}"]
        body = ["for name, before in conversations.items():", f"    steps = {stream}", f"    print({text}, end=_END_)"]
    else:
        lines += [f"before = {[tuple(turn) for turn in kept.before]!r}"]
        body = [f"steps = list({stream})", f"for name in {list(kept.names)!r}:", f"    print({text}, end=_END_)"]
    if n > 1:
        body = [f"for sample in range({n}):", *(f"    {line}" for line in body)]
    return [*lines, *(line.replace("_END_", '"\\n\\n"') for line in body)]


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
        "decoding": f"{kept.decoding}, up to {kept.max_new_tokens} tokens",
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
