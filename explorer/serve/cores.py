"""How much of the machine the threads that compute take."""

import os


def leave_a_core() -> None:
    """Compute on all cores but one: the pages are drawn on it, which would else wait until an answer has ended.

    A setting of the thread that calls it, so the thread that computes does.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))


def return_memory() -> None:
    """Give back what the answers held: those of four sessions leave 50 MB that nobody uses."""
    from explorer.engine.products import return_freed_memory  # imports torch

    return_freed_memory()
