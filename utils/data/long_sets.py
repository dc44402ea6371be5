"""Long sets: recordings joined from the utterances of a set, as a Kaldi data directory with segments.

A model is used on recordings, so it should be measured on some. Where a corpus has none, utterances of one speaker and
language are joined with pauses. The times of the utterances in them are known exactly.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from utils.audio.constants import SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.data.lists import keys_by_audio, parse_key, read_list, write_list
from utils.data.segments import SEGMENTS, TimeSpan, read_recordings, read_segments, read_sources, write_segments
from utils.data.silent_references import read_spoken_texts
from utils.errors import UserError
from utils.filesystem import atomic_directory

_PAUSE = (0.2, 2.0)  # seconds between utterances
_SEED = 777


def write_long_set(set_dir: Path, long_dir: Path, seconds: float, per_language: int) -> int:
    """Write recordings of ``set_dir`` as a set: ``long_dir``/{wav.scp,segments,text}.

    A set with segments has recordings: the first ones of each language, by name. Of another one, utterances are joined
    into ``long_dir``/audio/*.flac: only those that have all tasks of their language. A hash of their keys orders them,
    so the recordings are the same on every machine.

    Args:
        set_dir: a set's directory, as stage 1 merges it: wav.scp, text and, if it is there, utt2spk.
        seconds: length of a joined recording, about.
        per_language: number of recordings of each language; fewer if there are not enough utterances.

    Returns:
        The number of recordings.

    Raises:
        UserError: a list is missing, or there is nothing to join.
    """
    if (set_dir / SEGMENTS).is_file():
        return _first_recordings(set_dir, long_dir, per_language)
    text = read_spoken_texts(set_dir / "text")
    spoken = keys_by_audio({key: source for key, source in read_sources(set_dir / "wav.scp").items() if key in text})
    speakers = read_list(set_dir / "utt2spk") if (set_dir / "utt2spk").is_file() else {}
    scp: dict[str, str] = {}
    segments: dict[str, TimeSpan] = {}
    with atomic_directory(long_dir) as partial:
        (partial / "audio").mkdir()
        for name, sources in _recordings(spoken, speakers, seconds, per_language):
            audio, spans = join_with_pauses([load_audio(source) for source in sources], name)
            soundfile.write(partial / "audio" / f"{name}.flac", audio, SAMPLE_RATE)
            scp[name] = str(long_dir / "audio" / f"{name}.flac")
            for source, span in zip(sources, spans, strict=True):
                segments |= dict.fromkeys(spoken[source], span)
        if not scp:
            raise UserError(f"{set_dir}: nothing to join into recordings: no two utterances of one speaker and "
                            "language have all of its tasks. Leave the set out: --long-set \"\"")
        write_segments(partial, scp, segments)
        write_list(partial / "text", {key: text[key] for key in segments})
    return len(scp)


def _first_recordings(set_dir: Path, long_dir: Path, per_language: int) -> int:
    """Write the lists of the first recordings of each language; returns their number."""
    text, scp = read_spoken_texts(set_dir / "text"), read_recordings(set_dir / "wav.scp")
    spans = {key: span for key, span in read_segments(set_dir / SEGMENTS).items() if key in text}
    of_language: defaultdict[str, set[str]] = defaultdict(set)
    for key, span in spans.items():
        of_language[parse_key(key).language].add(span.recording)
    chosen = {name for names in of_language.values() for name in sorted(names)[:per_language]}
    spans = {key: span for key, span in spans.items() if span.recording in chosen}
    with atomic_directory(long_dir) as partial:
        write_segments(partial, {name: scp[name] for name in chosen}, spans)
        write_list(partial / "text", {key: text[key] for key in spans})
    return len(chosen)


def _recordings(spoken: Mapping[str, Sequence[str]], speakers: Mapping[str, str], seconds: float,
                per_language: int) -> Iterator[tuple[str, list[str]]]:
    """Names and sources of recordings, each of one speaker and language."""
    tasks_of: defaultdict[str, set[str]] = defaultdict(set)
    for keys in spoken.values():
        for key in map(parse_key, keys):
            tasks_of[key.language].add(key.task)
    counts = Counter(speakers.values())
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for source, keys in spoken.items():
        parsed = [parse_key(key) for key in keys]
        kinds = {(parsed[0].language, task) for task in tasks_of[parsed[0].language]}
        if {(key.language, key.task) for key in parsed} == kinds:
            speaker = speakers.get(keys[0], "")
            groups[parsed[0].language, speaker if counts[speaker] > len(keys) else ""].append(source)
    numbers: Counter[str] = Counter()
    for (language, _), sources in sorted(groups.items()):
        if len(sources) < 2:
            continue
        sources.sort(key=lambda source: hashlib.sha256(spoken[source][0].encode()).digest())
        for some in _pieces(sources, seconds):
            if numbers[language] == per_language:
                break
            numbers[language] += 1
            yield f"{language}-{numbers[language]}", some


def _pieces(sources: Sequence[str], seconds: float) -> Iterator[list[str]]:
    """Sources in pieces of about ``seconds`` with their pauses; a shorter one only if it is the first."""
    piece, length, count = list[str](), 0.0, 0
    for source in sources:
        piece.append(source)
        length += len(load_audio(source)) / SAMPLE_RATE + sum(_PAUSE) / 2
        if length >= seconds:
            yield piece
            piece, length, count = [], 0.0, count + 1
    if not count and len(piece) > 1:
        yield piece


def join_with_pauses(parts: Sequence[np.ndarray], name: str) -> tuple[np.ndarray, list[TimeSpan]]:
    """Join utterances (samples,) into a recording, with a pause before each.

    The pauses, 0.2 to 2 s, depend on nothing but the recording's name.

    Returns:
        (samples,) of the recording, and the times of its parts.
    """
    rng = np.random.default_rng([_SEED, *name.encode()])
    pieces, spans, length = list[np.ndarray](), list[TimeSpan](), 0
    for part in parts:
        pause = np.zeros(round(rng.uniform(*_PAUSE) * 100) * SAMPLE_RATE // 100, np.float32)
        start = length + len(pause)
        length = start + len(part)
        pieces += [pause, part]
        spans.append(TimeSpan(name, start / SAMPLE_RATE, length / SAMPLE_RATE))
    return np.concatenate(pieces), spans
