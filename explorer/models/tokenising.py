"""How both models of a pair read: one tokeniser, one chat template, and the tokens that end an answer.

The rules, in one place:

- A model's tokeniser is that of its last adapter that brings one, else its base's.
- Both read with M2's, the aligned model's, whose format its training knows. Where one tokeniser has tokens that the
  other has not (a `<pad>`), the larger one serves if both models have embeddings for all its tokens, else the smaller.
  Tokens that only one model has an embedding for are cut off it; a template that needs one is refused.
- `chat_template = "own"` is M2's template, and M1's where M2 has none (`chat.choose_template`).
- An answer ends at any end token that `generation_config` or the tokeniser of either model names (`end_tokens`).
- Decoding is greedy. What else a `generation_config` says (repetition penalty, minimal length, forbidden words) is left
  out for both models, in every study: it would change answers for reasons that no neuron knows (`plain_decoding`).
"""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError, first_line
from explorer.models import prompting
from explorer.models.adapters import READING_FILES, read_config
from explorer.models.chat import Told, choose_template, prints_date, read_template, told, use_template
from explorer.models.checkpoint import check_pointers
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.models.places import EMBEDDED, adapter_folder, model_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PROBE = "How are you?  Naïve café, 12345 + 日本語:\n\tx = [1, 2]; print('ok')"
"""A text that tokenisers of one vocabulary but other rules split differently."""


@dataclass(frozen=True)
class Reading:
    """How a pair's models read.

    Attributes:
        tokenizer: of both models, with their chat template.
        ends: end tokens of both models' own tokenisers.
        rows: embeddings that both models have; token ids are below it.
        template: where the chat template comes from, in words.
        notes: sentences for a person: what was chosen where the models differ.
    """

    tokenizer: "PreTrainedTokenizerBase"
    ends: frozenset[int] = frozenset()
    rows: int = 2**31
    template: str = "M2's"
    notes: tuple[str, ...] = field(default=())

    def describe(self) -> dict[str, Any]:
        """What a run keeps of it: the template's text, its arguments, and the day where the template prints it."""
        template, known = self.tokenizer.chat_template, told(self.tokenizer)
        about = {"chat_template": self.template, "template": template, "arguments": dict(known.arguments)}
        return about | ({"date": known.day.isoformat()} if prints_date(str(template)) else {})


def read_together(spec: PairSpec, first: "PreTrainedModel", second: "PreTrainedModel") -> Reading:
    """The tokeniser and chat template that both models of a pair read with.

    Args:
        spec: the pair.
        first, second: M1 and M2, loaded; the embedding of one may be cut to what both have.

    Raises:
        ExplorerError: a tokeniser is missing, the two number tokens differently, or the template cannot serve both.
    """
    place1, template1 = tokenizer_place(spec.m1)
    place2, template2 = tokenizer_place(spec.m2)
    of_m1 = of_m2 = load_tokenizer(place1, spec.m1.base)
    if place1 != place2 or template1 != template2:
        of_m2 = load_tokenizer(place2, spec.m2.base)
    rows = min(_rows(first), _rows(second))
    chosen, notes = _choose(of_m1, of_m2, rows)
    notes += _other_bases(spec)
    if template1 is not None:
        of_m1.chat_template = template1
    template, source, differ = choose_template(spec.chat_template, of_m1, of_m2, template2)
    if differ and source in ("M1's", "M2's"):
        other = "m1" if source == "M2's" else "m2"
        notes.append(
            f"M1 and M2 have different chat templates; both read {source} (chat_template = “{other}” takes the other)."
        )
    day = date.fromisoformat(spec.date) if spec.date else date.today()
    name = "" if source == "none" else f"“{source}”"
    use_template(chosen, template, Told(dict(spec.template_arguments), day), name)
    _check_frame(chosen, of_m1 if chosen is of_m2 else of_m2, template, rows)
    for model in (first, second):
        if _rows(model) > rows:
            model.resize_token_embeddings(rows, mean_resizing=False)
    ends = frozenset(i for t in (of_m1, of_m2) for i in [t.eos_token_id] if isinstance(i, int))
    return Reading(chosen, ends, rows, source, tuple(notes))


def read_alike(known: Reading, spec: PairSpec, first: "PreTrainedModel", second: "PreTrainedModel") -> Reading:
    """The reading of another pair, for these models: what is compared must have read one text.

    Raises:
        ExplorerError: these models number tokens differently, or have too few embeddings.
    """
    rows, ends, notes = min(_rows(first), _rows(second)), set(known.ends), []
    for place in {tokenizer_place(model)[0]: None for model in (spec.m1, spec.m2)}:
        own = load_tokenizer(place, str(place))
        notes += _choose(own, known.tokenizer, rows)[1]
        ends |= {i for i in [own.eos_token_id] if isinstance(i, int)}
    _check_frame(known.tokenizer, known.tokenizer, str(known.tokenizer.chat_template or ""), rows)
    for one in (first, second):
        if _rows(one) > rows:
            one.resize_token_embeddings(rows, mean_resizing=False)
    return Reading(known.tokenizer, frozenset(ends), rows, known.template, tuple(dict.fromkeys(notes)))


def end_tokens(reading: Reading, *models: "PreTrainedModel") -> frozenset[int]:
    """The tokens that end an answer: those of every `generation_config` and of every tokeniser.

    A base model alone does not know the chat's end token, and a fine-tune often names it in one of the two places.
    """
    stops = set(reading.ends)
    for model in models:
        ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        named = ids if isinstance(ids, list | tuple) else [ids]  # a damaged file names anything
        stops |= {i for i in named if isinstance(i, int)}
    return frozenset(stops)


