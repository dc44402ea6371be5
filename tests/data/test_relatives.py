"""Near-duplicates: similar letters, or a sentence within another one."""

from __future__ import annotations

import pytest

from utils.data.relatives import bare_words, families, relatives


@pytest.mark.parametrize(("text", "other"), [
    ("The conference is now muted.", "the conference is now unmuted"),  # similar
    ("seventeen", "Seventeenth!"),
    ("Please enter your password followed by the pound key", "pound key"),  # contains it
    ("pound key", "Please enter your password followed by the pound key"),  # is contained
    ("हिन्दी में बात करते हैं", "हिन्दी में बात करते"),
    ("你好世界再见", "你好世界再見"),
])
def test_relatives(text: str, other: str) -> None:
    assert relatives([text], ["something else entirely", other])[text].text == bare_words(other)


@pytest.mark.parametrize(("text", "other"), [
    ("Please hold the line", "line"),  # one word in common
    ("Please hold the line", "hold"),
    ("the pounds keyed in", "pound key"),  # not as whole words
    ("eleven", "twelve"),
    ("कि", "के"),  # marks are letters of their own
    ("...", "!"),  # no words at all
    ("", "hello"),
])
def test_no_relatives(text: str, other: str) -> None:
    assert relatives([text], [other]) == {}


def test_the_nearest_relative_is_named_with_its_similarity() -> None:
    found = relatives(["press one now"], ["press one", "press one know", "unlike it"])
    assert found["press one now"].text == "press one know"
    assert 80 < found["press one now"].similarity < 100
    assert relatives(["Press ONE"], ["press one"])["Press ONE"].similarity == 100


def test_families_are_single_link_and_do_not_depend_on_the_order() -> None:
    texts = ["now muted", "now unmuted", "is now unmuted here", "another thing", "Another thing!"]
    found = families(texts)
    assert found == families(reversed(texts))
    assert found["now muted"] == found["now unmuted"] == found["is now unmuted here"] == "is now unmuted here"
    assert found["another thing"] == "another thing"
    assert len(found) == 4


def test_nothing_has_no_relatives() -> None:
    assert relatives([], ["a b"]) == relatives(["a b"], []) == {}
    assert families([]) == {}
