"""The one error that is meant for a person to read."""


class ExplorerError(Exception):
    """Something a person can mend: its message is one sentence that says what is wrong and what to do.

    The command line prints it on standard error and exits with 2; a page shows it in place of
    the result. Anything else that is raised is a defect of ours.
    """


def first_line(problem: Exception, most: int = 300) -> str:
    """What a library's exception says in its first line, at most so many characters; its kind where it says nothing."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:most]
