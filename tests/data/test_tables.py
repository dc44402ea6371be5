"""Tables as spreadsheets and programs leave them: what is read is what was meant, or one line says what is wrong."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

from utils.data.corpus_lists import LeftOut, without_unusable, write_lists
from utils.data.corpus_table import FORM, find_audio, table_utterances
from utils.data.segments import read_segments
from utils.data.tables import TableRow, missing_words, read_table
from utils.errors import UserError

HEAD = "path\ttext\tlanguage\n"


def read(directory: Path, name: str, content: str | bytes, missing: str = "") -> list[dict[str, str]]:
    """The columns of each row of a table with this content."""
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [row.columns for row in read_table(path, replace(FORM, missing=missing_words(missing)))]


def texts(rows: list[dict[str, str]]) -> list[str]:
    return [row.get("text", "") for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_spreadsheets_way_gives_the_same_rows(tmp_path: Path, delimiter: str, encoding: str,
                                                    line_end: str) -> None:
    lines = [["Path", "Text", "Language"], ["a.wav", '"un, deux; trois"', "fr"], ["b.wav", "été", "fr"], []]
    content = line_end.join(delimiter.join(cells) for cells in lines).encode(encoding)
    assert texts(read(tmp_path, "t.csv", content)) == ["un, deux; trois", "été"]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_delimiter_that_excel_names_is_used(tmp_path: Path, first: str) -> None:
    rows = read(tmp_path, "t.csv", f"{first}\r\npath;text\r\na.wav;un, deux\r\n")
    assert rows == [{"path": "a.wav", "text": "un, deux"}]
    with pytest.raises(UserError, match=r"t.csv:2: its columns are file"):
        read(tmp_path, "t.csv", "sep=;\nfile;text\n")


@pytest.mark.parametrize(("cell", "text"), [
    ('"Well, she began', '"Well, she began'), ('and then we left."', 'and then we left."'),
    ('"Yes," he said', '"Yes," he said'), ('"Go!"', "Go!"), ('"He said ""no"""', 'He said "no"'),
    ('the 5" disk', 'the 5" disk'), ('""', ""), ('"', '"')])
def test_quotes_in_a_tsv_are_marks_unless_a_spreadsheet_wrote_them(tmp_path: Path, cell: str, text: str) -> None:
    rows = read(tmp_path, "t.tsv", f"{HEAD}a.wav\t{cell}\ten\nb.wav\tnext\ten\n")
    assert texts(rows) == [text, "next"]
    rows = read(tmp_path, "t.tsv", f"path\tlanguage\ttext\na.wav\ten\t{cell}\nb.wav\ten\tnext\n")
    assert texts(rows) == [text, "next"]


def test_a_tab_inside_a_quoted_cell_is_white_space(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "t.tsv", f'{HEAD}a.wav\t"one\ttwo"\ten\n')) == ["one two"]


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("t.tsv", 'path\tlanguage\ttext\na.wav\ten\t"one\ntwo"\nb.wav\ten\tnext\n', r"t.tsv:2: a quoted text runs over"),
    ("t.tsv", f'{HEAD}b.wav\tnext\ten\na.wav\t"one\ntwo"\ten\n', r"t.tsv:3: a quoted text runs over"),
    ("t.csv", 'path,text\na.wav,"one\nb.wav,two\nc.wav,three"\n', r't.csv:2: a quoted text goes on to line 3'),
    ("t.csv", 'path,text\na.wav,"one\nb.wav,two\n', r"t.csv:2: "),
    ("t.csv", "path,text,text\na.wav,b,c\n", r"t.csv:1: has two columns text"),
    ("t.csv", "path,text\na.wav,un\nb.wav,été\n".encode("cp1252"), r"t.csv:3: not UTF-8 .*Save it as UTF-8"),
    ("t.csv", "path,text\na.wav,un\n".encode("utf-16-le"), r"t.csv:1: has NUL characters"),
    ("t.csv", "path,text\na.wav,nan\n", r"t.csv:2: the text is 'nan', which may be a word .* --missing nan"),
    ("t.jsonl", '{"path": "a.wav", "text": 7}', r"t.jsonl:1: the text is a number, not a string"),
    ("t.jsonl", '{"path": "a.wav", "text": {"fr": "un"}}', r"t.jsonl:1: the text is an object"),
    ("t.jsonl", '{"path": "a.wav", "text": ["un"]}', r"t.jsonl:1: the text is an array"),
    ("t.jsonl", '{"path": "a.wav", "text": true}', r"t.jsonl:1: the text is true or false"),
    ("t.jsonl", '{"path": "a.wav", "text": "un", "language": []}', r"t.jsonl:1: the language is an array"),
    ("t.jsonl", '{"path": null, "text": "un"}', r"t.jsonl:1: write an object with a path"),
])
def test_what_could_be_read_in_two_ways_is_one_line(tmp_path: Path, name: str, content: str | bytes,
                                                    complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        read(tmp_path, name, content)
    assert len(str(caught.value).splitlines()) == 1


def test_null_and_nan_are_missing_values_in_json(tmp_path: Path) -> None:
    content = '{"path": "a.wav", "text": NaN, "speaker": 12, "size": {"x": 1}}\n{"path": "b.wav", "text": null}\n'
    assert read(tmp_path, "t.jsonl", content) == [{"path": "a.wav", "speaker": "12"}, {"path": "b.wav"}]


def test_the_user_says_which_words_mean_a_missing_value(tmp_path: Path) -> None:
    content = "path,text,translation\na.wav,null,zero\nb.wav,NaN,two\n"
    assert texts(read(tmp_path, "t.csv", content, "words")) == ["null", "NaN"]
    assert texts(read(tmp_path, "t.csv", content, "null nan")) == ["", ""]
    with pytest.raises(UserError, match=r"t.csv:3: the text is 'NaN'"):
        read(tmp_path, "t.csv", "path,text\na.wav,un\nb.wav,NaN\n")
    with pytest.raises(UserError, match=r"--missing: nothing: use words, or some of"):
        missing_words("nothing")


def tone(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(int(16000 * seconds)) / 20) / 4, 16000)
    return path


