"""The augmentations that there are, and those of a training in their order.

A new one is a file beside this one and a line in ``AUGMENTATIONS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.augment.add_noise import AddNoise
from utils.augment.clipping import Clipping
from utils.augment.draws import Augmentation, FeatureAugmentation, SampleAugmentation
from utils.augment.gain import Gain
from utils.augment.reverb import Reverb
from utils.augment.spec_augment import SpecAugment
from utils.augment.speed import Speed
from utils.augment.telephone import Telephone
from utils.errors import UserError
from utils.typed_yaml import build

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "speed": Speed,
    "noise": AddNoise,
    "reverb": Reverb,
    "clipping": Clipping,
    "telephone": Telephone,
    "gain": Gain,
    "spec_augment": SpecAugment,
}


@dataclass(frozen=True)
class Drawn:
    """What is done to one window in one epoch.

    Attributes:
        speed: how many times as fast it is played.
    """

    speed: float
    of_samples: Sequence[SampleAugmentation]
    of_feats: Sequence[FeatureAugmentation]


@dataclass(frozen=True)
class AugmentationChain:
    """The augmentations of a training. Samples come before features; otherwise the order is that of the list."""

    named: Sequence[tuple[str, Augmentation]]

    @property
    def of_audio(self) -> list[str]:
        """The names of those that need audio."""
        return [name for name, one in self.named if not isinstance(one, FeatureAugmentation)]

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Draw what is done to a window."""
        speed, of_samples, of_feats = 1.0, list[SampleAugmentation](), list[FeatureAugmentation]()
        for _, one in self.named:
            if isinstance(one, Speed):
                speed = one.draw(rng)
            elif rng.random() < one.share:
                if isinstance(one, SampleAugmentation):
                    of_samples.append(one)
                elif isinstance(one, FeatureAugmentation):
                    of_feats.append(one)
        return Drawn(speed, of_samples, of_feats)


def read_chain(entries: Sequence[Mapping[str, Any]]) -> AugmentationChain:
    """The chain that the configuration's ``model.augment`` describes: ``[{speed: {lowest: 0.9}}, {gain: {}}]``.

    Raises:
        UserError: an entry is not one name with its options, a name or option is unknown or occurs twice, or a value is
            wrong.
    """
    named = list[tuple[str, Augmentation]]()
    for entry in entries:
        if len(entry) != 1:
            raise UserError(f"model.augment: {dict(entry)}: each entry is one name and its options, as - speed: {{}}")
        (name, options), = entry.items()
        if name not in AUGMENTATIONS:
            raise UserError(f"model.augment: there is no {name}; there are {', '.join(AUGMENTATIONS)}")
        if name in dict(named):
            raise UserError(f"model.augment: {name} is there twice; put its options into one entry")
        one = build(AUGMENTATIONS[name], options or {}, "the configuration", f"model.augment.{name}.")
        one.check(f"model.augment.{name}")
        named.append((name, one))
    return AugmentationChain(named)
