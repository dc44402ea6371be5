"""Forms of an export for other programs than CTranslate2, each decoded in its own runtime.

A new form is a module beside this one and a line in ``FORMS``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.cli import progress
from utils.data.lists import keys_by_audio, parse_key, read_list
from utils.data.segments import read_sources
from utils.decode.decode_directory import write_decode_directory
from utils.decode.process_memory import peak_mb, resident_mb
from utils.errors import UserError
from utils.export.openai_checkpoint import OpenaiDecoder, write_openai_checkpoint
from utils.export.whisper_cpp import GGML_TYPES, WhisperCppDecoder, convert_to_ggml


class UtteranceDecoder(Protocol):
    """Decodes utterances in a runtime."""

    def __call__(self, samples: np.ndarray, language: str, tasks: Sequence[str]) -> dict[str, str]:
        """Texts by task of (num_samples,) at 16 kHz, at most 30 s."""


class Form(NamedTuple):
    """A form of an export.

    Attributes:
        file: the name of its file.
        write: writes it from a whole model's directory.
        decoder: opens it: file, beam size, whether to encode the utterance's length only, threads.
    """

    file: str
    write: Callable[[Path, Path], None]
    decoder: Callable[[Path, int, bool, int], UtteranceDecoder]


FORMS = {
    **{f"ggml-{kind}": Form("ggml-model.bin", partial(convert_to_ggml, ggml_type=kind), WhisperCppDecoder)
       for kind in GGML_TYPES},
    "openai": Form("model.pt", write_openai_checkpoint, OpenaiDecoder),
}


def form_named(name: str) -> Form:
    """The form of this name.

    Raises:
        UserError: there is none.
    """
    if name not in FORMS:
        raise UserError(f"there is no form {name} of an export; there are {', '.join(FORMS)}")
    return FORMS[name]


def decode_form(name: str, model_dir: Path, data_dir: Path, decode_dir: Path, *, beam_size: int, short: bool,
                threads: int) -> int:
    """Decode a set with an export, and write a decode directory as stage 5 does for CTranslate2.

    Args:
        name: of the form.
        model_dir: where its file is.
        data_dir: has wav.scp and text, keys ``id|language|task``, and segments if there are any.
        short: encode only what is said, where the runtime can.

    Returns:
        The number of hypotheses.

    Raises:
        UserError: a list is missing or wrong, or the runtime is not installed or cannot load the file.
    """
    form = form_named(name)
    sources, texts = read_sources(data_dir / "wav.scp"), read_list(data_dir / "text")
    if missing := [key for key in texts if key not in sources]:
        raise UserError(f"{data_dir}/wav.scp: no line for {missing[0]}, which text has; run stage 1 again")
    before = resident_mb()
    decode = form.decoder(model_dir / form.file, beam_size, short, threads)
    hypotheses: dict[str, str] = {}
    seconds = audio_seconds = 0.0
    by_audio = keys_by_audio({key: sources[key] for key in texts})
    for source, keys in progress(by_audio.items(), name, len(by_audio), "utterance"):
        samples = load_audio(source)
        tasks: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            tasks[parse_key(key).language].append(key)
        began = time.perf_counter()
        for language, own in tasks.items():
            found = decode(samples, language, [parse_key(key).task for key in own])
            hypotheses |= {key: found[parse_key(key).task] for key in own}
        seconds += time.perf_counter() - began
        audio_seconds += len(samples) / SAMPLE_RATE
    write_decode_directory(decode_dir, hypotheses, {
        "system": name, "set": data_dir.name, "model": str(model_dir), "backend": name, "compute_type": name,
        "beam_size": beam_size, "window": "short" if short else "full", "seconds": round(seconds, 2),
        "audio_seconds": round(audio_seconds, 2), "memory_before_mb": before, "peak_memory_mb": peak_mb()})
    return len(hypotheses)
