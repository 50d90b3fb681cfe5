"""How much a job asks for, held against what a public server takes of a visitor."""

from explorer.public import check_size
from explorer.serve.generation import Generation
from explorer.serve.job import Job
from explorer.serve.neuron_reading import NeuronReading
from explorer.serve.prompt_list import PromptList
from explorer.serve.strip import Strip
from explorer.serve.tracing import Tracing


def check_job_size(job: Job) -> None:
    """Refuse what is too large; nothing is, where the server is not public.

    Raises:
        ExplorerError: a public server takes no request of this size.
    """
    match job:
        case Tracing(request=asked):
            check_size(len(asked.answer), [_said(asked.before) + asked.prompt])
        case PromptList(request=asked):
            check_size(asked.max_new_tokens, asked.prompts)
        case Generation(request=asked):
            check_size(asked.max_new_tokens, [max(map(asked.said_in, asked.columns), key=len)], len(job.answers))
        case Strip(request=asked):
            check_size(asked.max_new_tokens, [_said(asked.before) + asked.prompt])
        case NeuronReading(request=asked):
            check_size(asked.max_new_tokens, [asked.prompt])


def _said(before: tuple[tuple[str, str], ...]) -> str:
    return "".join(text for _, text in before)
