"""Cues fit a screen, cover their segment in order, and lose no text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from utils.transcribe.details import TextDetails, Word
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
    assert joint.join(cue.text.replace("\n", joint) for cue in cues) == text
    lines = [line for cue in cues for line in cue.text.split("\n")]
    assert len(cues) > 1 and all(len(line) <= (42 if joint else 21) for line in lines) and len(lines) <= 2 * len(cues)
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


@pytest.mark.parametrize(("text", "lines"), [
    ("Please hold the line, we will be with you in a moment.",
     ["Please hold the line,", "we will be with you in a moment."]),
    ("We are sorry but all of our agents are still busy", ["We are sorry but all of", "our agents are still busy"]),
    ("一二线城市虽然也处于调整中，但因为有高端需求带动", ["一二线城市虽然也处于调整中，", "但因为有高端需求带动"]),
    ("שלום לכולם וברוכים הבאים, אנחנו נחזור אליכם בהקדם", ["שלום לכולם וברוכים הבאים,", "אנחנו נחזור אליכם בהקדם"]),
    ("x" * 60, ["x" * 60])])
def test_a_wide_cue_has_two_lines_broken_at_a_phrase(text: str, lines: list[str]) -> None:
    assert cues_of(text)[0].text.split("\n") == lines


def test_a_part_begins_with_its_first_word_if_its_time_is_known() -> None:
    words = LONG.split()
    timed = [Word(word, 10 + 0.2 * number, 10.2 + 0.2 * number, 1.0) for number, word in enumerate(words)]
    spoken = Segment(10.0, 20.0, {"transcribe": LONG}, {"transcribe": TextDetails([], 0.0, 0.0, timed)})
    cues = make_cues([spoken], "transcribe")
    assert [cue.text for cue in cues] == [cue.text for cue in cues_of(LONG)]
    assert cues[1].start == cues[0].end == 10 + 0.2 * words.index("Please") and cues[-1].end == 20.0
    # Words of another text, or in no order, are not used.
    for wrong in (timed[:-1], timed[::-1]):
        other = replace(spoken, details={"transcribe": TextDetails([], 0.0, 0.0, wrong)})
        assert make_cues([other], "transcribe") == cues_of(LONG)


def test_speakers_are_in_every_format() -> None:
    cues = [Cue(0.5, 1.0, "Hello?", "1"), Cue(1.0, 2.0, "Yes.", "2")]
    assert "\n1: Hello?\n" in to_srt(cues) and "\n<v 2>Yes.\n" in to_vtt(cues)
    assert to_tsv(cues) == "start\tend\tspeaker\ttext\n500\t1000\t1\tHello?\n1000\t2000\t2\tYes.\n"
