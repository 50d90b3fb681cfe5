"""What pyproject.toml cannot say: a wheel carries the app's files, which lie beside the package in a clone.

`explorer/paths.py` finds them in either place. An editable install takes them from the clone.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHARED = ("app_server.py", "streamlit_app.py", "pages", "configs", "cache/demo", ".streamlit")
"""Relative to the project; MANIFEST.in names the same for the source distribution."""


class BuildWithApp(build_py):
    """Copies the app's files into `explorer/share` of what is built."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        share = Path(self.build_lib) / "explorer" / "share"
        shutil.rmtree(share, ignore_errors=True)
        for name in SHARED:
            source, target = ROOT / name, share / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".DS_Store"))
            else:
                shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithApp})
