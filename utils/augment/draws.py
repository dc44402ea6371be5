"""What all augmentations have in common: a share of the windows, and values drawn from a range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """A change of a window's samples or features.

    Attributes:
        share: of the windows, drawn anew in each epoch.
    """

    share: float = 1.0

    def check(self, name: str) -> None:
        """Refuse values that mean nothing.

        Raises:
            UserError: a value is out of its range; the message begins with ``name``.
        """
        require_range(f"{name}.share", self.share, self.share, 0, 1)


@dataclass(frozen=True)
class RangedAugmentation(Augmentation):
    """One whose value is drawn between ``lowest`` and ``highest``, which lie within the class' ``bounds``."""

    lowest: float = 0.0
    highest: float = 0.0
    bounds = (0.0, 0.0)

    def check(self, name: str) -> None:
        super().check(name)
        require_range(name, self.lowest, self.highest, *self.bounds)

    def draw_value(self, rng: np.random.Generator) -> float:
        """A value of the range."""
        return float(rng.uniform(self.lowest, self.highest))


@dataclass(frozen=True)
class SampleAugmentation(Augmentation):
    """A change of samples: training reads the audio, not only stored features."""

    def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change a window.

        Args:
            samples: (num_samples,) float32 at 16 kHz, full scale 1.0.
            rng: decides what is drawn.

        Returns:
            As many samples, float32.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class FeatureAugmentation(Augmentation):
    """A change of log-mel features, computed or stored."""

    def __call__(self, feats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change a window without its padding.

        Args:
            feats: (num_frames, num_mels) float32, in Whisper's scale; it is not changed in place.
            rng: decides what is drawn.

        Returns:
            A matrix of the same shape.
        """
        raise NotImplementedError


def require_range(name: str, lowest: float, highest: float, least: float, most: float) -> None:
    """Refuse a range that is empty or goes beyond ``least`` and ``most``.

    Raises:
        UserError: it does.
    """
    if not least <= lowest <= highest <= most:
        shown = f"{lowest:g}" if lowest == highest else f"{lowest:g} to {highest:g}"
        raise UserError(f"{name}: {shown} does not lie between {least:g} and {most:g}, the lower value first")
