"""The languages of a recording and of its segments."""

from __future__ import annotations

import pytest

from utils.transcribe.recognizer import Recognition, Segment
from utils.transcribe.spoken_languages import languages_of, likeliest_language

FRENCH, RUSSIAN, UNSURE = {"fr": 0.9, "ru": 0.1}, {"fr": 0.2, "ru": 0.8}, {"nn": 0.5, "ru": 0.3, "fr": 0.2}


def test_long_segments_count_more() -> None:
    assert likeliest_language([FRENCH, RUSSIAN], [100, 300]) == ("ru", pytest.approx(0.625))


def test_a_short_segment_takes_a_language_of_longer_ones() -> None:
    assert languages_of([FRENCH, RUSSIAN, UNSURE, UNSURE], [300, 300, 90, 500]) == ["fr", "ru", "nn", "nn"]
    assert languages_of([FRENCH, RUSSIAN, UNSURE], [300, 300, 90]) == ["fr", "ru", "ru"]
    assert languages_of([UNSURE, FRENCH], [50, 150]) == ["fr", "fr"]


def test_texts_of_several_languages_are_joined_with_spaces() -> None:
    segments = [Segment(number, number + 1, {"transcribe": text}, language="zh")
                for number, text in enumerate(("你好", "再见"))]
    assert Recognition("zh", 1.0, 2.0, segments).text("transcribe") == "你好再见"
    mixed = [segments[0], Segment(1, 2, {"transcribe": "Привет"}, language="ru")]
    assert Recognition("zh", 1.0, 2.0, mixed).text("transcribe") == "你好 Привет"
