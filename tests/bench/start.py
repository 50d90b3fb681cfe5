"""How long it takes until there is something to see, and what the app holds (goals 6 and 7)."""

import json
import statistics
import sys
from functools import partial

from explorer.models.pair_file import read_pair_file
from explorer.paths import PROJECT
from tests.bench.measure import REPEATS, Line, at_most, own_process, resident_mb, seconds

OPEN_A_PAGE = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("streamlit_app.py", default_timeout=90).run()
assert len(app.title) == 1 and not app.exception
assert "torch" not in sys.modules
"""
SESSIONS = 4
PATIENCE = 120
"""Seconds for one generation of the app, loading included."""


def start() -> list[Line]:
    """From the start of a process to the first page, and from imported libraries to a model that has packed weights."""
    page = statistics.median(seconds(lambda: own_process("-c", OPEN_A_PAGE)) for _ in range(REPEATS))
    ready = statistics.median(json.loads(own_process("-m", "tests.bench.start", "ready")) for _ in range(REPEATS))
    return [
        at_most("start to first page, without torch", page, 4.0, "s"),
        at_most("embedded model ready, libraries imported", ready, 3.0, "s"),
    ]


def memory(dtype: str) -> list[Line]:
    """The app with its model, and four sessions that have each generated three answers: in a dtype, and as it ships."""
    lines = []
    for computed_in in dict.fromkeys((dtype, read_pair_file("demo").dtype)):
        held = json.loads(own_process("-m", "tests.bench.start", "memory", computed_in))
        lines.append(at_most(f"app with the model and {SESSIONS} sessions, {computed_in}", held / 1000, 1.6, "GB"))
    return lines


def _ready() -> None:
    import transformers.models.llama.modeling_llama  # noqa: F401 - what a first load imports

    import explorer
    from explorer.engine.backends.choosing import begin

    explorer.load_pair  # noqa: B018 - imports torch and the engine

    def load() -> None:
        pair = explorer.load_pair("demo")
        begin(pair.backbone1, 1)

    print(json.dumps(seconds(load)))


def _memory(dtype: str) -> None:
    import time

    from streamlit.testing.v1 import AppTest

    from explorer.models import pair

    pair.load_pair = partial(pair.load_pair, dtype=dtype)
    sessions = []
    for _ in range(SESSIONS):
        app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=PATIENCE).run()
        app.switch_page("pages/patch_lab.py").run()
        app.number_input(key="patch_tokens").set_value(32).run()
        app.button(key="generate").click().run()
        end = time.monotonic() + PATIENCE
        while not app.button(key="stop").disabled:
            if time.monotonic() > end:
                raise RuntimeError("a generation did not end")
            time.sleep(0.5)
            app.run()
        if app.exception or app.error:
            raise RuntimeError(str([e.value for e in (*app.exception, *app.error)]))
        sessions.append(app)
    print(json.dumps(resident_mb()))


if __name__ == "__main__":
    {"ready": _ready, "memory": _memory}[sys.argv[1]](*sys.argv[2:])
