"""Events as lines of JSON, for who runs a server; what visitors type and what models write is in none of them.

log_as_json()
log_event("job", kind="generation", outcome="done", tokens=96)
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

LOG = "EXPLORER_LOG"
"""Set to "json" for a line of JSON for each event and message."""

LOG_PROMPTS = "EXPLORER_LOG_PROMPTS"
"""Where it is set to 1, the prompt stands in a job's event as well: for debugging, with visitors' consent."""

_EVENTS = logging.getLogger("explorer.events")


class JsonLines(logging.Formatter):
    """A record as a line of JSON: time, level, logger, what was said, the event's own fields, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "logger": record.name, "said": record.getMessage()}
        line |= getattr(record, "event", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_event(name: str, **fields: object) -> None:
    """Log an event with its fields."""
    if _EVENTS.isEnabledFor(logging.INFO):
        _EVENTS.info(name, extra={"event": {"event": name, **fields}})


def log_as_json() -> None:
    """From now on, what the package logs is a line of JSON each on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    package = logging.getLogger("explorer")
    package.handlers[:] = [handler]
    package.propagate = False
    package.setLevel(logging.INFO)


def logs_prompts() -> bool:
    """Whether the operator asks for prompts in the log."""
    return os.environ.get(LOG_PROMPTS) == "1"
