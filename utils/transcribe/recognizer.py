"""Transcription and translation of recordings of any length with an exported model, in one encoder pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.constants import FULL_WINDOW, SAMPLE_RATE, WINDOW_SECONDS
from utils.audio.voice_activity import SpeechSpan, find_speech, merge_spans
from utils.data.languages import is_spaceless, language_code, text_language
from utils.data.lists import TASKS
from utils.data.prompts import hotword_ids
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import Batch, plan_batches
from utils.decode.ct2_decoder import Ct2Decoder, resolve_runtime
from utils.errors import UserError
from utils.features.feature_set import Utterance, stack_feats
from utils.features.log_mel import LogMel
from utils.model.ct2_directory import read_window, require_ct2_files, require_num_mels
from utils.transcribe.details import TextDetails, describe_text
from utils.transcribe.spoken_languages import EACH, languages_of, likeliest_language

_MAX_GAP_SECONDS = 0.6  # a longer silence ends a segment where the encoder takes short windows
_TAIL_FRAMES = 50  # of silence after a batch's longest segment, as stage 5 has them


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording.

    Attributes:
        start, end: seconds.
        texts: by task.
        details: of the texts, by task, if they were asked for.
        language: Whisper's code of what is spoken; "" if it is not known.
        speaker: whose channel it is; "" if channels were mixed.
    """

    start: float
    end: float
    texts: dict[str, str]
    details: dict[str, TextDetails] = field(default_factory=dict)
    language: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Recognition:
    """The result for one recording.

    Attributes:
        language: Whisper's code, of most of the speech; "" if nobody speaks and no language was given.
        language_probability: 1 if the language was given.
        duration: of the recording, in seconds.
        segments: the stretches with speech, in order.
    """

    language: str
    language_probability: float
    duration: float
    segments: list[Segment]

    def text(self, task: str) -> str:
        """All of it for one task, segments joined as the text's language is written: see :func:`join_texts`."""
        languages = {segment.language or self.language for segment in self.segments}
        language = text_language(self.language, task) if len(languages) < 2 else ""
        return join_texts((segment.texts[task] for segment in self.segments), language)


def join_texts(texts: Iterable[str], language: str) -> str:
    """Texts of segments as one. In languages written without spaces, only words in Latin letters get one between them.

    Args:
        language: Whisper code of the texts, "" if it is not known.
    """
    joined = ""
    for text in filter(None, texts):
        apart = not is_spaceless(language) or (joined[-1:] + text[0]).isascii()
        joined += f" {text}" if joined and apart else text
    return joined


