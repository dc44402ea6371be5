"""whisper.cpp: writes a whole model as it reads it (ggml, float16 or quantized), and decodes with it.

The form is that of whisper.cpp's models/README.md: magic number, sizes, mel filters, tokens, then the tensors under
OpenAI's names. Values are quantized by the gguf package, which is ggml's own in Python.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from utils.audio.constants import POSITIONS_PER_SECOND, SAMPLE_RATE, WINDOW_SECONDS
from utils.cli import log
from utils.errors import UserError
from utils.export.openai_names import openai_tensors
from utils.filesystem import atomic_open, read_json

GGML_TYPES = ("f16", "q8_0", "q5_1", "q5_0")
_MAGIC = 0x67676D6C
_TENSOR_TYPES = {"f32": 0, "f16": 1, "q5_0": 6, "q5_1": 7, "q8_0": 8}  # of a tensor
_FILE_TYPES = {"f16": 1, "q8_0": 2007, "q5_0": 2008, "q5_1": 2009}  # of a file: 1000 times the version, and the type
_BLOCK = 32  # values that are quantized together; rows must be a multiple


def convert_to_ggml(merged_dir: Path, path: Path, ggml_type: str = "f16") -> None:
    """Write a ggml file from a whole Hugging Face directory, as stage 5 merges it.

    Args:
        merged_dir: has model.safetensors, config.json, preprocessor_config.json and the tokenizer.
        path: the file; it is complete or not there.
        ggml_type: one of GGML_TYPES.

    Raises:
        UserError: the type is not known, a file is missing, a size cannot be quantized, or gguf is not installed.
    """
    if ggml_type not in GGML_TYPES:
        raise UserError(f"--type {ggml_type}: use one of {' '.join(GGML_TYPES)}")
    if ggml_type != "f16":
        _quantized(np.zeros((1, _BLOCK), np.float32), ggml_type)  # before anything is written
    config = read_json(merged_dir / "config.json", "Name a directory merged/ of stage 5")
    if not config["encoder_ffn_dim"] == config["decoder_ffn_dim"] == 4 * config["d_model"]:
        raise UserError(f"{merged_dir}: its feed-forward layers are not 4 times as wide as d_model, as whisper.cpp "
                        "expects; OpenAI's sizes are")
    with atomic_open(path, "wb") as stream:
        _write_sizes(stream, config, ggml_type)
        _write_filters(stream, merged_dir)
        _write_tokens(stream, merged_dir)
        for name, values in openai_tensors(merged_dir):
            _write_tensor(stream, name, values, ggml_type)
    log(f"{path}: {ggml_type}, {path.stat().st_size / 1e6:.0f} MB")


def _write_sizes(stream: IO[bytes], config: dict[str, int], ggml_type: str) -> None:
    names = ("vocab_size", "max_source_positions", "d_model", "encoder_attention_heads", "encoder_layers",
             "max_target_positions", "d_model", "decoder_attention_heads", "decoder_layers", "num_mel_bins")
    stream.write(struct.pack("<12i", _MAGIC, *(config[name] for name in names), _FILE_TYPES[ggml_type]))


def _write_filters(stream: IO[bytes], merged_dir: Path) -> None:
    """The mel filters: mels, frequencies, values (mels, frequencies) in float32."""
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor.from_pretrained(merged_dir, local_files_only=True)
    filters = np.asarray(extractor.mel_filters, dtype="<f4").T
    stream.write(struct.pack("<2i", *filters.shape) + np.ascontiguousarray(filters).tobytes())


def _write_tokens(stream: IO[bytes], merged_dir: Path) -> None:
    """The bytes of each token of text, in the order of ids; whisper.cpp names the others itself."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    from utils.data.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(merged_dir)
    byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
    ids = {index: token for token, index in tokenizer.get_vocab().items() if index < tokenizer.eos_token_id}
    stream.write(struct.pack("<i", len(ids)))
    for index in range(len(ids)):
        data = bytes(byte_of[char] for char in ids[index])
        stream.write(struct.pack("<i", len(data)) + data)


def _write_tensor(stream: IO[bytes], name: str, values: np.ndarray, ggml_type: str) -> None:
    """A tensor: dimensions, length of the name, type; sizes from the last to the first; name; values."""
    if name.endswith((".conv1.bias", ".conv2.bias")):
        values = values[:, None]
    kind = "f32" if values.ndim < 2 or values.shape[1] == 1 or "positional" in name else \
        "f16" if values.ndim != 2 else ggml_type
    data = values.astype("<f4") if kind == "f32" else values.astype("<f2") if kind == "f16" else \
        _quantized(values, kind)
    text = name.encode()
    stream.write(struct.pack(f"<{3 + values.ndim}i", values.ndim, len(text), _TENSOR_TYPES[kind],
                             *reversed(values.shape)) + text + np.ascontiguousarray(data).tobytes())


def _quantized(values: np.ndarray, ggml_type: str) -> np.ndarray:
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import quantize
    except ImportError:
        raise UserError(f"--type {ggml_type} needs a package: pip install -r tools/requirements-export.txt") from None
    if values.shape[1] % _BLOCK:
        raise UserError(f"--type {ggml_type}: rows of {values.shape[1]} values are no multiple of {_BLOCK}; use f16")
    data: np.ndarray = quantize(values, GGMLQuantizationType[ggml_type.upper()])
    return data


class WhisperCppDecoder:
    """Decodes utterances with whisper.cpp (pywhispercpp).

    Args:
        file: a ggml file.
        short: whether it encodes only what is said (``audio_ctx``), for which models of this recipe are tuned.

    Raises:
        UserError: pywhispercpp is not installed, or it cannot load the file.
    """

    _TAIL = 25  # encoder positions (20 ms) of silence after the utterance, as in stage 4

    def __init__(self, file: Path, beam_size: int, short: bool, threads: int) -> None:
        try:
            from pywhispercpp.model import Model
        except ImportError:
            raise UserError("decoding with whisper.cpp needs a package: pip install -r "
                            "tools/requirements-export.txt") from None
        search: dict[str, Any] = {"beam_search": {"beam_size": beam_size, "patience": -1.0}} if beam_size > 1 else {}
        try:
            self._model = Model(str(file), params_sampling_strategy=int(beam_size > 1), n_threads=threads,
                                redirect_whispercpp_logs_to=None, print_progress=False, no_timestamps=True,
                                single_segment=True, no_context=True, temperature_inc=0.0, **search)
        except Exception as error:
            raise UserError(f"{file}: whisper.cpp cannot load it: {error}") from None
        self._short = short

    def __call__(self, samples: np.ndarray, language: str, tasks: Sequence[str]) -> dict[str, str]:
        """Texts by task of an utterance, (num_samples,) at 16 kHz, at most 30 s."""
        positions = round(WINDOW_SECONDS * POSITIONS_PER_SECOND)
        if self._short:
            seen = -(-len(samples) * POSITIONS_PER_SECOND // SAMPLE_RATE) + self._TAIL
            positions = min(positions, int(seen))
        # whisper.cpp ignores audio of less than a second.
        padded = np.pad(samples, (0, max(0, round(1.1 * SAMPLE_RATE) - len(samples)))).astype(np.float32)
        texts = {}
        for task in tasks:
            segments = self._model.transcribe(padded, language=language, translate=task == "translate",
                                              audio_ctx=positions)
            texts[task] = " ".join("".join(segment.text for segment in segments).split())
        return texts
