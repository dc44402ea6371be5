"""Cues fit a screen, cover their segment in order, and lose no text."""

from __future__ import annotations

from itertools import pairwise

import pytest

from utils.transcribe.recognizer import Segment
from utils.transcribe.subtitles import Cue, make_cues, to_srt, to_tsv, to_vtt

LONG = ("Your call may be monitored for quality. Please stay on the line, and somebody will be with you shortly, "
        "or press one to leave a message after the tone and we will call you back")


def cues_of(text: str, start: float = 10.0, end: float = 20.0) -> list[Cue]:
    return make_cues([Segment(start, end, {"transcribe": text})], "transcribe")


def test_a_short_segment_is_one_cue() -> None:
    assert cues_of("Hello there.") == [Cue(10.0, 20.0, "Hello there.")]
    assert cues_of("") == []


@pytest.mark.parametrize(("text", "joint"), [(LONG, " "), ("一二线城市虽然也处于调整中，" * 10, "")])
def test_a_long_one_is_cut_where_one_breathes_and_its_time_shared_out(text: str, joint: str) -> None:
    cues = cues_of(text)
    assert joint.join(cue.text for cue in cues) == text
    assert len(cues) > 1 and all(len(cue.text) <= (84 if joint else 42) for cue in cues)
    assert cues[0].text.endswith(("quality.", "，"))
    assert cues[0].start == 10.0 and cues[-1].end == pytest.approx(20.0)
    assert all(one.end == other.start and one.start < one.end for one, other in pairwise(cues))


def test_a_word_longer_than_a_cue_stays_whole() -> None:
    assert [cue.text for cue in cues_of("a " + "x" * 200 + " b")] == ["a", "x" * 200, "b"]


def test_formats_are_those_that_players_read() -> None:
    cues = [Cue(0.5, 3661.25, "a & <b>"), Cue(3661.9996, 3700, "c")]
    assert to_srt(cues) == ("1\n00:00:00,500 --> 01:01:01,250\na & <b>\n\n2\n01:01:02,000 --> 01:01:40,000\nc\n")
    assert to_vtt(cues) == ("WEBVTT\n\n00:00:00.500 --> 01:01:01.250\na &amp; &lt;b&gt;\n\n"
                            "01:01:02.000 --> 01:01:40.000\nc\n")
    assert to_tsv(cues) == "start\tend\ttext\n500\t3661250\ta & <b>\n3662000\t3700000\tc\n"
    assert to_vtt([]) == "WEBVTT\n"
