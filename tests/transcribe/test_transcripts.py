"""The files that are written for recognized recordings, and the formats that standard output cannot take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from utils.data.lists import read_list
from utils.errors import UserError
from utils.transcribe.outputs import FORMATS, open_output
from utils.transcribe.recognizer import Recognition, Segment, join_texts

BOTH = ("transcribe", "translate")
TALK = Recognition("fr", 0.9, 12.5, [Segment(0.5, 2.0, {"transcribe": "Bonjour.", "translate": "Hello."}),
                                     Segment(3.0, 4.0, {"transcribe": "", "translate": ""}),
                                     Segment(5.0, 9.0, {"transcribe": "Au revoir.", "translate": "Goodbye."})])
SILENT = Recognition("", 0.0, 3.0, [])


def test_a_folder_has_every_format_with_the_translation_beside_it(tmp_path: Path) -> None:
    output = open_output(tmp_path / "out", FORMATS, BOTH, only_one=False)
    output.write("b", "b.wav", TALK)
    output.write("deep/a b", "a b.wav", SILENT)
    output.close()
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")) == sorted(
        [f"{name}{task}.{kind}" for name in ("b", "deep/a b") for task in ("", ".en")
         for kind in ("txt", "srt", "vtt", "tsv")] + ["transcripts.jsonl"])
    assert (tmp_path / "out/b.txt").read_text() == "Bonjour.\nAu revoir.\n"
    assert (tmp_path / "out/b.en.srt").read_text() == (
        "1\n00:00:00,500 --> 00:00:02,000\nHello.\n\n2\n00:00:05,000 --> 00:00:09,000\nGoodbye.\n")
    assert (tmp_path / "out/deep/a b.txt").read_text() == ""
    assert read_list(tmp_path / "out/text", allow_empty=True)["b|fr|translate"] == "Hello. Goodbye."
    talk, silent = map(json.loads, (tmp_path / "out/transcripts.jsonl").read_text().splitlines())
    assert talk["segments"][0] == {"start": 0.5, "end": 2.0, "language": "", "transcribe": "Bonjour.",
                                   "translate": "Hello."}
    assert (talk["audio"], talk["language"], talk["duration"]) == ("b.wav", "fr", 12.5)
    assert silent["segments"] == [] and silent["transcribe"] == ""


@pytest.mark.parametrize(("language", "texts", "joined"), [
    ("fr", ["Bonjour.", "", "Au revoir."], "Bonjour. Au revoir."), ("", ["one", "two"], "one two"),
    ("ko", ["안녕하세요.", "감사합니다."], "안녕하세요. 감사합니다."),
    ("zh", ["你好。", "", "请输入密码。"], "你好。请输入密码。"),
    ("ja", ["こんにちは", "世界"], "こんにちは世界"), ("th", ["สวัสดี", "ครับ"], "สวัสดีครับ"),
    ("yue", ["打開 wifi", "OK", "唔該"], "打開 wifi OK唔該"), ("zh", [], "")])
def test_segments_are_joined_as_their_language_is_written(language: str, texts: list[str], joined: str) -> None:
    assert join_texts(texts, language) == joined
    segments = [Segment(0.0, 1.0, {"transcribe": text, "translate": "a"}) for text in texts]
    talk = Recognition(language, 1.0, 9.0, segments)
    assert talk.text("transcribe") == joined
    assert talk.text("translate") == " ".join("a" for _ in texts)  # English


@pytest.mark.parametrize(("kind", "tasks", "only_one", "printed"), [
    ("text", ("translate",), True, "Hello.\nGoodbye.\n"),
    ("text", BOTH, True, "[fr] Bonjour. Au revoir.\n[en] Hello. Goodbye.\n"),
    ("text", BOTH, False, "talk [fr] Bonjour. Au revoir.\ntalk [en] Hello. Goodbye.\n"),
    ("kaldi", ("transcribe",), True, "talk|fr|transcribe Bonjour. Au revoir.\n"),
    ("tsv", ("transcribe",), True, "start\tend\ttext\n500\t2000\tBonjour.\n5000\t9000\tAu revoir.\n"),
])
def test_standard_output_says_what_must_be_told_apart(capsys: pytest.CaptureFixture[str], kind: str,
                                                      tasks: tuple[str, ...], only_one: bool, printed: str) -> None:
    output = open_output(None, [kind], tasks, only_one)
    output.write("talk", "talk.wav", TALK)
    output.close()
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("formats", "tasks", "only_one", "complaint"), [
    (["srt"], BOTH, True, "--output-dir"), (["vtt"], ("translate",), False, "--output-dir"),
    (["text", "jsonl"], BOTH, True, "--output-dir"),
    (["doc"], BOTH, True, "--format doc: choose from text kaldi jsonl"),
    ([], BOTH, True, "--format : choose from"),
])
def test_what_one_stream_cannot_hold_needs_a_folder(formats: list[str], tasks: tuple[str, ...], only_one: bool,
                                                    complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        open_output(None, formats, tasks, only_one)