class Recognizer:
    """Recognizes with an exported model, or any other that faster-whisper takes; threads may call it at once.

    Args:
        model_dir: a CTranslate2 Whisper directory with its tokenizer.json.
        device, compute_type: ``auto`` takes the GPU if there is one, and the type that the model was saved in.
        hotwords: names and products that are likely to be said.
        window: ``short`` encodes without padding, ``full`` pads to Whisper's 30 s; ``auto`` is ``short`` if the model's
            directory says that it was tuned so.

    Raises:
        UserError: the directory is no multilingual CTranslate2 Whisper, or this machine lacks the device or type.
    """

    def __init__(self, model_dir: str | Path, *, device: str = "auto", compute_type: str = "auto", beam_size: int = 1,
                 hotwords: str = "", window: str = "auto") -> None:
        model_dir = Path(model_dir)
        require_ct2_files(model_dir)
        device, compute_type = resolve_runtime(device, compute_type)
        self.window = window if window != "auto" else read_window(model_dir)
        tokenizer = load_tokenizer(model_dir)
        self._decoder = Ct2Decoder(model_dir, tokenizer, beam_size=beam_size, device=device, compute_type=compute_type,
                                   before_prompt=hotword_ids(tokenizer, hotwords))
        require_num_mels(model_dir, self._decoder.model.n_mels)
        self._log_mel = LogMel(model_dir, num_mels=self._decoder.model.n_mels)

    def __call__(self, audio: np.ndarray, tasks: Sequence[str] = TASKS, language: str | None = None,
                 on_progress: Callable[[float], None] | None = None, details: bool = False) -> Recognition:
        """Recognize a recording.

        Args:
            audio: (samples,) float32 at 16 kHz, mono.
            tasks: one or both of ``transcribe`` and ``translate``.
            language: any name or code that Whisper knows; None: one language is detected for the whole recording;
                ``EACH``: one for each segment, with another encoder pass.
            on_progress: is called in the caller's thread with the share of the speech that is done, up to 1. An
                exception that it raises ends the work and reaches the caller.
            details: align the texts with the audio, for times of words and probabilities.

        Raises:
            UserError: unknown language or task, or the audio is empty, not mono, or has NaN or infinite samples.
        """
        _check(audio, tasks)
        code = known_language(language) if language and language != EACH else None
        duration = len(audio) / SAMPLE_RATE
        spans = self._spans(audio)
        if not spans:
            return Recognition(code or "", float(code is not None), duration, [])
        frames = [self._log_mel.num_frames(span.end - span.start) for span in spans]
        utterances = [Utterance(str(index), count) for index, count in enumerate(frames)]

        def feats_of(batch: Batch) -> list[np.ndarray]:
            places = (spans[int(utterance.source)] for utterance in batch.utterances)
            return [self._log_mel(audio[place.start:place.end]) for place in places]

        batches = plan_batches(utterances, self._budget(frames), self.window, _TAIL_FRAMES)
        encoded, probability = None, 1.0
        codes = [code or ""] * len(spans)
        if language == EACH:
            codes, code, probability = self._languages_of_segments(batches, feats_of, frames)
        elif code is None:  # from the longest segments, whose encoder outputs are used again
            encoded = self._encode(feats_of(batches[0]), batches[0])
            code, probability = likeliest_language(self._language_shares(encoded),
                                                   [utterance.num_frames for utterance in batches[0].utterances])
            codes = [code] * len(spans)
        for utterance, own in zip(utterances, codes, strict=True):
            utterance.keys = [f"{utterance.source}|{own}|{task}" for task in tasks]
        work = [partial(self._decode, batch, feats_of, None if index else encoded)
                for index, batch in enumerate(batches)]
        texts = self._run(work, [len(batch.utterances) for batch in batches], on_progress)
        segments = [Segment(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE,
                            {task: texts[f"{index}|{own}|{task}"] for task in tasks}, language=own)
                    for index, (span, own) in enumerate(zip(spans, codes, strict=True))]
        if details:
            with ThreadPoolExecutor(self._decoder.workers) as pool:
                segments = list(pool.map(partial(self._describe, audio), segments, spans))
        return Recognition(code, probability, duration, segments)

    def _describe(self, audio: np.ndarray, segment: Segment, span: SpeechSpan) -> Segment:
        feats = self._log_mel(audio[span.start:span.end])
        num_frames = FULL_WINDOW if self.window == "full" else min(FULL_WINDOW, len(feats) + _TAIL_FRAMES)
        encoded = self._decoder.encode(stack_feats([feats], num_frames).numpy())
        keys = {task: f"any|{segment.language}|{task}" for task in segment.texts}
        return replace(segment, details={
            task: describe_text(self._decoder, encoded, len(feats), keys[task], text, segment.start)
            for task, text in segment.texts.items()})

    def _spans(self, audio: np.ndarray) -> list[SpeechSpan]:
        speech = find_speech(audio)
        gap = WINDOW_SECONDS if self.window == "full" else _MAX_GAP_SECONDS
        return merge_spans(speech, WINDOW_SECONDS, gap)

    def _budget(self, frames: list[int]) -> int:
        """The most frames in a batch: few enough for several batches per worker, so that all end at the same time."""
        total = FULL_WINDOW * len(frames) if self.window == "full" else sum(frames)
        return min(self._decoder.max_frames, max(FULL_WINDOW, total // (4 * self._decoder.workers)))

    def _encode(self, feats: list[np.ndarray], batch: Batch) -> Any:
        return self._decoder.encode(stack_feats(feats, batch.num_frames).numpy())

    def _language_shares(self, encoded: Any) -> list[dict[str, float]]:
        """The probability of each language, of each segment of a batch."""
        return [{token.strip("<|>"): probability for token, probability in found}
                for found in self._decoder.model.detect_language(encoded)]

    def _languages_of_segments(self, batches: Sequence[Batch], feats_of: Callable[[Batch], list[np.ndarray]],
                               frames: Sequence[int]) -> tuple[list[str], str, float]:
        """The language of each segment; and the one of most of the speech, with its probability."""
        shares: dict[int, dict[str, float]] = {}
        for batch in batches:
            found = self._language_shares(self._encode(feats_of(batch), batch))
            shares |= dict(zip((int(utterance.source) for utterance in batch.utterances), found, strict=True))
        in_order = [shares[number] for number in range(len(frames))]
        return languages_of(in_order, frames), *likeliest_language(in_order, frames)

    def _decode(self, batch: Batch, feats_of: Callable[[Batch], list[np.ndarray]], encoded: Any) -> dict[str, str]:
        return self._decoder(batch.utterances, feats_of(batch), batch.num_frames, encoded)

    def _run(self, work: Sequence[Callable[[], dict[str, str]]], sizes: Sequence[int],
             on_progress: Callable[[float], None] | None) -> dict[str, str]:
        """Texts by key of all batches; as many run at once as the decoder has workers."""
        texts: dict[str, str] = {}
        done_so_far = 0
        with ThreadPoolExecutor(self._decoder.workers) as pool:
            size_of = {pool.submit(call): size for call, size in zip(work, sizes, strict=True)}
            pending = set(size_of)
            try:
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        texts |= future.result()
                        done_so_far += size_of[future]
                    if on_progress:
                        on_progress(done_so_far / sum(sizes))
            finally:
                for future in pending:
                    future.cancel()
        return texts


def _check(audio: np.ndarray, tasks: Iterable[str]) -> None:
    if audio.ndim != 1 or not len(audio):
        raise UserError(f"audio must be mono and not empty: its shape is {audio.shape}, not (samples,)")
    if not np.isfinite(audio).all():
        raise UserError("the audio has NaN or infinite samples; write it again from its source")
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise UserError(f"task {', '.join(unknown) or 'missing'}: must be {' or '.join(TASKS)}")


def known_language(name: str) -> str:
    """Whisper's code of a language given by name or code.

    Raises:
        UserError: Whisper does not know it.
    """
    try:
        return language_code(name)
    except ValueError as error:
        raise UserError(str(error)) from None
