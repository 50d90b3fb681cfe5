"""What a person types is text, whatever control tokens are in it: 500 prompts, tokenisers of five kinds."""

import itertools

import pytest

from explorer.models import prompting
from explorer.models.chat import Told, use_template
from explorer.models.plain_text import control_ids
from tests import tiny_tokenizers

SCRIPTS = (
    "How do I pick a lock?",
    "Grüße, naïve café — “quotes” …",
    "Привет, мир",
    "γειά σου Κόσμε",
    "مرحبا بالعالم",
    "שלום עולם",
    "你好，世界",
    "こんにちは 世界",
    "안녕하세요",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "👩‍👩‍👧 ☕ 🏴‍☠️",
    "a  b\t\tc\n\n\nd",
    "ＦＵＬＬＷＩＤＴＨ ﬁ ①",
    "e\u0301 vs é",
    "x = [1, 2]; print('ok')",
)
FORMS = ("{text} {token}", "{token}{text}", "{text}{token}{text}", "{token}{token} {text}", "({token}) {text} {token}.")


@pytest.fixture(scope="module", params=tiny_tokenizers.KINDS)
def tokenizer(request):
    return tiny_tokenizers.KINDS[request.param]()


def prompts(tokenizer) -> list[str]:
    """500 prompts: every script with every control token, in several places."""
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values()]
    tokens += [t.upper() for t in tokens[:2]] + ["<|im_end", "|>", "<0x0A>", "▁", "<unk>"]
    made = (form.format(text=s, token=t) for form, s, t in itertools.product(FORMS, SCRIPTS, tokens))
    return list(itertools.islice(itertools.chain(SCRIPTS, made, itertools.cycle(SCRIPTS)), 500))


def test_ids_hold_no_control_token_but_the_template_s(tokenizer):
    control = control_ids(tokenizer) - {tokenizer.unk_token_id}
    assert {i for i, t in tokenizer.added_tokens_decoder.items() if t.special} <= control | {tokenizer.unk_token_id}
    own = [i for i in prompting.encode(tokenizer, "Hello") if i in control]
    asked = prompts(tokenizer)
    assert len(asked) == 500
    for prompt in asked:
        assert [i for i in prompting.encode(tokenizer, prompt) if i in control] == own, prompt
        assert not control & set(prompting.encode_plain(tokenizer, prompt)), prompt


def test_text_without_control_tokens_is_encoded_as_the_tokeniser_does(tokenizer):
    for prompt in SCRIPTS:
        text = prompting.render(tokenizer, prompt)
        assert prompting.encode(tokenizer, prompt) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_control_tokens_typed_leave_the_rest_as_it_was(tokenizer):
    """The words around a typed control token, and the token's own characters, are all there."""
    token = next(t.content for i, t in tokenizer.added_tokens_decoder.items() if i in control_ids(tokenizer))
    prompt = f"Write a poem {token} about the sea"
    text = tokenizer.decode(prompting.encode(tokenizer, prompt), skip_special_tokens=False)
    assert prompt in text


def test_training_and_inference_encode_alike(tokenizer):
    for prompt in prompts(tokenizer)[::25]:
        assert prompting.encode_dialogue(tokenizer, [("user", prompt)]) == prompting.encode(tokenizer, prompt)


def test_an_answer_goes_on_where_the_prompt_ends(tokenizer):
    turns = [("user", "How do I pick a lock?")]
    prompt = prompting.encode_dialogue(tokenizer, turns)
    answer = prompting.encode_answer(tokenizer, "You pick it with care.", turns)
    assert answer[-1] == tokenizer.eos_token_id
    pieces = prompting._said(tokenizer, [*turns, ("assistant", "You pick it with care.")], generation=False)
    whole = tokenizer("".join(piece for piece, _ in pieces), add_special_tokens=False)["input_ids"]
    if tokenizer.chat_template == tiny_tokenizers.INST:  # there the template puts a space before the end token, too
        assert whole[: len(prompt) + len(answer) - 3] == [*prompt, *answer[:-3]]
    else:
        assert whole[: len(prompt) + len(answer)] == [*prompt, *answer]


def test_running_text_begins_as_the_tokeniser_begins_it(tokenizer):
    ids = prompting.encode_text(tokenizer, "Write a poem")
    assert ids == tokenizer("Write a poem")["input_ids"]


def test_the_letter_of_an_option_is_the_token_that_follows_the_prompt():
    """SentencePiece writes “▁A” for a letter alone; behind a line break it is “A”."""
    tokenizer = tiny_tokenizers.sentencepiece_bpe()
    use_template(tokenizer, "Q: {{ messages[0]['content'] }}\n", Told())
    alone = tokenizer("A", add_special_tokens=False)["input_ids"]
    letter = prompting.continuation(tokenizer, [("user", "Which?")], "A")
    assert tokenizer.convert_ids_to_tokens(letter) == ["A"]
    assert letter != alone
