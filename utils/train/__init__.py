"""Stage 3: batches, trainer, resume, records of a training."""
