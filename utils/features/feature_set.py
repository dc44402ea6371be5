"""The utterances of a set, their keys, features and batches, for training and for decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from utils.audio.loading import audio_seconds, load_audio
from utils.audio.sources import is_pipe
from utils.config import Lists, require_file
from utils.data.lists import keys_by_audio, read_list
from utils.data.segments import read_sources
from utils.errors import UserError
from utils.features.ark import read_ark
from utils.features.log_mel import LogMel, pad_frames


@dataclass
class Utterance:
    """An audio file and its keys. ``source`` is an offset in an ark (``file.ark:offset``) or the source of audio."""

    source: str
    num_frames: int
    keys: list[str] = field(default_factory=list)


def open_set(lists: Lists, section: str, log_mel: LogMel) -> tuple[list[Utterance], Callable[[str], np.ndarray]]:
    """Return the utterances of a set, in order of their first key, and the function that reads an utterance's features.

    The function takes an utterance's ``source`` and returns (frames, num_mels) float32: from ``feats_scp`` (with
    ``utt2num_frames`` beside it) if that is given, else computed from ``wav_scp`` (with
    Kaldi's ``segments`` beside it, if there are any) when it is called.

    Args:
        section: the lists' section of the configuration, for messages.

    Raises:
        UserError: a list is missing or wrong, or an utterance has no length or is longer than 30 s.
    """
    if lists.feats_scp:
        scp = require_file(lists.feats_scp, f"{section}.feats_scp")
        frames = read_list(scp.with_name("utt2num_frames"))
        utterances = _group(read_list(scp, verbatim=True), lambda key, _: _frames_of(frames, key, scp))
        return utterances, partial(read_ark, num_mels=log_mel.num_mels)
    scp = require_file(lists.wav_scp, f"{section}.wav_scp")
    return (_group(read_sources(scp), lambda _, source: _frames_of_audio(log_mel, source, scp)),
            lambda source: log_mel(load_audio(source)))


def _frames_of(frames: dict[str, str], key: str, scp: Path) -> int:
    if not frames.get(key, "").isdecimal():
        raise UserError(f"{scp.with_name('utt2num_frames')}: no number for {key}, which {scp} has; run stage 2 again")
    return int(frames[key])


def _frames_of_audio(log_mel: LogMel, source: str, scp: Path) -> int:
    if is_pipe(source):
        raise UserError(f"{scp}: {source}: is a command, which only stage 2 runs. Dump features with "
                        "pyscripts/dump_feats.py --allow-pipes true, and give their feats_scp instead of wav_scp")
    samples = round(audio_seconds(source) * log_mel.sampling_rate)
    if samples > log_mel.max_samples:
        raise UserError(f"{scp}: {source}: {samples / log_mel.sampling_rate:.2f} s; Whisper takes at most "
                        f"{log_mel.max_samples / log_mel.sampling_rate:g} s. Cut the utterance into shorter ones")
    return log_mel.num_frames(samples)


def _group(sources: dict[str, str], num_frames: Callable[[str, str], int]) -> list[Utterance]:
    return [Utterance(source, num_frames(keys[0], source), keys) for source, keys in keys_by_audio(sources).items()]


def stack_feats(feats: Sequence[np.ndarray], num_frames: int) -> torch.Tensor:
    """Stack matrices (frames, num_mels), each padded with its own silence, to (batch, num_mels, num_frames).

    The result is longer than ``num_frames`` if a matrix is: the length in an audio header can be off by a frame.
    """
    num_frames = max(num_frames, *(len(matrix) for matrix in feats))
    return torch.from_numpy(np.stack([pad_frames(matrix, num_frames).T for matrix in feats]))


def pack(order: Sequence[int], num_frames: Sequence[float], max_frames: int, max_utterances: int = 0,
         min_fill: float = 0.0) -> list[list[int]]:
    """Cut ``order`` into batches of at most ``max_frames`` frames, with padding to the longest utterance.

    An utterance longer than ``max_frames`` is a batch of its own.

    Args:
        order: utterance indices.
        num_frames: length of each utterance.
        max_utterances: limit of the utterances in a batch; 0: no limit.
        min_fill: the shortest utterance of a batch has at least this share of the longest one's frames.
    """
    batches: list[list[int]] = []
    longest = shortest = 0.0
    for index in order:
        longest, shortest = max(longest, num_frames[index]), min(shortest, num_frames[index])
        full = batches and (longest * (len(batches[-1]) + 1) > max_frames or shortest < min_fill * longest
                            or len(batches[-1]) == max_utterances > 0)
        if not batches or full:
            batches.append([])
            longest = shortest = num_frames[index]
        batches[-1].append(index)
    return batches
