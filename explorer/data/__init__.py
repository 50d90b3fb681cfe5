"""Prompt suites and dataset loaders."""
