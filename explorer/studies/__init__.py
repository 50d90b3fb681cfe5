"""One study a file, one result table each."""
