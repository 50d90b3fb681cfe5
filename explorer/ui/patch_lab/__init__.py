"""The Patch lab."""
