"""The accuracy of an export's word times, measured on recordings that are joined at known places.

Runtimes derive word times from the cross-attention of a few heads, the model's ``alignment_heads``, by dynamic time
warping (as in openai/whisper's ``timing.py``). Tuning can change these heads. No corpus here has word times made by
hand, so recordings of one language are joined with silence between them: the boundary between the last word of one and
the first word of the next must lie in that silence. (Runtimes leave no gap between words; with whisper-base the
boundary is where the silence begins.) The transcripts are given, so that models are compared on the same words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from utils.audio.constants import POSITIONS_PER_SECOND, SAMPLE_RATE, WINDOW_SECONDS
from utils.audio.loading import load_audio
from utils.audio.voice_activity import speech_bounds
from utils.data.lists import parse_key
from utils.data.segments import read_sources
from utils.data.silent_references import read_spoken_texts
from utils.errors import UserError

CLOSE = 0.2  # seconds: an error that does not disturb in subtitles
_MAX_JOINED = 5
_PAUSES = (0.4, 1.2)  # seconds
_MAX_TOKENS = 200  # of a clip; the decoder has 448 positions

Bounds = Callable[[np.ndarray], "tuple[int, int] | None"]


@dataclass(frozen=True)
class Clip:
    """Recordings of one language, joined.

    Attributes:
        key: of the first one; its language and task are the clip's.
        samples: (samples,) float32 at 16 kHz.
        texts: what is said, recording by recording.
        onsets: second at which each recording's speech begins.
        pauses: seconds of silence before each.
    """

    key: str
    samples: np.ndarray
    texts: list[str]
    onsets: list[float]
    pauses: list[float]


@dataclass(frozen=True)
class WordTimes:
    """The distances of word boundaries from the silence between recordings, in which they should lie."""

    errors: np.ndarray  # seconds, one for each recording but a clip's first; 0: in the silence, negative: before it

    @property
    def mean(self) -> float:
        return float(np.mean(np.abs(self.errors)))

    @property
    def share_close(self) -> float:
        """The share of boundaries that lie at most CLOSE seconds outside the silence, 0 to 1."""
        return float(np.mean(np.abs(self.errors) <= CLOSE))


def join_recordings(data_dir: Path, n_clips: int, seed: int = 0, bounds: Bounds = speech_bounds) -> list[Clip]:
    """At most ``n_clips`` clips of up to 30 s, from a data directory's transcribed recordings, languages in turn.

    Recordings that cannot be read, ``command |`` entries and those without speech are left out.

    Raises:
        UserError: the directory has no wav.scp or text, or a line there is wrong.
    """
    audio, texts = read_sources(data_dir / "wav.scp"), read_spoken_texts(data_dir / "text")
    rng = random.Random(seed)
    by_language: dict[str, list[str]] = {}
    for key in sorted(texts.keys() & audio.keys()):
        if (parsed := parse_key(key)).task == "transcribe" and texts[key].strip():
            by_language.setdefault(parsed.language, []).append(key)
    sources = []
    for keys in by_language.values():
        rng.shuffle(keys)
        sources.append(_clips_of_language(keys, audio, texts, bounds, rng))
    clips: list[Clip] = []
    while sources and len(clips) < n_clips:
        source = sources.pop(0)
        if (clip := next(source, None)) is not None:
            clips.append(clip)
            sources.append(source)
    return clips


def _clips_of_language(keys: Sequence[str], audio: Mapping[str, str], texts: Mapping[str, str], bounds: Bounds,
                       rng: random.Random) -> Iterator[Clip]:
    joined: list[tuple[str, np.ndarray]] = []
    for key in keys:
        speech = _speech(audio[key], bounds)
        if speech is None:
            continue
        seconds = sum(len(samples) / SAMPLE_RATE + _PAUSES[1] for _, samples in [*joined, (key, speech)])
        if seconds > WINDOW_SECONDS or len(joined) == _MAX_JOINED:
            if len(joined) > 1:
                yield _join(joined, texts, rng)
            joined = []
        joined.append((key, speech))
    if len(joined) > 1:
        yield _join(joined, texts, rng)


def _speech(source: str, bounds: Bounds) -> np.ndarray | None:
    try:
        samples = load_audio(source)
    except UserError:  # stage 1 has reported or dropped it
        return None
    found = bounds(samples)
    return samples[found[0]:found[1]] if found else None


def _join(joined: Sequence[tuple[str, np.ndarray]], texts: Mapping[str, str], rng: random.Random) -> Clip:
    parts: list[np.ndarray] = []
    onsets, pauses, length = [], [], 0
    for _, samples in joined:
        pause = np.zeros(round(rng.uniform(*_PAUSES) * SAMPLE_RATE), np.float32)
        onsets.append((length + len(pause)) / SAMPLE_RATE)
        pauses.append(len(pause) / SAMPLE_RATE)
        parts += [pause, samples / max(float(np.abs(samples).max()), 1e-6) / 2]
        length += len(pause) + len(samples)
    return Clip(joined[0][0], np.concatenate(parts), [texts[key] for key, _ in joined], onsets, pauses)


def measure_word_times(model_dir: Path, clips: Sequence[Clip]) -> WordTimes:
    """Measure a CTranslate2 directory's word times, as faster-whisper's ``word_timestamps=True`` computes them.

    The texts are given. Clips of more than 200 tokens are left out.

    Raises:
        UserError: the directory cannot be loaded.
    """
    import ctranslate2

    from utils.audio.constants import FULL_WINDOW
    from utils.data.prompts import prompt_ids, text_ids
    from utils.data.tokenizer import load_tokenizer
    from utils.decode.ct2_decoder import Ct2Decoder
    from utils.features.log_mel import LogMel, pad_frames

    tokenizer, log_mel = load_tokenizer(model_dir), LogMel(model_dir)
    decoder = Ct2Decoder(model_dir, tokenizer)

    def errors(clip: Clip) -> list[float]:
        tokens = [text_ids(tokenizer, clip.key, text) for text in clip.texts]
        if sum(map(len, tokens)) > _MAX_TOKENS:
            return []
        feats = log_mel(clip.samples)
        window = np.ascontiguousarray(pad_frames(feats, FULL_WINDOW).T[None])
        start = prompt_ids(tokenizer, clip.key)[:3]  # the runtime adds <|notimestamps|>
        result, = decoder.model.align(ctranslate2.StorageView.from_array(window), start, [[*chain(*tokens)]],
                                      len(feats))
        return boundary_errors(result.alignments, [len(text_tokens) for text_tokens in tokens], clip)

    with ThreadPoolExecutor(decoder.workers) as pool:
        return WordTimes(np.array([*chain(*pool.map(errors, clips))]))


def boundary_errors(path: Sequence[tuple[int, int]], lengths: Sequence[int], clip: Clip) -> list[float]:
    """Seconds from the silence before each recording to the boundary of its first word; 0: in it, negative: before it.

    A clip's first recording is left out, because every path begins at position 0.

    Args:
        path: (token, encoder position) pairs of the alignment.
        lengths: number of tokens of each recording.
    """
    starts: dict[int, int] = {}
    for token, position in path:
        starts.setdefault(token, position)
    errors = []
    for first, onset, pause in zip(np.cumsum(lengths)[:-1].tolist(), clip.onsets[1:], clip.pauses[1:], strict=True):
        if first in starts:
            late = starts[first] / POSITIONS_PER_SECOND - onset
            errors.append(max(late, 0.0) + min(late + pause, 0.0))
    return errors
