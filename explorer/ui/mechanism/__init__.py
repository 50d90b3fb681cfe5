"""The Mechanism page: a file for each of its parts."""
