"""Stage 3: batches, trainer, resuming, files of a training."""
