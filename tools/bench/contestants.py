"""The ways of decoding that benchmarks compare; each is prepared once, then called and timed.

Those at the top decode utterances (bench_decode.py), those below them one long recording (bench_transcribe.py).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faster_whisper import BatchedInferencePipeline, WhisperModel, decode_audio
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from utils.audio.constants import SAMPLE_RATE
from utils.config import Lists, PredictConfig
from utils.data.lists import TASKS, parse_key, write_list
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import decode_set, plan_batches
from utils.decode.ct2_decoder import Ct2Decoder
from utils.decode.decoder import Decoder
from utils.decode.transformers_decoder import TransformersDecoder
from utils.features.feature_set import open_set
from utils.features.log_mel import LogMel
from utils.model.checkpoints import load_base_model
from utils.score.metrics import METRICS, ScoringOptions, measure, pair_texts
from utils.transcribe.recognizer import Recognizer

Audio = Mapping[str, list[str]]  # audio file -> its keys
Run = Callable[[], dict[str, str]]  # -> hypothesis by key

_PAUSE = np.zeros(SAMPLE_RATE // 10, np.float32)  # between the utterances of a batched pipeline's recording


def ours_ct2(args: argparse.Namespace, audio: Audio, beam_size: int) -> Run:
    """This recipe's stage 5, without features on disk."""
    decoder = Ct2Decoder(args.ct2, load_tokenizer(args.ct2), beam_size=beam_size, device=args.device)
    return _ours(decoder, args.ct2, audio)


def ours_transformers(args: argparse.Namespace, audio: Audio, beam_size: int) -> Run:
    """This recipe's stage 4, without features on disk."""
    model = load_base_model(args.merged, _dtype(args.device)).to(args.device)
    return _ours(TransformersDecoder(model, load_tokenizer(args.merged), beam_size), args.merged, audio)


def _ours(decoder: Decoder, model_dir: Path, audio: Audio) -> Run:
    log_mel = LogMel(model_dir)

    def run() -> dict[str, str]:
        with tempfile.TemporaryDirectory() as directory:
            scp = Path(directory) / "wav.scp"
            write_list(scp, {key: source for source, keys in audio.items() for key in keys}, verbatim=True)
            utterances, read_feats = open_set(Lists(wav_scp=str(scp)), "wav_scp", log_mel)
            batches = plan_batches(utterances, decoder.max_frames, "short", PredictConfig.tail_frames)
            return decode_set(decoder, read_feats, batches)[0]

    return run


def faster_whisper_one_by_one(args: argparse.Namespace, audio: Audio, beam_size: int) -> Run:
    """What most users run: a call a file and task."""
    model = WhisperModel(str(args.ct2), device=args.device, cpu_threads=args.threads)

    def run() -> dict[str, str]:
        found = {}
        for key, source in _keys(audio):
            parsed = parse_key(key)
            segments, _ = model.transcribe(source, language=parsed.language, task=parsed.task, beam_size=beam_size,
                                           without_timestamps=True)
            found[key] = _joined(segment.text for segment in segments)
        return found

    return run


def faster_whisper_batched(args: argparse.Namespace, audio: Audio, beam_size: int) -> Run:
    """The pipeline takes one recording: all utterances of a language, and where each begins and ends."""
    pipeline = BatchedInferencePipeline(WhisperModel(str(args.ct2), device=args.device, cpu_threads=args.threads))

    def run() -> dict[str, str]:
        found: dict[str, str] = {}
        for (language, task), pairs in _groups(audio).items():
            clips = [decode_audio(source) for _, source in pairs]
            ends = np.cumsum([len(clip) + len(_PAUSE) for clip in clips]) / SAMPLE_RATE
            starts = [0.0, *ends[:-1]]
            places = [{"start": start, "end": start + len(clip) / SAMPLE_RATE}
                      for start, clip in zip(starts, clips, strict=True)]
            recording = np.concatenate([part for clip in clips for part in (clip, _PAUSE)])
            segments, _ = pipeline.transcribe(recording, language=language, task=task, beam_size=beam_size,
                                              batch_size=args.batch_size, clip_timestamps=places, vad_filter=False)
            texts: dict[str, list[str]] = {key: [] for key, _ in pairs}
            for segment in segments:
                texts[pairs[int(np.searchsorted(starts, segment.start + 1e-3)) - 1][0]].append(segment.text)
            found |= {key: _joined(parts) for key, parts in texts.items()}
        return found

    return run


