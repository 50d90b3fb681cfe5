"""What a model is made of and how it is asked, with digests: by these, what was computed from it is known again."""

from pathlib import Path
from typing import Any

from explorer.digests import digest, sha256_file
from explorer.models import adapters, embedded
from explorer.models.chat import prints_date
from explorer.models.pair_spec import MERGED, OWN, TULU, ModelSpec, PairSpec
from explorer.models.places import EMBEDDED

BY_NAME = "by its name on the hub"


def describe_model(model: ModelSpec) -> dict[str, Any]:
    """What a model is made of, with a digest of everything that lies on this machine."""
    if model.base.startswith(EMBEDDED):
        base, sha = model.base, embedded.digest()
    else:
        place = Path(model.base)
        base = place.name if place.exists() else model.base
        sha = place_digest(place) if place.exists() else " at ".join(filter(None, [BY_NAME, model.revision]))
    parts = [_describe_adapter(Path(a)) for a in model.adapters if Path(a).is_dir()]
    parts += [{"name": a, "sha256": BY_NAME} for a in model.adapters if not Path(a).is_dir()]
    return {"base": base, "digest": sha, "adapters": parts}


def _describe_adapter(folder: Path) -> dict[str, Any]:
    """An adapter's weights, and what else of it changes what it does: LoRA's settings, a tokeniser, a template."""
    about: dict[str, Any] = {"name": folder.name, "sha256": adapters.digest(folder)}
    files = adapters.fingerprint(folder)
    plain = adapters.adapter_kind(folder) == "IA3" and not set(files) & set(adapters.READING_FILES)
    return about if plain else about | {"files": digest(files)}


def reading_key(spec: PairSpec) -> dict[str, Any]:
    """What the models' reading and their weights' form depend on beside the models: all that is not the default."""
    key: dict[str, Any] = {}
    if spec.chat_template != OWN:
        file = Path(spec.chat_template)
        key["chat_template"] = sha256_file(file) if file.is_file() else spec.chat_template
    elif spec.m1.base != spec.m2.base:
        key["chat_template"] = "M2's, else M1's"
    if spec.template_arguments:
        key["template_arguments"] = dict(sorted(spec.template_arguments.items()))
    if spec.quantisation:
        key["quantisation"] = spec.quantisation
    if spec.lora != MERGED:
        key["lora"] = spec.lora
    if may_print_date(spec):
        key["date"] = spec.date
    return key


def may_print_date(spec: PairSpec) -> bool:
    """Whether the chat template of a pair may print today's date, as far as that can be seen without loading it."""
    if spec.chat_template == TULU:
        return False
    if Path(spec.chat_template).is_file():
        return prints_date(Path(spec.chat_template).read_text(encoding="utf-8", errors="replace"))
    places = {place for model in (spec.m1, spec.m2) for place in (model.base, *model.adapters)}
    return any(_may_print_date(place) for place in places)


def _may_print_date(place: str) -> bool:
    if place.startswith(EMBEDDED):
        return False
    folder = Path(place)
    if not folder.is_dir():  # a GGUF file, or the hub's
        return True
    files = [folder / name for name in ("chat_template.jinja", "tokenizer_config.json", "chat_template.json")]
    files += sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return any(prints_date(f.read_text(encoding="utf-8", errors="replace")) for f in files if f.is_file())


def place_digest(place: Path) -> str:
    """A digest of a model's file by its content, or of its folder by its files' names and contents."""
    if place.is_file():
        return sha256_file(place)
    return digest({p.name: sha256_file(p) for p in sorted(place.iterdir()) if p.is_file()})
