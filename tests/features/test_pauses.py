"""Where features are cut into pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_speech import silence, speak

from utils.features.log_mel import LogMel
from utils.features.pauses import pieces_at_pauses


def test_speech_is_cut_in_its_pauses(tiny_whisper: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.001, 16_000 * 20)
    parts = [silence(0.3), speak(2.0, 1), silence(0.5), speak(1.5, 2), silence(0.4), speak(3.0, 3), silence(0.3)]
    talk = np.concatenate(parts)
    for background in (0, noise[:len(talk)]):
        pieces = pieces_at_pauses(LogMel(tiny_whisper)((talk + background).astype(np.float32)))
        assert [start for start, _ in pieces[1:]] == [end for _, end in pieces[:-1]]
        assert pieces[0][0] == 0 and abs(pieces[-1][1] - len(talk) // 160) <= 3
        cuts = [end / 100 for _, end in pieces[:-1]]
        assert len(cuts) == 2 and 2.3 < cuts[0] < 2.8 and 4.3 < cuts[1] < 4.7


def test_a_piece_is_not_shorter_than_a_second(tiny_whisper: Path) -> None:
    talk = np.concatenate([speak(0.5, 1), silence(0.4), speak(0.5, 2), silence(0.4), speak(2.0, 3), silence(0.4),
                           speak(0.3, 4)])
    pieces = pieces_at_pauses(LogMel(tiny_whisper)(talk.astype(np.float32)))
    assert all(end - start >= 100 for start, end in pieces) and len(pieces) >= 2


def test_what_has_no_pause_is_one_piece() -> None:
    for feats in (np.full((500, 80), -1.5, np.float32), np.zeros((3, 80), np.float32)):
        assert pieces_at_pauses(feats) == [(0, len(feats))]