def test_times_make_parts_and_each_row_is_counted(tmp_path: Path) -> None:
    tone(tmp_path / "talk.wav", 10)
    tone(tmp_path / "short.wav", 2)
    rows: list[dict[str, object]] = [{"offset": 0.0, "duration": 2.0}, {"offset": "2.5", "duration": 3},
                                     {"start": 6, "end": 8.25}, {"start": 5, "end": 5}, {"start": 4, "end": 3},
                                     {"start": 9, "end": 12}, {"duration": 2.0}]
    common = {"text": "mot", "split": "train", "language": "fr"}
    lines = [{"path": "short.wav" if row == {"duration": 2.0} else "talk.wav", **common, **row}
             for row in rows]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    left_out: list[LeftOut] = []
    found = table_utterances(read_table(tmp_path / "t.jsonl", FORM), tmp_path, "", left_out)
    usable = without_unusable(found, left_out)
    assert [(utterance.start, utterance.end) for utterance in usable] == [(0, 2), (2.5, 5.5), (6, 8.25), (0, 2)]
    assert len({utterance.id for utterance in usable}) == 4 and len(usable) + len(left_out) == len(rows)
    assert [item.reason for item in left_out] == ["starts at 5 and ends at 5 s", "starts at 4 and ends at 3 s",
                                                  "is not in its recording, which has 10.00 s. Correct the times"]
    write_lists("t", usable, left_out, tmp_path / "data", ["train"])
    spans = read_segments(tmp_path / "data/train/transcribe/segments")
    assert spans["talk-0000250-0000550|fr|transcribe"].start == 2.5 and len(spans) == 4


@pytest.mark.parametrize(("columns", "complaint"), [
    ({"start": "x", "end": "2"}, "the start is 'x', not a number"), ({"start": "1"}, "has start alone"),
    ({"end": "1"}, "has end alone"), ({"offset": "1"}, "has offset alone"),
    ({"start": "1", "offset": "1", "end": "2"}, "has start, end, offset"),
    ({"start": "1", "end": "2", "duration": "1"}, "has start, end, duration"),
    ({"channel": "1"}, "channel 1: channels are not chosen")])
def test_times_and_channels_that_cannot_be_used_are_named(tmp_path: Path, columns: dict[str, str],
                                                          complaint: str) -> None:
    row = TableRow("t.csv:7", {"path": "talk.wav", "text": "mot", "language": "fr"} | columns)
    with pytest.raises(UserError, match=f"t.csv:7: {complaint}"):
        table_utterances([row], tmp_path, "", [])


@pytest.mark.parametrize("name", ["clips\\été.wav", "clips/e\u0301te\u0301.wav", "C:\\corpus\\clips\\été.wav"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_files_are_found_under_the_names_of_other_systems(tmp_path: Path, name: str,
                                                          form: Literal["NFC", "NFD"]) -> None:
    path = tone(tmp_path / unicodedata.normalize(form, "clips/été.wav"), 0.1)
    assert find_audio(tmp_path, name) == path
    assert find_audio(tmp_path, "clips/other.wav") is None


def test_audio_that_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav", 1)
    (tmp_path / "b.wav").write_bytes(b"RIFF nothing")
    rows = [TableRow(f"t.csv:{n}", {"path": name, "text": "mot", "language": "fr", "split": "dev"})
            for n, name in ((2, "a.wav"), (3, "b.wav"))]
    left_out: list[LeftOut] = []
    usable = without_unusable(table_utterances(rows, tmp_path, "", left_out), left_out)
    assert [utterance.id for utterance in usable] == ["a"]
    assert left_out[0].what == "b" and left_out[0].reason.startswith("is damaged")
