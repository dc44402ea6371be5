"""Stage 0: the base model and archives from the network."""
