"""The commands of `python -m explorer`, by what they are about; `explorer.cli` registers them.

Commands import what they need when they run, so that `--help` and `rank` answer at once.
"""
