"""A corpus of one's own: egs/TEMPLATE/setup.sh, and a folder of audio with a table as spreadsheets write it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from egs_run import ROOT, load_script, recipe_copy, run_corpus
from made_corpus import write_tones

from utils.data.corpus_table import FORM
from utils.data.tables import read_table
from utils.errors import UserError

preparing = load_script("TEMPLATE", "prepare_template")
downloading = load_script("TEMPLATE", "download_template")
SPREADSHEET = ("\ufeffPath;Text;Translation;Language;Split\r\n"
               "clips\\a 1.wav;\"Bonjour; \"\"monde\"\"\r\ndit-il\";Hello, world;french;train\r\n"
               "clips/b.wav;Merci;;fr;valid\r\n"
               "clips/b2.wav;;Thanks;fr;test\r\n"
               "clips/c.wav;Good morning;Good morning;en;test\r\n"
               "\r\n"
               "clips/d.wav;Perdu;Lost;fr;train\r\n"
               "clips/b.wav;;;fr;train\r\n")


def write_audio(directory: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_tones(directory / name, (300 + 50 * number, 500), 0.2, np.random.default_rng(number))
    return directory


def test_a_spreadsheet_becomes_lists(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "my corpus", "clips/a 1.wav", "clips/b.wav", "clips/b2.wav", "clips/c.wav")
    (folder / "table.csv").write_text(SPREADSHEET, encoding="utf-8", newline="")
    preparing.prepare_template(folder, tmp_path / "data")
    lists = {f"{path.parts[-3]}/{path.parts[-2]}": path.read_text(encoding="utf-8").splitlines()
             for path in (tmp_path / "data").glob("*/*/text")}
    assert lists == {"train/transcribe": ['clips_a_1|fr|transcribe Bonjour; "monde" dit-il'],
                     "train/translate": ["clips_a_1|fr|translate Hello, world"],
                     "dev/transcribe": ["clips_b|fr|transcribe Merci"],
                     "test/translate": ["clips_b2|fr|translate Thanks"],
                     "test/transcribe": ["clips_c|en|transcribe Good morning"]}
    scp = (tmp_path / "data/train/transcribe/wav.scp").read_text()
    assert scp == f"clips_a_1|fr|transcribe {folder}/clips/a 1.wav\n"
    table = folder / "table.csv"
    assert (tmp_path / "data/template_left_out.tsv").read_text().splitlines()[1:] == [
        f"{table}:6\ttranslation: the speech is English already", f"{table}:8\tno audio: clips/d.wav",
        f"{table}:9\tno text"]


def test_tables_named_after_splits_languages_and_speakers(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "c", *(f"{number}.wav" for number in range(4)))
    rows = [{"path": f"{number}.wav", "text": "mot", "speaker": "Marie B.", "language": "fr"} for number in range(3)]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "dev.tsv").write_text("path\ttext\tsize\n0.wav\tun mot\t9\n3.wav\tdeux\t9\n")
    (folder / "test.csv").write_text("path,text,speaker\n0.wav,mot,P\n")
    preparing.prepare_template(folder, tmp_path / "data", languages="french", language="fr")
    speakers = (tmp_path / "data/train/transcribe/utt2spk").read_text().splitlines()
    assert speakers[2] == "Marie_B.-2|fr|transcribe Marie_B."
    assert len((tmp_path / "data/dev/transcribe/text").read_text().splitlines()) == 2
    with pytest.raises(UserError, match="--languages german: this corpus has fr only"):
        preparing.prepare_template(folder, tmp_path / "data", languages="german", language="fr")


def test_without_a_split_speakers_stay_together_and_sets_stay_the_same(tmp_path: Path) -> None:
    def sets(count: int) -> dict[str, str]:
        folder = write_audio(tmp_path / f"{count}", "a.wav")
        lines = [f"a.wav,text {number},fr,speaker{number // 2},{number}" for number in range(count)]
        (folder / "t.csv").write_text("path,text,language,speaker,id\n" + "\n".join(lines))
        found = preparing.prepare_template(folder, tmp_path / "data")
        assert len({(utterance.speaker, utterance.set) for utterance in found}) == count // 2
        return {utterance.id: utterance.set for utterance in found}

    few, many = sets(60), sets(400)
    assert many.items() >= few.items()
    counts = [list(many.values()).count(name) for name in ("dev", "test")]
    assert all(20 <= count <= 60 for count in counts)


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("t.csv", "file,text\na,b\n", r"t.csv:1: its columns are file, text. Name them: path, and text"),
    ("t.csv", "path,text\na.wav,one, two\n", r"t.csv:2: 3 columns, the header has 2"),
    ("t.csv", "path,text\na.wav,\"one\" two\n", "t.csv:2: .*expected after.*Write .* for a quote"),
    ("t.csv", "path,text\n", "has no rows"), ("t.csv", "", "its columns are none"),
    ("t.csv", "path,text\na.wav,mot\n", "t.csv:2: no language. Add a column language, or use --language"),
    ("t.csv", "path,text,language\na.wav,mot,frensh\n", "t.csv:2: unknown language 'frensh'. Did you mean french"),
    ("t.csv", "path,text,language,split\na.wav,mot,fr,x\n", "t.csv:2: unknown split 'x'. Use one of: train, dev"),
    ("t.csv", "path,text,language,split\na.wav,mot,fr,train\n", "no utterances for .*dev. Check the download"),
    ("t.csv", "path,text,language,split\nb.wav,mot,fr,train\n", "first .*t.csv:2 .no audio: b.wav"),
    ("t.csv", "path,text,language,split\na.wav,mot,fr,dev\na.wav,mot,fr,dev\na.wav,mot,fr,train\na.wav,mot,fr,test\n",
     r"t.csv:3: its id a is that of .*t.csv:2. Give one of them another id"),
    ("t.jsonl", '{"path": "a.wav"\n', r"t.jsonl:1: no JSON"), ("t.jsonl", "[1]\n", r"t.jsonl:1: write an object"),
    ("t.txt", "path,text\n", "no table .csv, tsv or jsonl.: put or link"),
])
def test_mistakes_in_a_table_are_named(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    folder = write_audio(tmp_path, "a.wav")
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=complaint):
        preparing.prepare_template(folder, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,text\na.wav,été\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"t.csv:2: not UTF-8 .*Save it as UTF-8"):
        read_table(tmp_path / "t.csv", FORM)


def test_lists_of_ones_own_are_not_written_over(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "c", "a.wav")
    (folder / "t.csv").write_text("path,text,language,split\n" + "".join(f"a.wav,mot,fr,{s}\n" for s in preparing.SETS))
    own = tmp_path / "data/dev/translate/wav.scp"
    own.parent.mkdir(parents=True)
    own.write_text("a|fr|translate a.wav\n")
    with pytest.raises(UserError, match=r"data/dev/translate: has lists that no corpus was made into: move them away"):
        preparing.prepare_template(folder, tmp_path / "data")
    assert own.exists() and not (tmp_path / "data/train").exists()


def new_corpus(recipe: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["egs/TEMPLATE/setup.sh", *arguments], cwd=recipe, capture_output=True, text=True)


def test_new_corpus_refuses_bad_names(tmp_path: Path) -> None:
    recipe_copy(tmp_path / "my recipes", "TEMPLATE")
    for arguments, complaint in ((("egs/Mine",), "cannot be that of a Python module"),
                                 (("egs/a-b",), "cannot be that of a Python module"),
                                 (("egs/template",), "taken"), (("mine",), "not in the egs/ of a recipe"),
                                 ((), "usage: egs/TEMPLATE/setup.sh egs/NAME")):
        refused = new_corpus(tmp_path / "my recipes", *arguments)
        assert refused.returncode == 1 and complaint in refused.stderr, arguments
    assert [path.name for path in (tmp_path / "my recipes/egs").iterdir()] == ["TEMPLATE"]


@pytest.mark.egs
def test_a_new_corpus_runs_whole(tiny_whisper: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "my recipes"
    recipe_copy(recipe, "TEMPLATE")
    made = new_corpus(recipe, "egs/mine")
    assert made.returncode == 0, made.stderr
    assert "Three things to fill in" in made.stdout and "download_mine.py" in made.stdout
    assert new_corpus(recipe, "egs/mine").returncode == 1  # not made over
    egs = recipe / "egs/mine"
    assert not [path for path in egs.rglob("*") if path.is_file() and "template" in path.read_text()]
    failed = run_corpus(egs, tiny_whisper)
    assert "egs/mine: no table" in failed.stderr.replace("download/mine", "egs/mine") and failed.returncode == 1
    folder = write_audio(tmp_path / "speech", *(f"{number}.wav" for number in range(6)))
    lines = [f"{number}.wav,un mot,a word,{split}\n" for number, split in enumerate(("train", "dev", "test") * 2)]
    (folder / "table.csv").write_text("path,text,translation,split\n" + "".join(lines))
    (egs / "download").mkdir(exist_ok=True)
    (egs / "download/mine").symlink_to(folder)
    finished = run_corpus(egs, tiny_whisper, "--prepare-args", "--language french")
    assert finished.returncode == 0, finished.stderr
    report = (egs / "exp/tiny/RESULTS.md").read_text(encoding="utf-8")
    assert "WER" in report and "BLEU" in report
    assert (egs / "exp/tiny/ct2_int8/model.bin").is_file()


def test_the_template_is_what_new_corpus_copies() -> None:
    """The placeholder is in the names of files and functions, so that setup.sh can replace it with the new name."""
    assert {path.name for path in (ROOT / "egs/TEMPLATE/local").glob("*.py")} == {"download_template.py",
                                                                                  "prepare_template.py"}
    assert downloading.download_template and preparing.prepare_template


@pytest.mark.parametrize("name", ["a\nb|fr|transcribe touch x |.wav", "touch ran |"])
def test_file_names_that_would_be_lines_or_commands_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_audio(tmp_path / "c", "good.wav")
    (folder / "good.wav").rename(folder / name)
    rows = [{"path": name, "text": "mot", "split": split} for split in ("train", "dev", "test")]
    (folder / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match="cannot be in a list"):
        preparing.prepare_template(folder, tmp_path / "data", language="fr")
    assert not list(tmp_path.glob("data/*/*/wav.scp"))
