"""Pages that show cached results open without torch: nobody waits for a library they do not use."""

import os
import subprocess
import sys

import pytest

from explorer.paths import PROJECT
from explorer.ui.pages import PAGES

SCRIPT = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("streamlit_app.py", default_timeout=90).run()
app.switch_page(sys.argv[1]).run()
assert not app.exception and len(app.title) == 1, (app.exception, app.error)
print(*sorted(set(sys.modules) & {"torch", "transformers", "datasets", "peft", "sklearn"}))
"""


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.url_path)
def test_a_cached_page_imports_no_torch(runs, entry) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, entry.file],
        cwd=PROJECT,
        env={**os.environ, "EXPLORER_RUNS": str(runs)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == ""
