"""Windows of training as augmentations change them: from their audio where that is needed, else from features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils.audio.constants import FRAMES_PER_SECOND, FULL_WINDOW, SAMPLE_RATE
from utils.audio.loading import load_audio
from utils.audio.sources import is_pipe
from utils.augment.chain import AugmentationChain
from utils.augment.speed import play
from utils.config import Lists
from utils.data.segments import read_sources
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.features.log_mel import LogMel
from utils.train.windows import Window

_HOP = SAMPLE_RATE // FRAMES_PER_SECOND  # samples a frame


@dataclass(frozen=True)
class Augmenter:
    """Draws and applies augmentations; the same for the same seed, epoch and window.

    Attributes:
        sources: of the audio of utterances, by key; one that is not in it (of rehearsal) has features only.
    """

    chain: AugmentationChain
    seed: int
    log_mel: LogMel
    sources: Mapping[str, str]

    def __call__(self, window: Window, members: Sequence[Utterance], place: tuple[int, int],
                 stored: Callable[[Window], np.ndarray]) -> tuple[Window, np.ndarray]:
        """Return the window, with its speed, and its features (num_frames, num_mels).

        Args:
            members: the window's utterances.
            place: epoch, and number of the window.
            stored: gives the features of a window that keeps its samples.
        """
        rng = np.random.default_rng([self.seed, *place, 1])  # other numbers than those of the targets
        drawn = self.chain.draw(rng)
        sources = [self.sources[one.keys[0]] for one in members if one.keys[0] in self.sources]
        audible = bool(sources) and len(sources) == len(members)
        # What is cut at the window's end must stay there, and what is longer than a window does not fit.
        fits = not window.is_cut and window.num_frames / drawn.speed <= FULL_WINDOW
        speed = drawn.speed if audible and fits else 1.0
        if audible and (speed != 1.0 or drawn.of_samples):
            samples = _samples(window, sources)
            samples = play(samples, speed) if speed != 1.0 else samples
            for change in drawn.of_samples:
                samples = change(samples, rng)
            feats = self.log_mel(samples[:FULL_WINDOW * _HOP])
        else:
            feats = stored(window)
        for mask in drawn.of_feats:
            feats = mask(feats, rng)
        return replace(window, speed=speed), feats


def _samples(window: Window, sources: Sequence[str]) -> np.ndarray:
    """A window's audio: its utterances with digital silence between them, (num_samples,) at 16 kHz."""
    parts = [load_audio(source) for source in sources]
    if window.starts == (0,):
        return parts[0]
    places = [start * _HOP for start in window.starts]
    joined = np.zeros(places[-1] + len(parts[-1]), dtype=np.float32)
    for place, part in zip(places, parts, strict=True):
        joined[place:place + len(part)] = part[:len(joined) - place]
    return joined[:window.num_frames * _HOP]


def plan_augmentation(chain: AugmentationChain, seed: int, lists: Lists, utterances: Sequence[Utterance],
                      log_mel: LogMel) -> Augmenter:
    """The augmenter of a training set.

    Args:
        lists: of the set. Audio is that of its wav_scp, or else of wav.scp beside its text.
        utterances: of the set, without those of rehearsal.

    Raises:
        UserError: an augmentation needs audio, and there is no wav.scp, or it lacks an utterance or has commands.
    """
    if not chain.of_audio:
        return Augmenter(chain, seed, log_mel, {})
    scp = Path(lists.wav_scp or Path(lists.text).with_name("wav.scp"))
    advice = f"Name the lists' audio in data.train.wav_scp, or leave {', '.join(chain.of_audio)} out of model.augment"
    if not scp.is_file():
        raise UserError(f"model.augment: {chain.of_audio[0]} needs audio, and there is no {scp}. {advice}")
    sources = read_sources(scp)
    missing = [one.keys[0] for one in utterances if one.keys[0] not in sources]
    if missing:
        raise UserError(f"{scp}: no line for {missing[0]} ({len(missing)} utterances), and {chain.of_audio[0]} in "
                        f"model.augment needs audio. {advice}")
    commands = [key for key, source in sources.items() if is_pipe(source)]
    if commands:
        raise UserError(f"{scp}: {commands[0]}: is a command, and {chain.of_audio[0]} in model.augment needs files. "
                        f"Write its audio to a file, or leave {', '.join(chain.of_audio)} out of model.augment")
    return Augmenter(chain, seed, log_mel, sources)
