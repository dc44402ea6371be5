"""Stage 1: languages, keys, lists, tokenizers, data directories."""
