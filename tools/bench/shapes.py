"""Shapes of real models, from each model's config.json."""

# d_model, encoder layers, decoder layers, vocabulary, mels; an attention head is 64 wide in all of them.
SIZES = {"base": (512, 6, 6, 51865, 80), "small": (768, 12, 12, 51865, 80), "medium": (1024, 24, 24, 51865, 80),
         "large-v2": (1280, 32, 32, 51865, 80), "large-v3": (1280, 32, 32, 51866, 128)}
TURBO = (1280, 32, 4, 51866, 128)
