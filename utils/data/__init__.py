"""Stage 1: languages, keys, lists, texts in tokens, data directories."""
