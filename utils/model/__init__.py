"""The network, LoRA, and Hugging Face and CTranslate2 checkpoints."""