def plain_decoding(model: "PreTrainedModel") -> None:
    """Leave of a model's `generation_config` only its tokens: nothing that changes which token comes next."""
    from transformers import GenerationConfig

    said: Any = getattr(model, "generation_config", None)
    if said is not None:  # a classifier has none
        names = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        model.generation_config = GenerationConfig(**{name: getattr(said, name, None) for name in names})


def tokenizer_place(model: ModelSpec) -> tuple[Path, str | None]:
    """The folder of a model's tokeniser, and the chat template that its adapters bring beside it (None for none).

    Raises:
        ExplorerError: a folder is missing or damaged.
    """
    folders = [adapter_folder(place) for place in reversed(model.adapters)]
    whole = next((f for f in folders if (f / READING_FILES[0]).is_file() or (f / READING_FILES[1]).is_file()), None)
    alone = next((f / "chat_template.jinja" for f in folders if (f / "chat_template.jinja").is_file()), None)
    folder = model_folder(model.base, model.revision) if whole is None else whole
    return folder, None if alone is None else read_template(alone)


def load_tokenizer(folder: Path, place: str) -> "PreTrainedTokenizerBase":
    """The tokeniser in a folder.

    Args:
        folder: with tokenizer.json.
        place: what the person wrote, for the message.

    Raises:
        ExplorerError: there is none that can be read.
    """
    from transformers import AutoTokenizer

    check_pointers(folder)
    files = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
    if not any((folder / name).is_file() for name in files):
        raise ExplorerError(f"“{place}” has no tokeniser: {folder} holds no tokenizer.json; save it there as well.")
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as problem:  # tokenizers raises bare exceptions; each means the same to a person
        raise ExplorerError(
            f"The tokeniser of “{place}” could not be loaded; it needs a whole tokenizer.json ({first_line(problem)})."
        ) from problem


def _other_bases(spec: PairSpec) -> list[str]:
    """A sentence for each adapter that says it was trained on another base than it is put on, by its last name."""
    notes = []
    for model in (spec.m1, spec.m2):
        for place in model.adapters:
            said = read_config(adapter_folder(place)).get("base_model_name_or_path")
            names = [Path(str(name).rstrip("/")).name.lower() for name in (said or model.base, model.base)]
            if names[0].removeprefix(EMBEDDED) != names[1].removeprefix(EMBEDDED):
                notes.append(f"The adapter {Path(place).name} says that its base model is {said}, not {model.base}.")
    return list(dict.fromkeys(notes))


def _choose(
    of_m1: "PreTrainedTokenizerBase", of_m2: "PreTrainedTokenizerBase", rows: int
) -> "tuple[PreTrainedTokenizerBase, list[str]]":
    """The tokeniser that serves both models, and what to tell of it."""
    a, b = of_m1.get_vocab(), of_m2.get_vocab()
    if a == b:
        alike = prompting.encode_plain(of_m1, _PROBE) == prompting.encode_plain(of_m2, _PROBE)
        return of_m2, [] if alike else ["M1's and M2's tokenisers split text differently; both models read with M2's."]
    a_in_b, b_in_a = a.items() <= b.items(), b.items() <= a.items()
    if not a_in_b and not b_in_a:
        differing = next(iter(sorted(set(a.items()) ^ set(b.items()))))[0]
        raise ExplorerError(
            f"M1 and M2 have different tokenisers of {len(a):,} and {len(b):,} tokens (“{differing[:40]}” is one that "
            "only one has, or has elsewhere); a pair must read the same tokens."
        )
    larger, smaller, whose = (of_m2, of_m1, "M2") if a_in_b else (of_m1, of_m2, "M1")
    more = sorted(set(larger.get_vocab()) - set(smaller.get_vocab()))
    has = f"{whose}'s tokeniser has {len(more):,} more tokens than the other's (“{more[0][:40]}”)"
    if max(larger.get_vocab().values()) < rows:
        return larger, [f"{has}; both models have embeddings for them and read with it."]
    return smaller, [f"{has}, for which not both models have embeddings; they are left out."]


def _check_frame(
    chosen: "PreTrainedTokenizerBase", other: "PreTrainedTokenizerBase", template: str | None, rows: int
) -> None:
    """See that the template's own tokens are known to both models."""
    ids = prompting.encode(chosen, "Hello")
    if max(ids) >= rows:
        raise ExplorerError(
            f"The chat template uses “{chosen.convert_ids_to_tokens(max(ids))}”, for which not both models have an "
            "embedding; set chat_template to “tulu” or to a Jinja file without it."
        )
    if template is None or other is chosen or other.get_vocab() == chosen.get_vocab():
        return
    own, other.chat_template = other.chat_template, template
    try:
        theirs = prompting.encode(other, "Hello")
    finally:
        other.chat_template = own
    lost = [i for i in theirs if i not in ids]
    if len(other) > len(chosen) and lost:
        raise ExplorerError(
            f"The chat template uses “{other.convert_ids_to_tokens(lost[0])}”, for which not both models have an "
            "embedding; set chat_template to “tulu” or to a Jinja file without it."
        )


def _rows(model: "PreTrainedModel") -> int:
    """How many tokens a model has embeddings for."""
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])
