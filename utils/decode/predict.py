"""Decoding a set as a configuration says, with transformers (stage 4) or with CTranslate2 (stage 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from utils.audio.constants import FRAMES_PER_SECOND
from utils.cli import log
from utils.config import Config, Lists, require_file
from utils.data.lists import write_list
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import Decoded, decode_searches, plan_batches
from utils.decode.bf16_encoder import Bf16EncoderDecoder
from utils.decode.ct2_conversion import as_ct2
from utils.decode.ct2_decoder import Ct2Decoder
from utils.decode.decode_directory import GREEDY, greedy_directory, part_directory, write_decode_directory
from utils.decode.decoder import Decoder
from utils.decode.process_memory import peak_mb, resident_mb
from utils.decode.transformers_decoder import TransformersDecoder
from utils.errors import UserError
from utils.features.feature_set import open_set
from utils.features.log_mel import LogMel
from utils.model.checkpoints import is_adapter, load_tuned_model
from utils.model.cpu_bf16 import bf16_gain, has_fast_bf16
from utils.train.records import tokens_fault


class Share(NamedTuple):
    """One of several jobs that decode a set together."""

    job: int  # from 1
    num_jobs: int


WHOLE = Share(1, 1)


def predict(config: Config, decode_dir: Path | None = None, system: str = "", set_name: str = "",
            share: Share = WHOLE, strength: float | None = None) -> dict[str, str]:
    """Decode predict.eval with predict.model_path through predict.backend, and write the hypotheses.

    Args:
        decode_dir: where ``text`` and decode.json go; None: hypotheses go to predict.result_file.
        system: the system's name in reports.
        set_name: the set's name in reports.
        share: which of several jobs this one is; it writes to its part of ``decode_dir``.
        strength: share of an adapter's trained weight; None: as its directory says.

    Returns:
        Hypotheses by key.

    Raises:
        UserError: a path is missing or a part does not fit.
    """
    _need_output(decode_dir, config.predict.result_file, "predict.result_file")
    model_path = require_file(config.predict.model_path, "predict.model_path")
    base_dir = require_file(config.model.model_path, "model.model_path") if is_adapter(model_path) else model_path
    if fault := tokens_fault(model_path, base_dir):
        log(f"warning: {fault}")
    info = {"system": system, "set": set_name, "model": str(model_path)}
    with _decoder_of(config, model_path, base_dir, decode_dir, share, strength) as (decoder, runtime):
        return _decode(decoder, config.predict.eval, "predict.eval", config, base_dir, info | runtime, decode_dir,
                       config.predict.result_file, share)


@contextmanager
def _decoder_of(config: Config, model_path: Path, base_dir: Path, decode_dir: Path | None, share: Share,
                strength: float | None) -> Iterator[tuple[Decoder, dict[str, Any]]]:
    """The decoder of a checkpoint, and what decode.json says of it."""
    device, dtype = best_device()
    tokenizer, beam_size = load_tokenizer(base_dir), config.predict.beam_size
    backend = config.predict.backend
    if backend == "auto":
        backend = "ctranslate2" if device.type == "cpu" else "transformers"
    if backend == "transformers":
        memory_before = resident_mb()
        model = load_tuned_model(model_path, base_dir, dtype, strength)
        model.to(device)  # type: ignore[arg-type]  # a decorator hides self
        yield TransformersDecoder(model, tokenizer, beam_size), {
            "backend": backend, "device": device.type, "compute_type": str(dtype).removeprefix("torch."),
            "memory_before_mb": memory_before}
        return
    directory = (decode_dir or Path(config.predict.result_file).parent) / f"model.{share.job}.partial"
    with as_ct2(model_path, base_dir, directory, strength) as converted:
        memory_before = resident_mb()
        if device.type == "cpu" and _encodes_in_bf16(config.predict.encoder_precision):
            encoder = load_tuned_model(model_path, base_dir, strength=strength).model.encoder
            decoder: Ct2Decoder = Bf16EncoderDecoder(encoder, converted, tokenizer, beam_size=beam_size)
        else:
            decoder = Ct2Decoder(converted, tokenizer, beam_size=beam_size)
        yield decoder, _ct2_runtime(decoder, memory_before)


def _encodes_in_bf16(precision: str) -> bool:
    """Whether the encoder computes in bf16, by predict.encoder_precision and, for ``auto``, by what this CPU has."""
    if precision == "auto" and (fast := has_fast_bf16()):
        log(f"encoding in bf16 (predict.encoder_precision): matrix products are {bf16_gain():.1f} times as fast as in "
            "float32 on this CPU")
        return fast
    return precision == "bf16"


def _ct2_runtime(decoder: Ct2Decoder, memory_before: float) -> dict[str, Any]:
    """What decode.json says of a CTranslate2 decoder; ``memory_before``: MB before it was loaded."""
    return {"backend": "ctranslate2", "device": decoder.device, "compute_type": decoder.compute_type,
            "memory_before_mb": memory_before}


def predict_ct2(config: Config, decode_dir: Path | None = None, system: str = "", set_name: str = "",
                share: Share = WHOLE) -> dict[str, str]:
    """Decode dev_env.dev with dev_env.ctranslate_model_path through CTranslate2, and write the hypotheses.

    The arguments are those of :func:`predict`; without ``decode_dir`` hypotheses go to dev_env.result_file.

    Returns:
        Hypotheses by key.

    Raises:
        UserError: a path is missing, or the machine lacks dev_env.conf's device or compute type.
    """
    _need_output(decode_dir, config.dev_env.result_file, "dev_env.result_file")
    memory_before = resident_mb()
    model_dir = require_file(config.dev_env.ctranslate_model_path, "dev_env.ctranslate_model_path")
    runtime = config.dev_env.conf
    decoder = Ct2Decoder(model_dir, load_tokenizer(model_dir), beam_size=config.predict.beam_size,
                         device=runtime.device, compute_type=runtime.compute_type)
    info = {"system": system, "set": set_name, "model": str(model_dir), **_ct2_runtime(decoder, memory_before)}
    return _decode(decoder, config.dev_env.dev, "dev_env.dev", config, model_dir, info, decode_dir,
                   config.dev_env.result_file, share)


def best_device() -> tuple[torch.device, torch.dtype]:
    """The device and precision in which transformers decodes: a GPU in float16 if there is one, else float32."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return device, torch.float16 if device.type == "cuda" else torch.float32


