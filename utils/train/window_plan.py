"""What the windows of a training are made from: options, seed, speakers, neighbours in recordings, noises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.audio.constants import SAMPLE_RATE, WINDOW_SECONDS
from utils.augment.no_speech import noise, noise_files
from utils.config import WindowOptions
from utils.data.lists import read_list
from utils.data.segments import read_segments
from utils.data.silent_references import NO_SPEECH
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.features.log_mel import LogMel
from utils.train.windows import Chain, Window, recorded_chains


@dataclass(frozen=True)
class WindowPlan:
    """What the windows are made from.

    Attributes:
        speakers: of each utterance; "" if unknown.
        recorded: neighbours in recordings.
        files: recorded noises.
        silent: the utterances in which nobody speaks, by number; they are in no joined window.
        balance: temperature, see :mod:`utils.train.balance`.
    """

    options: WindowOptions
    seed: int
    speakers: Sequence[str]
    log_mel: LogMel
    recorded: Sequence[Chain] = ()
    files: Sequence[Path] = ()
    silent: frozenset[int] = frozenset()
    balance: float = 1.0

    def noise_feats(self, window: Window) -> np.ndarray:
        """Features of a window of noise: (frames, num_mels)."""
        rng = np.random.default_rng([self.seed, window.noise or 0])
        samples = noise(window.num_frames, rng, self.files)
        return self.log_mel(samples[:round(WINDOW_SECONDS * SAMPLE_RATE)])


def plan_windows(options: WindowOptions, seed: int, utterances: Sequence[Utterance], text: Path,
                 log_mel: LogMel, balance: float = 1.0) -> WindowPlan:
    """The plan of a training set.

    Args:
        text: its references; speakers are those of utt2spk beside them. One of a single utterance is unknown there.
            Neighbours are those of Kaldi's segments, if they are beside it.

    Raises:
        UserError: utt2spk or segments are damaged, or the directory of noises has none.
    """
    utt2spk = text.with_name("utt2spk")
    speaker_of = read_list(utt2spk) if utt2spk.is_file() else {}
    speakers = [speaker_of.get(utterance.keys[0], "") for utterance in utterances]
    counts = Counter(speakers)
    speakers = [speaker if counts[speaker] > 1 else "" for speaker in speakers]
    texts = read_list(text)
    silent = frozenset(number for number, utterance in enumerate(utterances)
                       if any(texts.get(key) == NO_SPEECH for key in utterance.keys))
    recorded = list[Chain]()
    if (segments := text.with_name("segments")).is_file():
        spans = read_segments(segments)
        if missing := sum(utterance.keys[0] not in spans for utterance in utterances):
            raise UserError(f"{segments}: {missing} utterances are not in it. Add them, or delete the file to join "
                            "utterances by speaker")
        recorded = recorded_chains(utterances, lambda key: (spans[key].recording, spans[key].start, spans[key].end),
                                   silent)
    files = noise_files(options.noise_dir, "model.windows.noise_dir") if options.noise_dir else ()
    return WindowPlan(options, seed, speakers, log_mel, recorded, files, silent, balance)
