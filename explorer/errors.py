"""The one error that is meant for a person to read."""


class ExplorerError(Exception):
    """Something a person can mend: its message is one sentence that says what is wrong and what to do.

    The command line prints it on standard error and exits with 2; a page shows it in place of
    the result. Anything else that is raised is a defect of ours.
    """


def first_line(problem: BaseException, most: int = 300) -> str:
    """What a library's exception says, on one line of at most so many characters; its kind where it says nothing.

    It is the first line, and those after it for as long as one ends in a colon: a list begins there, and what it
    lists is the reason ("Error(s) in loading state_dict for Linear:").
    """
    lines = [" ".join(line.split()) for line in str(problem).splitlines() if line.strip()]
    said = lines[:1] or [type(problem).__name__]
    for line in lines[1:]:
        if not said[-1].endswith(":"):
            break
        said.append(line)
    return " ".join(said)[:most].rstrip(":").rstrip()