def _need_output(decode_dir: Path | None, result_file: str, key: str) -> None:
    if not decode_dir and not result_file:
        raise UserError(f"{key} is empty; say where the hypotheses should go")


def _decode(decoder: Decoder, lists: Lists, section: str, config: Config, features_of: Path, info: Mapping[str, Any],
            decode_dir: Path | None, result_file: str, share: Share) -> dict[str, str]:
    options = config.predict
    everything, read_feats = open_set(lists, section, LogMel(features_of))
    # Jobs get whole batches: an utterance's padding, and so the last digit of a score, depends on its batch.
    max_frames = min(options.max_frames, decoder.max_frames)
    batches = plan_batches(everything, max_frames, options.window,
                           options.tail_frames)[share.job - 1::share.num_jobs]
    utterances = [utterance for batch in batches for utterance in batch.utterances]
    beam_sizes = [options.beam_size]
    if options.also_greedy and decode_dir and options.beam_size > 1:
        beam_sizes.append(1)
    found = decode_searches(decoder, read_feats, batches, beam_sizes)
    hypotheses = found[options.beam_size].hypotheses
    keys = {key for utterance in utterances for key in utterance.keys}
    if lost := keys ^ hypotheses.keys():  # a fault of this program, not of the user's
        raise RuntimeError(f"{section}: {len(lost)} targets got lost in decoding, the first: {min(lost)}")
    audio_seconds = sum(utterance.num_frames for utterance in utterances) / FRAMES_PER_SECOND
    for beam_size, (_, seconds) in found.items():
        log(f"{len(keys)} targets = {len(hypotheses)} hypotheses; {len(utterances)} utterances, beam size {beam_size}, "
            f"{audio_seconds:.0f} s of audio in {seconds:.0f} s")
    if not decode_dir:
        write_list(result_file, hypotheses)
        return hypotheses
    n_keys = sum(len(utterance.keys) for utterance in everything)
    parts = {} if share == WHOLE else {"num_jobs": share.num_jobs, "n_keys": n_keys}
    _write_searches(found, options.beam_size, decode_dir, share, {
        **info, **parts, "audio_seconds": round(audio_seconds, 2), "peak_memory_mb": peak_mb(),
        "window": options.window, "max_frames": max_frames, "tail_frames": options.tail_frames})
    return hypotheses


def _write_searches(found: Mapping[int, Decoded], beam_size: int, decode_dir: Path, share: Share,
                    info: Mapping[str, Any]) -> None:
    """Write the search with ``beam_size`` into ``decode_dir``, and greedy search beside it, as a system of its own."""
    for size, (hypotheses, seconds) in found.items():
        of_search = {"system": info["system"], "seconds": round(seconds, 2), "beam_size": size}
        directory = decode_dir
        if size != beam_size:
            directory = greedy_directory(decode_dir)
            of_search["system"] += GREEDY
        if share != WHOLE:
            directory = part_directory(directory, share.job)
        write_decode_directory(directory, hypotheses, {**info, **of_search})
