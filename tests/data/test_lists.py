"""Lists: both forms of lines are read, faulty lines are refused with clear messages, and lists are written."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.languages import is_spaceless, language_code
from utils.data.lists import UtteranceKey, parse_key, read_list, scan_list, split_line, write_list
from utils.errors import UserError


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return tmp_path / "text"


@pytest.mark.parametrize(("name", "code"), [
    ("zh", "zh"), ("chinese", "zh"), ("Mandarin", "zh"), ("CANTONESE", "yue"), ("Haitian_Creole", "ht"),
    ("zh-CN", "zh"), ("zh-TW", "zh"), ("zh_Hant_HK", "zh"), ("cmn", "zh"), ("zh-yue", "yue"), ("pt-BR", "pt"),
    ("en_us", "en"), ("EN-us", "en"), ("jv", "jw"), ("jav", "jw"), ("iw", "he"), ("fil", "tl"), ("fil-PH", "tl"),
    ("nb", "no"), ("nb-NO", "no"), ("nno", "nn"), ("ger", "de"), ("deu", "de"), ("chi", "zh"), ("swh", "sw"),
    ("in", "id"), ("msa", "ms"), ("hrv", "hr"), ("sr-Latn", "sr"), ("FRANÇAIS", "fr"), ("Norwegian_Bokmål", "no"),
    ("Filipino", "tl"), ("Brazilian Portuguese", "pt"),
])
def test_language_by_any_name(name: str, code: str) -> None:
    assert language_code(name) == code


def test_unknown_language_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'chineese'.*chinese"):
        language_code("chineese")
    with pytest.raises(ValueError, match="such as english or en"):
        language_code("q42")
    with pytest.raises(ValueError, match=r"'gsw'\. Whisper was not trained for Swiss German; .* german"):
        language_code("gsw")
    for name in ("und", "mul", "zxx", "", "-", "C", "the"):
        with pytest.raises(ValueError, match="unknown language"):
            language_code(name)


def test_spaceless_languages_are_scored_by_character() -> None:
    assert all(map(is_spaceless, ("zh", "yue", "ja", "th", "lo", "my", "km", "bo")))
    assert not is_spaceless("ko")


@pytest.mark.parametrize("line", [
    "utt1|chinese|transcribe 你 好",
    "utt1 | chinese | transcribe -> 你 好",
    "utt1|chinese|transcribe -> 你 好\r\n",
    "utt1|chinese|transcribe\t你 好 ",
    "utt1 |chinese| transcribe->你 好",
])
def test_both_written_forms_give_the_compact_key(line: str) -> None:
    assert split_line(line) == ("utt1|chinese|transcribe", "你 好")


def test_command_values_keep_their_bars_and_arrows() -> None:
    command = "sox a.wav -t wav - | cat - 2>&1 |"
    assert split_line(f"u|fr|translate {command}") == ("u|fr|translate", command)
    assert split_line("u|fr|translate left -> right")[1] == "left -> right"


def test_key_parts_name_the_language_by_its_code() -> None:
    assert parse_key("a-1|Chinese|translate") == UtteranceKey("a-1", "zh", "translate")
    for bad in ("utt1", "a|zh", "|zh|translate", "a|zh|translate|x", "a b|zh|translate", ""):
        with pytest.raises(ValueError, match=r"malformed key.*Write id\|language\|task"):
            parse_key(bad)


def test_reading_keeps_order_and_names_and_cleans_white_space(text: Path) -> None:
    text.write_bytes("\ufeffb|chinese|transcribe  x\u3000\u00a0y\u2028z \r\n\r\n"
                     "a | fr | translate -> ça\tva".encode())
    assert read_list(text) == {"b|chinese|transcribe": "x y z", "a|fr|translate": "ça va"}
    assert list(read_list(text)) == ["b|chinese|transcribe", "a|fr|translate"]


def test_file_names_keep_their_white_space(tmp_path: Path) -> None:
    scp = tmp_path / "wav.scp"
    write_list(scp, {"a|fr|translate": "/my  corpus/a\u00a0b.wav"}, verbatim=True)
    assert read_list(scp, verbatim=True) == {"a|fr|translate": "/my  corpus/a\u00a0b.wav"}


def test_every_problem_of_a_file_is_named_at_once_with_its_line(text: Path) -> None:
    text.write_bytes(b"a|fr|transcribe good\n"
                     b"b|fr|trnascribe x\n"
                     b"c|frnch|translate x\n"
                     b"a|fr|transcribe again\n"
                     b"d|fr|translate\n"
                     b"utt5 no key\n"
                     b"\n"
                     b"e|fr|translate bell \x07\n"
                     b"f|fr|translate caf\xe9\n")
    with pytest.raises(UserError) as caught:
        read_list(text)
    lines = str(caught.value).splitlines()
    expected = ["2: unknown task 'trnascribe'. Did you mean transcribe?",
                "3: unknown language 'frnch'. Did you mean french",
                "4: duplicate key a|fr|transcribe, first on line 1.",
                "5: nothing after key d|fr|translate.",
                "6: malformed key 'utt5'. Write id|language|task",
                "8: control character U+0007 at column 21.",
                "9: not UTF-8: byte 0xe9 at byte 19"]
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        assert line.startswith(f"{text}:{wanted}")
    assert "iconv" in lines[-1]


def test_problems_beyond_the_limit_are_counted(text: Path) -> None:
    text.write_text("bad line\n" * 25, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_list(text, problem_limit=20)
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("and 5 more problems")


def test_hypotheses_may_be_empty(text: Path) -> None:
    write_list(text, {"a|fr|transcribe": "", "b|fr|transcribe": "two\nlines"})
    assert text.read_bytes() == b"a|fr|transcribe\nb|fr|transcribe two lines\n"
    assert read_list(text, allow_empty=True) == {"a|fr|transcribe": "", "b|fr|transcribe": "two lines"}


@pytest.mark.parametrize(("content", "complaint"), [
    (None, "cannot be read"), (b"", "is empty"), (b"\n \n", "is empty"),
    ("a|fr|translate x\n".encode("utf-16"), "UTF-16"),
])
def test_files_that_are_no_lists(text: Path, content: bytes | None, complaint: str) -> None:
    if content is not None:
        text.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        read_list(text)
    assert str(text) in str(caught.value)


def test_lists_are_sorted_on_the_whole_key_in_c_order(text: Path) -> None:
    keys = ["a|fr|transcribe", "a-1|fr|transcribe", "B|fr|transcribe", "é|fr|transcribe", "a|FR|transcribe",
            "𝒜|fr|translate", "\uffee|fr|translate"]
    write_list(text, dict.fromkeys(keys, "x"))
    written = [line.split()[0] for line in text.read_bytes().splitlines()]
    assert written == sorted(key.encode() for key in keys)


def test_a_file_name_with_a_line_end_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line end"):
        write_list(tmp_path / "wav.scp", {"a|fr|translate": "a\nb.wav"}, verbatim=True)
    assert not list(tmp_path.iterdir())


def test_line_ends_of_old_macs_are_noticed(text: Path) -> None:
    """Otherwise all lines would become the text of the first key."""
    text.write_bytes(b"a|fr|translate one\rb|fr|translate two\r")
    with pytest.raises(UserError, match=r":1: control character U\+000D at column 19"):
        read_list(text)


def test_what_cannot_be_seen_in_a_key_is_named(text: Path) -> None:
    """``cat`` of files with byte order marks leaves one before the first key of the second."""
    text.write_text("a|fr|translate x\n\ufeffb|fr|translate \u202eright to left\u202c \u200d\n", encoding="utf-8")
    with pytest.raises(UserError, match=r":2: invisible character U\+FEFF in the key"):
        read_list(text)
    text.write_text("b|fr|translate \u202eright to left\u202c \u200d\n", encoding="utf-8")
    assert read_list(text) == {"b|fr|translate": "\u202eright to left\u202c \u200d"}


def test_a_text_that_begins_with_an_arrow_keeps_it(text: Path) -> None:
    items = {"a|fr|translate": "-> next", "b|fr|translate": "->"}
    write_list(text, items)
    assert read_list(text) == items


KEYS = st.builds("{}|{}|{}".format, st.text(st.characters(codec="utf-8"), max_size=5),
                 st.sampled_from(["fr", "zh", "Chinese", "xx", ""]), st.sampled_from(["transcribe", "translate", "x"]))
LINES = st.binary(max_size=30) | st.builds(
    lambda key, gap, value: (key + gap + value).encode("utf-8"), KEYS, st.sampled_from([" ", "\t", " -> ", "", " | "]),
    st.text(st.characters(codec="utf-8"), max_size=20))


def is_blank(raw: bytes, number: int) -> bool:
    try:
        return not raw.decode("utf-8" if number else "utf-8-sig").strip()
    except UnicodeDecodeError:
        return False


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=6), st.sampled_from([b"\n", b"\r\n", b"\n\n"]), st.sampled_from([b"", codecs.BOM_UTF8]))
def test_every_line_of_any_file_is_read_or_named(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes],
                                                 end: bytes, mark: bytes) -> None:
    """No line is dropped without a message, and written lists are read back unchanged."""
    path = tmp_path_factory.getbasetemp() / "any list"
    path.write_bytes(mark + end.join(lines))
    raw = path.read_bytes().split(b"\n")
    try:
        scanned = scan_list(path)
    except UserError as error:
        assert str(error).startswith(f"{path}: the list is empty") or "UTF-16" in str(error)
        return
    assert sorted([*scanned.lines, *(problem.line for problem in scanned.problems)]) == [
        number for number, line in enumerate(raw, 1) if not is_blank(line, number - 1)]
    assert all(str(problem).startswith(f"{path}:{problem.line}: ") and "\n" not in str(problem)
               for problem in scanned.problems)
    if scanned.items:
        write_list(path, scanned.items)
        assert read_list(path) == scanned.items
