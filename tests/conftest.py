"""Boundary of the tests: nothing is fetched from a hub, nothing outside the temporary folders is written.

The embedded model is converted at most once a machine, in the user's cache folder, as for a person.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
