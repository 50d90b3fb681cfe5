"""The page on overlap and the alignment tax."""
