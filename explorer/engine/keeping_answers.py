"""Greedy answers of patched M1 while a part of it stays M1's during the whole generation.

M1 reads, unpatched, the same current text as each patched row, with a KV cache of its own, and so does M2: what is kept
of M1 and what is patched from M2 are always of that text, as in dynamic activation patching (paper section 3.2).
"""

from collections.abc import Sequence

import torch

from explorer.engine.backends.choosing import begin, begin_hooked
from explorer.engine.keeping import KeepingRows, KeptColumn, check_kept
from explorer.engine.patching import Answer
from explorer.engine.sane import check_finite_states
from explorer.models.attention import attention_hooks
from explorer.models.pair import Pair, scale_in_place
from explorer.models.prompting import check_new_tokens

MAX_COLUMNS = 64
"""Answers that are written at once; each is read by M1 twice, unpatched and patched, and by M2."""


def answers_with_kept(
    pair: Pair, prompts: Sequence[str], columns: Sequence[KeptColumn], max_new_tokens: int = 64
) -> list[list[Answer]]:
    """For each column, the answer to each prompt.

    Args:
        pair: the models.
        prompts: what a person would type.
        columns: what is patched from M2 into M1, and what stays M1's meanwhile.
        max_new_tokens: the limit per answer.

    Raises:
        ExplorerError: a prompt or the length is not usable, or the models are not decoders whose attention can be kept.
    """
    check_new_tokens(max_new_tokens)
    check_kept(pair)
    ids = [pair.encode(prompt, max_new_tokens) for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # prompts of like length share a batch
    size = max(1, MAX_COLUMNS // max(1, len(columns)))
    found: list[list[Answer | None]] = [[None] * len(ids) for _ in columns]
    for start in range(0, len(order), size):
        chunk = order[start : start + size]
        written = _write(pair, [ids[i] for i in chunk], columns, max_new_tokens)
        for number, tokens in enumerate(written):
            column, place = divmod(number, len(chunk))
            found[column][chunk[place]] = Answer(pair.decode(tokens), tuple(tokens))
    return [[answer for answer in answers if answer is not None] for answers in found]


def _write(pair: Pair, prompts: list[list[int]], columns: Sequence[KeptColumn], limit: int) -> list[list[int]]:
    """Token ids of each column's answer to each prompt, columns × prompts of them."""
    writers = [(column, place) for column in range(len(columns)) for place in range(len(prompts))]
    written: list[list[int]] = [[] for _ in writers]
    batch = _Batch(pair, columns, max(map(len, prompts)) + limit)
    # Until a column writes, all columns of a prompt share M1's and M2's rows.
    batch.rows.follow(len(prompts), writers)
    hidden = batch.read([*prompts, *(prompts[place] for _, place in writers)], prompts)
    alive = list(range(len(writers)))
    batch.keep([place for _, place in writers], [len(prompts) + i for i in alive], [place for _, place in writers])
    while True:
        for number, token in zip(alive, batch.first.greedy(hidden), strict=True):
            written[number].append(token)
        going = [
            place
            for place, number in enumerate(alive)
            if written[number][-1] not in pair.stop_ids and len(written[number]) < limit
        ]
        if not going:
            return written
        if len(going) < len(alive):
            batch.keep(going, [len(alive) + place for place in going], going)
            alive = [alive[place] for place in going]
        batch.rows.follow(len(alive), [(writers[number][0], own) for own, number in enumerate(alive)])
        pending = [written[number][-1:] for number in alive]
        hidden = batch.read([*pending, *pending], pending)


class _Batch:
    """The passes of one batch: M1's own rows and the patched ones, and M2's texts."""

    def __init__(self, pair: Pair, columns: Sequence[KeptColumn], longest: int) -> None:
        self._pair, self.rows = pair, KeepingRows(pair, columns)
        with pair.lock:
            self.first, self._second = begin_hooked(pair.backbone1, longest), begin(pair.backbone2, longest)

    def read(self, pending: list[list[int]], texts: list[list[int]]) -> torch.Tensor:
        """Read tokens with M1's rows and with M2's; the patched rows' last hidden states, [rows, hidden]."""

        def record(layer: int, h: torch.Tensor) -> None:
            if self._pair.scale2 is not None:
                scale_in_place(h, self._pair.scale2[layer])
            if self.rows.used[layer]:
                self.rows.guide[layer] = h.clone()

        with torch.inference_mode(), self._pair.lock:
            second = self._second.forward(texts, record)
            with attention_hooks(self._pair.backbone1, self.rows):
                first = self.first.forward(pending, self.rows.neurons)
            check_finite_states(self._pair, first, second, pending[0])
        return first[-(len(pending) - len(texts)) :, -1]

    def keep(self, plain: list[int], patched: list[int], texts: list[int]) -> None:
        """Go on with these rows of M1, these patched ones, and these texts of M2."""
        with torch.inference_mode(), self._pair.lock:
            self.first.keep([*plain, *patched])
            self._second.keep(texts)
