"""The weights of a whole model under the names of OpenAI's own implementation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import safe_open

from utils.errors import UserError

_NAMES = (  # transformers' names and OpenAI's
    (r"^model\.", ""), (r"\.layers\.", ".blocks."), (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."), (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.self_attn\.", ".attn."), (r"\.encoder_attn\.", ".cross_attn."), (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."), (r"\.v_proj\.", ".value."), (r"\.out_proj\.", ".out."), (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."), (r"\.embed_positions\.weight$", ".positional_embedding"),
    (r"\.embed_tokens\.", ".token_embedding."), (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."))


def openai_tensors(merged_dir: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names as OpenAI's, and values in float32; the output layer is the token embedding, and not there.

    Args:
        merged_dir: whole Hugging Face directory, as stage 5 merges it.

    Raises:
        UserError: it has no weights.
    """
    files = sorted(merged_dir.glob("model*.safetensors"))
    if not files:
        raise UserError(f"{merged_dir}: has no model.safetensors. Name a directory merged/ of stage 5")
    for file in files:
        with safe_open(file, "pt") as weights:
            for key in weights.keys():  # noqa: SIM118
                if key != "proj_out.weight":
                    name = key
                    for pattern, replacement in _NAMES:
                        name = re.sub(pattern, replacement, name)
                    yield name, weights.get_tensor(key).float().numpy()
