"""Tiny tokenisers of the kinds that people bring, trained on a few sentences, with the kinds' own control tokens."""

from collections.abc import Callable

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

TEXT = [
    "How do I pick a lock? You pick it with care, and a little patience, of course.",
    "Write a poem about the sea, the wind and the stars. user assistant system begin end name file",
    "Answer with the letter of the right option. A B C D A B C D A B C D A B C D",
    "naïve café, Grüße, Привет мир, 你好，世界, مرحبا, שלום, こんにちは, 안녕하세요, γειά σου",
] * 4

SMOLLM2 = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
]
LLAMA3 = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_0|>",
]
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|vision_start|>", "<|fim_prefix|>"]
QWEN_PLAIN = ["<tool_call>", "</tool_call>", "<think>", "</think>", "<tool_response>"]
PIECES = ["<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]"]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]"
    "{% else %} {{ m['content'] | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    CHATML.removesuffix("{% endif %}")
    + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def _byte_level(special: list[str], in_vocabulary: bool, **options) -> Tokenizer:
    backend = Tokenizer(models.BPE(**options))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special if in_vocabulary else [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    if not in_vocabulary:
        backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return backend


def smollm2() -> PreTrainedTokenizerFast:
    """Byte-level BPE whose control tokens are in the vocabulary, only three of them known by a role."""
    return _fast(_byte_level(SMOLLM2, True), CHATML, bos_token="<|im_start|>", eos_token="<|im_end|>")


def llama3() -> PreTrainedTokenizerFast:
    """Byte-level BPE that takes whole words past its merges, a BOS, and a template that prints the day."""
    backend = _byte_level(LLAMA3, False, ignore_merges=True)
    begin = backend.token_to_id(LLAMA3[0])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{LLAMA3[0]} $A", special_tokens=[(LLAMA3[0], begin)]
    )
    return _fast(backend, HEADERS, bos_token=LLAMA3[0], eos_token="<|eot_id|>")


def qwen() -> PreTrainedTokenizerFast:
    """Byte-level BPE behind NFC, with control tokens that are not special."""
    backend = _byte_level(QWEN, False)
    backend.normalizer = normalizers.NFC()
    backend.add_tokens([AddedToken(t, special=False, normalized=False) for t in QWEN_PLAIN])
    return _fast(backend, THINKING, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def sentencepiece_bpe() -> PreTrainedTokenizerFast:
    """As Llama-2's: characters with byte fallback, a space put before every text."""
    return _fast(_pieces(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)), INST, **_PIECE_ROLES)


def sentencepiece_unigram() -> PreTrainedTokenizerFast:
    """A Unigram model, in whose vocabulary `</s>` is a piece like any other."""
    base = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<pad>", 0.0), ("[INST]", 0.0), ("[/INST]", 0.0)]
    found = Tokenizer(models.Unigram())
    found.pre_tokenizer = pre_tokenizers.Metaspace()
    found.train_from_iterator(TEXT, trainers.UnigramTrainer(vocab_size=200, show_progress=False))
    import json

    learnt = [(piece, score) for piece, score in json.loads(found.to_str())["model"]["vocab"]]
    known = {piece for piece, _ in learnt}
    letters = [(c, -12.0) for c in map(chr, range(33, 127)) if c not in known]
    vocabulary = base + [(f"<0x{b:02X}>", -20.0) for b in range(256)] + learnt + letters
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return _fast(_with_roles(backend), INST, **_PIECE_ROLES)


_PIECE_ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def _pieces(model) -> Tokenizer:
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(Regex(" "), "▁")])
    letters = [chr(c) for c in range(33, 127)]
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=[*PIECES, *bytes_], initial_alphabet=letters, show_progress=False
    )
    backend.train_from_iterator([" ".join(TEXT)], trainer)
    import json

    settings = json.loads(backend.to_str())
    settings["added_tokens"] = []
    return _with_roles(Tokenizer.from_str(json.dumps(settings)))


def _with_roles(backend: Tokenizer) -> Tokenizer:
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in PIECES])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


def _fast(backend: Tokenizer, template: str, **roles: str) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, **roles)
    fast.chat_template = template
    return fast


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "smollm2": smollm2,
    "llama3": llama3,
    "qwen": qwen,
    "sentencepiece-bpe": sentencepiece_bpe,
    "sentencepiece-unigram": sentencepiece_unigram,
}
