"""A long silence at the end of a window, of which the encoder computes a sample only.

To a runtime that pads to 30 s, as most do, nine tenths of a short utterance are silence. The stem makes the same vector
of all of it, so its positions differ by their embedding alone, and neighbours hardly differ. In training, one of each
stretch can stand for all: attention takes its key as often as the stretch has positions, n times, which is log(n) added
to its score. Attention looks near more sharply than far, so stretches grow with their distance from the speech. How
much of the whole window a sample keeps is in tools/bench/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Frames of silence after the longest utterance from which the stem makes one whole position of nothing but silence,
# and whatever else its convolutions blend with the zeros beyond the end: a position is two frames, and sees five.
EDGE_FRAMES = 8

_GROWTH = 64.0  # how much longer the stretch at the window's end is than the one after the speech


@dataclass(frozen=True)
class SampledSilence:
    """Silence from the end of a batch's features to the end of its window.

    Args:
        window: encoder positions (20 ms) of the whole window.
        count: how many positions stand for those of the silence.
    """

    window: int
    count: int

    def stretches(self, first: int) -> torch.Tensor:
        """(count + 1,): where each stretch of the silence begins, from ``first`` on, and where the last ends."""
        growth = _GROWTH ** (torch.arange(self.count + 1, dtype=torch.float64) / self.count)
        return first + (growth - 1) / (_GROWTH - 1) * (self.window - first)

    def positions(self, first: int) -> torch.Tensor:
        """(count,): which positions are computed, those in the middles of the stretches."""
        edges = self.stretches(first)
        return ((edges[:-1] + edges[1:]) / 2).long()

    def append(self, hidden: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """What the encoder's layers get: the stem's outputs with position embeddings, and the sample after them.

        Args:
            hidden: (batch, positions, d_model), outputs of the stem; the features end in ``EDGE_FRAMES`` of silence.
            embeddings: (window or more, d_model), the encoder's position embeddings.

        Returns:
            (batch, positions - 1 + count, d_model).
        """
        speech, silence = hidden[:, :-1], hidden[:, -2:-1]  # the last position has seen the zeros beyond the end
        first = speech.shape[1]
        chosen = self.positions(first).to(hidden.device)
        return torch.cat([speech + embeddings[:first], silence + embeddings[chosen]], 1)

    def bias(self, hidden: torch.Tensor) -> torch.Tensor:
        """What attention adds to its scores for the keys of ``hidden`` (batch, positions, d_model), whose sample comes
        last: (1, 1, 1, positions)."""
        first = hidden.shape[1] - self.count
        times = torch.cat([torch.ones(first), self.stretches(first).diff()])
        return times.log().to(hidden)[None, None, None]


def sample_silence(longest: int, window: int, count: int) -> SampledSilence | None:
    """How the silence of a batch is computed: none if all of it is.

    Args:
        longest: frames (10 ms) of the batch's longest utterance.
        window: frames it is padded to.
        count: positions that stand for longer silence; 0 computes all silence. Silence of less than twice as many is
            computed, too: a sample would save little.
    """
    positions = (window - longest - EDGE_FRAMES) // 2
    return SampledSilence(window // 2, count) if 0 < 2 * count < positions else None
