"""Stage 1: languages, keys, lists and data directories."""
