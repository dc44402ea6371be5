"""OpenAI's own whisper: writes a whole model as its checkpoint (.pt), and decodes with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from utils.cli import log
from utils.errors import UserError
from utils.export.openai_names import openai_tensors
from utils.filesystem import atomic_open, read_json

_DIMENSIONS = {  # OpenAI's name: transformers'
    "n_mels": "num_mel_bins", "n_audio_ctx": "max_source_positions", "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads", "n_audio_layer": "encoder_layers", "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions", "n_text_state": "d_model", "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers"}


def write_openai_checkpoint(merged_dir: Path, path: Path) -> None:
    """Write a checkpoint that ``whisper.load_model(PATH)`` loads: sizes, weights in float16, alignment heads.

    ``whisper.load_model`` does not read ``alignment_heads``; for word times they are set with
    ``model.register_buffer("alignment_heads", checkpoint["alignment_heads"].to_sparse(), persistent=False)``.

    Args:
        merged_dir: whole Hugging Face directory, as stage 5 merges it.
        path: the file; it is complete or not there.

    Raises:
        UserError: the directory has no config.json or no weights.
    """
    config = read_json(merged_dir / "config.json", "Name a directory merged/ of stage 5")
    weights = {name: torch.from_numpy(values).half() for name, values in openai_tensors(merged_dir)}
    heads = torch.zeros(config["decoder_layers"], config["decoder_attention_heads"], dtype=torch.bool)
    for layer, head in read_json(merged_dir / "generation_config.json", "Export again").get("alignment_heads") or []:
        heads[layer, head] = True
    with atomic_open(path, "wb") as stream:
        torch.save({"dims": {ours: config[theirs] for ours, theirs in _DIMENSIONS.items()},
                    "model_state_dict": weights, "alignment_heads": heads}, stream)
    log(f"{path}: float16, {path.stat().st_size / 1e6:.0f} MB")


class OpenaiDecoder:
    """Decodes utterances with OpenAI's whisper package, at its window of 30 s; both tasks from one encoder pass.

    Raises:
        UserError: the package is not installed, or it cannot load the file.
    """

    def __init__(self, file: Path, beam_size: int, short: bool, threads: int) -> None:
        try:
            import whisper
        except ImportError:
            raise UserError("decoding with OpenAI's whisper needs a package: pip install -r "
                            "tools/requirements-export.txt") from None
        torch.set_num_threads(threads)
        try:
            self._model = whisper.load_model(str(file), device="cuda" if torch.cuda.is_available() else "cpu")
        except Exception as error:  # a damaged file raises one of many errors
            raise UserError(f"{file}: OpenAI's whisper cannot load it: {error}") from None
        self._beam_size = beam_size if beam_size > 1 else None

    def __call__(self, samples: np.ndarray, language: str, tasks: Sequence[str]) -> dict[str, str]:
        """Texts by task of an utterance, (num_samples,) at 16 kHz, at most 30 s."""
        import whisper

        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples.astype(np.float32)), self._model.dims.n_mels)
        encoded = self._model.embed_audio(mel.unsqueeze(0).to(self._model.device))
        texts = {}
        for task in tasks:
            options = whisper.DecodingOptions(task=task, language=language, beam_size=self._beam_size,
                                              without_timestamps=True, fp16=False)
            texts[task] = whisper.decode(self._model, encoded, options)[0].text.strip()
        return texts
