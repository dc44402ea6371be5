"""The network, LoRA, and checkpoints of all kinds."""
