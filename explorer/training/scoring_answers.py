"""Let trl project the answers' positions to the vocabulary, and not the prompts'.

trl does so only where Triton runs (1.x, `trl.trainer.utils`): elsewhere it scores every position, since some compilers
make their kernels anew for each number of positions. Nothing is compiled here, and of a dialogue with a long prompt the
projection is half of a training step. trl has no setting for it, so the private function by which it decides is
replaced while a stage trains. The loss is the same sum over the answers' positions either way; with a trl that decides
otherwise, nothing is replaced and training is slower.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_DECIDES = "_use_triton"


@contextmanager
def answers_alone_are_scored() -> Iterator[None]:
    """For as long as the block lasts, trl scores the answers' positions alone."""
    from trl.trainer import utils

    names = vars(utils)
    if _DECIDES not in names:
        yield
        return
    own = names[_DECIDES]
    names[_DECIDES] = lambda _device: True
    try:
        yield
    finally:
        names[_DECIDES] = own
