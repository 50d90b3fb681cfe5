"""Dynamic activation patching as other tools document it: one model, two passes a step, a KV cache of each.

They run in a virtual environment of their own (`make bench-peers`) and know nothing of `explorer`.
"""
