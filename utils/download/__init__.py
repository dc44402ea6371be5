"""Stage 0: downloads the base model and the archives of a corpus."""