def transformers_padded(args: argparse.Namespace, audio: Audio, beam_size: int) -> Run:
    """transformers' own generate: batches of one language and task, padded to 30 s."""
    model = WhisperForConditionalGeneration.from_pretrained(args.merged, dtype=_dtype(args.device)).to(args.device)
    extractor, tokenizer = WhisperFeatureExtractor.from_pretrained(args.merged), load_tokenizer(args.merged)

    def run() -> dict[str, str]:
        found: dict[str, str] = {}
        for (language, task), pairs in _groups(audio).items():
            for first in range(0, len(pairs), args.batch_size):
                batch = pairs[first:first + args.batch_size]
                features = extractor([decode_audio(source) for _, source in batch], sampling_rate=SAMPLE_RATE,
                                     return_tensors="pt").input_features.to(model.device, model.dtype)
                with torch.inference_mode():
                    tokens = model.generate(features, language=language, task=task, num_beams=beam_size)
                texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
                found |= {key: text.strip() for (key, _), text in zip(batch, texts, strict=True)}
        return found

    return run


def recognizer(args: argparse.Namespace, audio: np.ndarray) -> Run:
    """This recipe's: both tasks from one encoder pass."""
    recognize = Recognizer(args.ct2, device=args.device, beam_size=args.beam_size, window=args.window)

    def run() -> dict[str, str]:
        found = recognize(audio, TASKS, args.language)
        return {task: found.text(task) for task in TASKS}

    return run


def long_batched(args: argparse.Namespace, audio: np.ndarray) -> Run:
    """faster-whisper's batched pipeline, a pass a task."""
    pipeline = BatchedInferencePipeline(WhisperModel(str(args.ct2), device=args.device, cpu_threads=args.threads))
    return _two_passes(pipeline.transcribe, args, audio, batch_size=args.batch_size)


def long_sequential(args: argparse.Namespace, audio: np.ndarray) -> Run:
    """faster-whisper's other way: window by window, each with what was said before; a pass a task."""
    model = WhisperModel(str(args.ct2), device=args.device, cpu_threads=args.threads)
    return _two_passes(model.transcribe, args, audio)


def _two_passes(transcribe: Callable[..., Any], args: argparse.Namespace, audio: np.ndarray, **options: Any) -> Run:
    def run() -> dict[str, str]:
        found = {}
        for task in TASKS:
            segments, _ = transcribe(audio, language=args.language, task=task, beam_size=args.beam_size,
                                     vad_filter=True, **options)
            found[task] = _joined(segment.text for segment in segments)
        return found

    return run


def figures(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> dict[str, float]:
    """WER and BLEU over all languages, on normalised text."""
    utterances = pair_texts({key: references[key] for key in sorted(hypotheses)}, hypotheses)
    return {measurement.metric: METRICS[measurement.metric].score(measurement.statistics.sum(axis=0))
            for measurement in measure(utterances, ScoringOptions()) if measurement.metric in ("wer", "bleu")}


def _dtype(device: str) -> torch.dtype:
    return torch.float16 if device == "cuda" else torch.float32


def _keys(audio: Audio) -> list[tuple[str, str]]:
    return [(key, source) for source, keys in audio.items() for key in keys]


def _groups(audio: Audio) -> dict[tuple[str, str], list[tuple[str, str]]]:
    groups = defaultdict(list)
    for key, source in _keys(audio):
        parsed = parse_key(key)
        groups[parsed.language, parsed.task].append((key, source))
    return groups


def _joined(parts: Iterable[str]) -> str:
    return " ".join(" ".join(parts).split())
