"""A long silence at the end of a window, of which the encoder computes only a sample of positions.

Most runtimes pad to 30 s, so nine tenths of a short utterance's window are silence. The stem (the two convolutions)
has the same output at all positions of the silence, so these differ only by their position embeddings, and neighbours
hardly differ. In training, one position can represent a stretch of n positions: attention counts its key n
times, by adding log(n) to its score. Attention distinguishes near positions better than far ones, so stretches grow
with their distance from the speech. tools/bench/README.md has the difference between sample and whole window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Frames of silence after the longest utterance that the stem computes: enough for one position of silence alone, before
# the last position, which sees the zeros beyond the end. A position is two frames long and depends on five.
EDGE_FRAMES = 8

_GROWTH = 64.0  # length of the stretch at the window's end, relative to the one after the speech


@dataclass(frozen=True)
class SampledSilence:
    """The silence from the end of a batch's features to the end of its window.

    Args:
        window: encoder positions (20 ms) of the whole window.
        count: number of positions that represent the silence.
    """

    window: int
    count: int

    def stretches(self, first: int) -> torch.Tensor:
        """Return (count + 1,): the start of each stretch of the silence, from ``first`` on, and the end of the last."""
        growth = _GROWTH ** (torch.arange(self.count + 1, dtype=torch.float64) / self.count)
        return first + (growth - 1) / (_GROWTH - 1) * (self.window - first)

    def positions(self, first: int) -> torch.Tensor:
        """Return (count,): the positions that are computed, in the middles of the stretches."""
        edges = self.stretches(first)
        return ((edges[:-1] + edges[1:]) / 2).long()

    def append(self, hidden: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the input of the encoder's layers: the stem's outputs with position embeddings, then the sample.

        Args:
            hidden: (batch, positions, d_model), outputs of the stem; the features end in ``EDGE_FRAMES`` of silence.
            embeddings: (window or more, d_model), the encoder's position embeddings.

        Returns:
            (batch, positions - 1 + count, d_model).
        """
        speech, silence = hidden[:, :-1], hidden[:, -2:-1]  # the last position depends on the zeros beyond the end
        first = speech.shape[1]
        chosen = self.positions(first).to(hidden.device)
        return torch.cat([speech + embeddings[:first], silence + embeddings[chosen]], 1)

    def bias(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return (1, 1, 1, positions), which attention adds to the scores of the keys ``hidden`` (batch, positions,
        d_model), whose sample comes last."""
        first = hidden.shape[1] - self.count
        times = torch.cat([torch.ones(first), self.stretches(first).diff()])
        return times.log().to(hidden)[None, None, None]


def sample_silence(longest: int, window: int, count: int) -> SampledSilence | None:
    """Return the sample of a batch's silence; None if all of the silence is computed.

    Args:
        longest: frames (10 ms) of the batch's longest utterance.
        window: frames to which the batch is padded.
        count: positions that represent longer silence; 0: compute all silence. Silence of at most twice as many
            positions is also computed, because a sample would save little.
    """
    positions = (window - longest - EDGE_FRAMES) // 2
    return SampledSilence(window // 2, count) if 0 < 2 * count < positions else None
