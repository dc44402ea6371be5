"""Lines that can be read but should not be there: refused, or named and kept, or dropped by an option."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from utils import ROOT
from utils.data.data_directory import MergedLists, MergeOptions, merge_task_lists, summary, write_data_directory
from utils.errors import UserError


@pytest.fixture
def write_texts(tmp_path: Path, make_wav: Callable[..., Path]) -> Callable[..., Path]:
    """``write_texts(set, task, {key: text}, seconds)``: lists whose keys share one recording; returns the set."""
    def write(name: str, task: str, texts: dict[str, str], seconds: float = 2.0) -> Path:
        wav = make_wav(f"{name}-{task}.wav", seconds)
        directory = tmp_path / "data" / name / task
        directory.mkdir(parents=True)
        (directory / "wav.scp").write_text("".join(f"{key} {wav}\n" for key in texts), encoding="utf-8")
        (directory / "text").write_text("".join(f"{key} {text}\n" for key, text in texts.items()), encoding="utf-8")
        return directory.parent

    return write


def merge(directory: Path, **options: object) -> MergedLists:
    return merge_task_lists(directory, MergeOptions(**options))


def places(merged: MergedLists, option: str) -> list[tuple[str, int]]:
    return [(problem.key, problem.line) for problem in merged.doubtful.get(option, [])]


def test_control_tokens_in_a_reference_are_refused(write_texts: Callable[..., Path]) -> None:
    texts = {"a|en|transcribe": "<|0.00|> Good morning.<|1.40|>", "b|en|transcribe": "hello<|endoftext|> and left",
             "c|en|transcribe": "<|nospeech|>", "d|en|transcribe": "a < b | c > d, and <unk> stays"}
    data = write_texts("train", "transcribe", texts)
    with pytest.raises(UserError) as caught:
        merge(data)
    assert f"{data}: 3 lines cannot be used:" in str(caught.value)
    assert f"{data}/transcribe/text:2: control token <|endoftext|> in the text of b|en|transcribe." in str(caught.value)
    assert list(merge(data, skip_bad=True).text) == ["d|en|transcribe"]


def test_an_utterance_under_two_names_of_a_language_is_refused(write_texts: Callable[..., Path]) -> None:
    texts = {"a|zh|transcribe": "你好", "b|chinese|transcribe": "世界", "a|chinese|transcribe": "你好",
             "a|mandarin|transcribe": "你好", "a|fr|transcribe": "bonjour"}
    data = write_texts("train", "transcribe", texts)
    with pytest.raises(UserError) as caught:
        merge(data)
    assert f"{data}: 2 lines cannot be used:" in str(caught.value)
    assert f"{data}/transcribe/text:3: a|chinese|transcribe and a|zh|transcribe, on line 1, are one utterance" in \
        str(caught.value)
    kept = merge(data, skip_bad=True)
    assert sorted(kept.text) == ["a|fr|transcribe", "a|zh|transcribe", "b|chinese|transcribe"]
    assert kept.n_dropped == len(kept.problems) == 2


LONG = "the quick brown fox jumps over the lazy dog near the river " * 4


@pytest.mark.parametrize(("text", "task", "seconds", "impossible"), [
    (LONG, "transcribe", 0.5, True), (LONG, "transcribe", 8.0, False),
    ("四是四十是十十四是十四四十是四十", "transcribe", 1.6, False), ("四是四十是十" * 8, "transcribe", 1.0, True),
    ("she said that she would rather not come", "translate", 0.4, False), ("yes, of course", "transcribe", 0.1, False),
    ("." * 200 + " 10", "transcribe", 0.2, False)])
def test_text_that_nobody_can_say_in_its_time(write_texts: Callable[..., Path], text: str, task: str, seconds: float,
                                              impossible: bool) -> None:
    data = write_texts("train", task, {f"a|zh|{task}": "x", f"b|zh|{task}": text}, seconds)
    kept = merge(data)
    assert len(kept.text) == 2 and kept.problems == []
    assert places(kept, "--skip-too-fast true") == [(f"b|zh|{task}", 2)] * impossible
    dropped = merge(data, skip_too_fast=True)
    assert (dropped.n_dropped, len(dropped.problems), dropped.doubtful) == (impossible, impossible, {})
    assert places(merge(data, check_audio=False), "--skip-too-fast true") == []  # nobody knows how long it is


def test_training_sentences_of_evaluated_sets_are_named(write_texts: Callable[..., Path]) -> None:
    train = write_texts("train", "transcribe", {
        "a|fr|transcribe": "Il fait beau.", "b|it|transcribe": "fa bello", "c|en|transcribe": "It is FINE",
        "d|fr|transcribe": "autre chose", "e|hi|transcribe": "कि", "f|fr|transcribe": "..."})
    write_texts("train", "translate", {"a|fr|translate": "nothing like it", "d|fr|translate": "bad weather"})
    write_texts("dev", "transcribe", {"x|fr|transcribe": "il fait  beau", "y|it|transcribe": "Il fait beau"})
    write_texts("test", "translate", {"z|fr|translate": "it is fine!", "v|ru|translate": "Bad weather"})
    write_texts("more", "transcribe", {"w|hi|transcribe": "का", "w|fr|transcribe": "?!"})
    held_out = [train.parent / name for name in ("dev", "test", "more")]
    kept = merge(train, held_out=held_out)
    assert places(kept, "--skip-overlap true") == [("a|fr|transcribe", 1), ("c|en|transcribe", 3),
                                                   ("d|fr|translate", 2)]
    assert f"the sentence of a|fr|transcribe is in {train.parent}/dev/transcribe/text:1, too." in \
        kept.doubtful["--skip-overlap true"][0].what
    french = merge(train, held_out=held_out, languages=["fr"])  # the Russian test sentence is not evaluated then
    assert places(french, "--skip-overlap true") == [("a|fr|transcribe", 1)]
    dropped = merge(train, held_out=held_out, skip_overlap=True)
    assert len(dropped.text) == len(kept.text) - 3 and len(dropped.problems) == 3
    with pytest.raises(UserError, match="--held-out no/where: no lists there"):
        merge(train, held_out=[Path("no/where")])


def test_the_script_names_and_lists_what_it_keeps_in_doubt(write_texts: Callable[..., Path]) -> None:
    train = write_texts("train", "transcribe", {"a|en|transcribe": LONG, "b|en|transcribe": "fine"}, 0.5)
    test = write_texts("test", "transcribe", {"c|en|transcribe": "Fine."})
    command = [sys.executable, str(ROOT / "pyscripts/merge_lists.py"), "--held-out", str(test), str(train)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{train}/transcribe/text:1: text of a|en|transcribe has 188 letters for 0.50 s of audio" in done.stderr
    assert "1 of 2 targets are doubtful and kept (--skip-too-fast true drops them; all are in" in done.stderr
    assert f"{train}/transcribe/text:2: the sentence of b|en|transcribe is in {test}/transcribe/text:1" in done.stderr
    rows = [line.split("\t") for line in (train / "doubtful.tsv").read_text().splitlines()]
    assert [(row[0], row[2]) for row in rows[1:]] == [("a|en|transcribe", f"{train}/transcribe/text:1"),
                                                      ("b|en|transcribe", f"{train}/transcribe/text:2")]
    write_data_directory(train, merge(train, skip_too_fast=True))
    assert not (train / "doubtful.tsv").exists() and (train / "left_out.tsv").exists()


@pytest.mark.parametrize(("text", "tag", "without"), [
    ("turn left <unk> the church", "<unk>", "turn left the church"), ("[noise] hello (laughs)", "[noise]", "hello"),
    ("oui <SPN> non", "<SPN>", "oui non"), ("[background_noise] oui", "[background_noise]", "oui"),
    ("<b>bold</b> words", "<b>", "bold words"), ("he said (or maybe not) yes", None, ""), ("5 < 6 > 4", None, "")])
def test_tags_are_named_removed_or_dropped(write_texts: Callable[..., Path], text: str, tag: str | None,
                                           without: str) -> None:
    data = write_texts("train", "transcribe", {"a|en|transcribe": text, "b|en|transcribe": "a plain sentence"})
    kept = merge(data)
    assert kept.text["a|en|transcribe"] == text
    assert places(kept, "--tags drop") == ([("a|en|transcribe", 1)] if tag else [])
    assert not tag or f"has the tag {tag}, which" in kept.doubtful["--tags drop"][0].what
    assert merge(data, tags="remove").text["a|en|transcribe"] == (without if tag else text)
    assert ("a|en|transcribe" in merge(data, tags="drop").text) == (tag is None)


def test_a_text_of_tags_only_cannot_be_emptied(write_texts: Callable[..., Path]) -> None:
    data = write_texts("train", "transcribe", {"a|en|transcribe": "<UNK>", "b|en|transcribe": "a plain sentence"})
    with pytest.raises(UserError, match=r"text:1: the text of a.en.transcribe is <UNK>, which --tags remove leaves"):
        merge(data, tags="remove")
    dropped = merge(data, tags="remove", skip_bad=True)
    assert dropped.n_seen == 2 and dropped.n_dropped == 1 and list(dropped.text) == ["b|en|transcribe"]
    with pytest.raises(UserError, match="--tags all: use one of keep remove drop"):
        merge(data, tags="all")


def test_texts_are_composed_and_lose_what_nobody_sees(write_texts: Callable[..., Path]) -> None:
    persian = "می\u200cخواهم"  # the zero-width non-joiner is spelling
    data = write_texts("train", "transcribe", {
        "a|vi|transcribe": "Tie\u0302\u0301ng", "b|en|transcribe": "zero\u200bwidth soft\u00adhyphen",
        "c|fa|transcribe": persian, "d|en|transcribe": "plain", "e|en|transcribe": "\u200b\u00ad"})
    with pytest.raises(UserError, match=r"text:5: the text of e.en.transcribe has invisible characters only"):
        merge(data)
    merged = merge(data, skip_bad=True)
    assert list(merged.text.values()) == ["Tiếng", "zerowidth softhyphen", persian, "plain"]
    assert merged.n_cleaned == {"accents composed (NFC)": 1, "invisible characters removed": 2}
    assert "1 texts: accents composed (NFC)\n2 texts: invisible characters removed" in summary(merged)
