"""A recording's hypothesis by segments of the reference, and errors of times."""

from __future__ import annotations

import pytest

from utils.score.resegmentation import TimedText, resegment, time_errors


def test_words_go_to_the_segments_that_they_agree_with_best(capfd: pytest.CaptureFixture[str]) -> None:
    references = ["Press one now.", "Hold the line, please.", "Goodbye!"]
    assert resegment(references, "press won now hold a line please good-bye", "en") == [
        "press won now", "hold a line please", "good-bye"]
    assert capfd.readouterr() == ("", "")


def test_no_word_is_lost_or_made() -> None:
    said = "so – this ... was all of it , really it was"
    for references in (["this was all"], ["so", "it was"], ["nothing", "of", "that", "kind"]):
        parts = resegment(references, said, "en")
        assert len(parts) == len(references) and " ".join(filter(None, parts)) == said


def test_an_empty_hypothesis_has_empty_segments() -> None:
    assert resegment(["one", "two"], "  ", "en") == ["", ""]


def test_languages_without_spaces_are_cut_between_characters() -> None:
    assert resegment(["你好", "再见 朋友"], "你好再见朋友", "zh") == ["你好", "再见朋友"]


def test_a_start_is_as_wrong_as_the_nearest_one_is_far() -> None:
    found = time_errors([(0.5, 2.0), (3.0, 4.0)], [TimedText(0.4, 2.2, "a"), TimedText(2.7, 4.0, "b c"),
                                                   TimedText(8.0, 9.0, "not said"), TimedText(0.5, 2.0, " ")])
    assert found.starts == pytest.approx([0.1, 0.3]) and found.ends == pytest.approx([0.2, 0.0])
    assert found.words_outside == 2


def test_where_nothing_is_written_errors_are_infinite() -> None:
    assert time_errors([(0.0, 1.0)], []).starts == [float("inf")]
