"""Data of other toolkits becomes lists that stage 1 accepts, with right times, and nothing is dropped unnamed."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from utils import ROOT
from utils.audio.loading import load_audio
from utils.data.data_directory import MergedLists, MergeOptions, merge_task_lists
from utils.errors import UserError
from utils.importing.found import ImportOptions
from utils.importing.kinds import KINDS, reader_of
from utils.importing.lists import Imported, import_entries

RATE = 16_000


def samples_of(seconds: float, pitch: float = 300) -> np.ndarray:
    return (np.sin(np.arange(int(seconds * RATE)) * pitch * 2 * np.pi / RATE) / 4).astype(np.float32)


@pytest.fixture
def wavs(tmp_path: Path) -> Path:
    """``corpus/`` with talk.wav (10 s), a.wav (1 s) and b.wav (2 s)."""
    directory = tmp_path / "corpus"
    directory.mkdir()
    for name, seconds, pitch in (("talk", 10, 300), ("a", 1, 400), ("b", 2, 500)):
        soundfile.write(directory / f"{name}.wav", samples_of(seconds, pitch), RATE, subtype="FLOAT")
    return directory


def run(kind: str, source: Path, set_dir: Path, extract: bool = False, **options: Any) -> tuple[Imported, MergedLists]:
    """Import, and merge as stage 1 does."""
    settings = ImportOptions(**options)
    imported = import_entries(reader_of(kind)(str(source), settings), set_dir, settings.language, extract)
    merged = merge_task_lists(set_dir, MergeOptions())
    n_targets = sum(len(utterance.targets) for utterance in imported.utterances)
    assert len(merged.text) == n_targets and not merged.problems
    return imported, merged


def lines(path: Path, *records: Any) -> Path:
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as stream:
        stream.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
    return path


@pytest.mark.parametrize("name", ["manifest.json", "manifest.jsonl.gz"])
def test_a_nemo_manifest_with_segments_languages_and_tasks(wavs: Path, tmp_path: Path, name: str) -> None:
    speech = {"source_lang": "fr", "audio_filepath": "talk.wav"}
    first = speech | {"offset": 0.5, "duration": 2.0}
    manifest = lines(wavs / name, first | {"text": "bonjour à tous", "target_lang": "fr"},
                     first | {"answer": "hello everybody", "target_lang": "en"},
                     speech | {"offset": 3, "duration": 1.5, "text": "hallo", "target_lang": "de"},
                     speech | {"offset": 9, "duration": 4, "text": "trop", "target_lang": "fr"},
                     speech | {"offset": 1, "duration": 1, "text": float("nan")})
    imported, merged = run("nemo", manifest, tmp_path / "data/train")
    assert merged.text == {"talk-0000050-0000250|fr|transcribe": "bonjour à tous",
                           "talk-0000050-0000250|fr|translate": "hello everybody"}
    assert set(merged.seconds.values()) == {2.0}
    assert [item.reason for item in imported.left_out] == [
        "the text is in de; Whisper translates into English only", "no text",
        "is not in its recording, which has 10.00 s. Correct the times"]
    assert imported.n_entries == 5
    table = (tmp_path / "data/train_import_left_out.tsv").read_text()
    assert f"{manifest}:3\tthe text is in de" in table


def tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_tarred_nemo_audio_is_extracted(wavs: Path, tmp_path: Path) -> None:
    tar(wavs / "audio_0.tar", **{"a.wav": (wavs / "a.wav").read_bytes()})
    tar(wavs / "audio_1.tar", **{"b.wav": (wavs / "b.wav").read_bytes(), "c.wav": b"damaged"})
    manifest = lines(wavs / "m.json", *({"audio_filepath": f"{name}.wav", "duration": 1, "text": name, "lang": "de",
                                         "shard_id": 0} for name in "abcd"))
    shards = str(wavs / "audio_*.tar")
    with pytest.raises(UserError, match=r"m.json:1: its audio is inside a container. Give --extract true"):
        run("nemo", manifest, tmp_path / "data/train", shards=shards)
    imported, merged = run("nemo", manifest, tmp_path / "data/train", extract=True, shards=shards)
    assert {key: round(merged.seconds[source]) for key, source in merged.wav_scp.items()} == {
        "a|de|transcribe": 1, "b|de|transcribe": 2}
    assert np.allclose(load_audio(merged.wav_scp["b|de|transcribe"]), samples_of(2, 500), atol=1e-4)
    both = lines(wavs / "both.json", *({"audio_filepath": "a.wav", "text": text, "source_lang": "de", "target_lang": to}
                                       for text, to in (("ja", "de"), ("yes", "en"))))
    _, of_both = run("nemo", both, tmp_path / "data/dev", extract=True, shards=shards)
    assert of_both.text == {"a|de|transcribe": "ja", "a|de|translate": "yes"}
    assert [item.reason.split(",")[0] for item in imported.left_out] == ["its audio is in none of the shards",
                                                                         "is damaged"]


def test_wenet_lists_and_shards(wavs: Path, tmp_path: Path) -> None:
    raw = lines(wavs / "data.list", {"key": "u1", "wav": "a.wav", "txt": "你好"},
                {"key": "u2", "wav": "talk.wav", "txt": "世界", "start": 1.0, "end": 2.5},
                {"key": "u3", "wav": "missing.wav", "txt": "没有"}, {"key": "u4", "wav": "a.wav", "txt": ""})
    imported, merged = run("wenet", raw, tmp_path / "data/train", language="zh")
    assert merged.text == {"u1|zh|transcribe": "你好", "u2|zh|transcribe": "世界"}
    assert sorted(merged.seconds.values()) == [1.0, 1.5] and len(imported.left_out) == 2
    tar(wavs / "shard_0.tar", **{"u1.txt": "一".encode(), "u1.wav": (wavs / "a.wav").read_bytes(), "u2.wav": b"x"})
    (wavs / "shards.list").write_text("shard_0.tar\n")
    imported, merged = run("wenet", wavs / "shards.list", tmp_path / "data/dev", extract=True, language="zh")
    assert merged.text == {"u1|zh|transcribe": "一"} and imported.left_out[0].what.endswith("shard_0.tar:u2")


def test_whisper_finetune_lists_with_and_without_times(wavs: Path, tmp_path: Path) -> None:
    source = lines(wavs / "train.json", {"audio": {"path": "a.wav"}, "sentence": "你好", "language": "Chinese"},
                   {"audio": {"path": "talk.wav"}, "sentence": "ab", "language": "Chinese", "sentences": [
                       {"start": 0, "end": 1.2, "text": "甲"}, {"start": 2, "end": 4, "text": "乙"}, {"text": "丙"}]})
    imported, merged = run("whisper-finetune", source, tmp_path / "data/train")
    assert sorted(merged.text.values()) == ["乙", "你好", "甲"]
    assert sorted(merged.seconds.values()) == [1.0, 1.2, 2.0] and imported.left_out[0].reason == "no times"


def test_common_voice_and_covost_tables(wavs: Path, tmp_path: Path) -> None:
    (wavs / "clips").mkdir()
    for name in "ab":
        (wavs / f"{name}.wav").rename(wavs / f"clips/{name}.mp3")  # the content decides how it is read
    (wavs / "train.tsv").write_text("client_id\tpath\tsentence\tup_votes\tlocale\nX1\ta.mp3\t\"Oui, dit-il\t2\tfr\n"
                                    "X2\tb.mp3\tNon\t2\tfr\nX3\tc.mp3\tPerdu\t2\tfr\n")
    imported, merged = run("commonvoice", wavs / "train.tsv", tmp_path / "data/train")
    assert merged.text == {"X1-a|fr|transcribe": '"Oui, dit-il', "X2-b|fr|transcribe": "Non"}
    assert merged.utt2spk["X1-a|fr|transcribe"] == "X1" and imported.left_out[0].reason.startswith("no audio: ")
    (wavs / "covost_v2.fr_en.dev.tsv").write_text("path\tsentence\ttranslation\tclient_id\na.mp3\tOui\tYes\tX1\n")
    _, merged = run("commonvoice", wavs / "covost_v2.fr_en.dev.tsv", tmp_path / "data/dev")
    assert merged.text == {"X1-a|fr|transcribe": "Oui", "X1-a|fr|translate": "Yes"}


def kaldi(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name).write_text(content, encoding="utf-8")
    return directory


def test_kaldi_and_espnet_directories(wavs: Path, tmp_path: Path) -> None:
    source = kaldi(wavs / "dir", **{
        "wav.scp": f"talk {wavs}/talk.wav\nb cat {wavs}/b.wav |\n", "utt2spk": "s1-u1 s1\ns1-u2 s1\nu3 s2\n",
        "segments": "s1-u1 talk 0.5 2.0\ns1-u2 talk 3 4\nu3 b 0 1.5\nu4 none 0 1\n",
        "text.tc.de": "s1-u1 Guten Tag\ns1-u2 Danke\nu3 Ja\nu4 x\nu5 y\n", "text.lc.de": "s1-u1 guten tag\n",
        "text.tc.en": "s1-u1 Good day\n"})
    with pytest.raises(UserError, match=r"u3: cat .*is a command, which is run to know its length. Give --allow-pipes"):
        run("kaldi", source, tmp_path / "data/train", language="de")
    entries = reader_of("kaldi")(str(source), ImportOptions(language="de"))
    imported = import_entries(entries, tmp_path / "data/train", "de", extract=False, allow_pipes=True)
    merged = merge_task_lists(tmp_path / "data/train", MergeOptions(allow_pipes=True))
    assert merged.text == {"s1-u1|de|transcribe": "Guten Tag", "s1-u1|de|translate": "Good day",
                           "s1-u2|de|transcribe": "Danke", "s2-u3|de|transcribe": "Ja"}
    assert sorted(set(merged.seconds.values())) == [1.0, 1.5]
    assert [item.reason for item in imported.left_out] == ["its recording none is not in wav.scp", "no audio"]


def test_paths_of_a_kaldi_directory_are_seen_from_where_its_recipe_runs(wavs: Path, tmp_path: Path) -> None:
    source = wavs / "data/train"
    source.mkdir(parents=True)
    kaldi(source, **{"wav.scp": "a a.wav\nb none.wav\n", "text": "a ja\nb nein\n"})
    imported, merged = run("kaldi", source, tmp_path / "data/train", language="de")
    assert merged.text == {"a|de|transcribe": "ja"} and merged.wav_scp["a|de|transcribe"] == str(wavs / "a.wav")
    assert imported.left_out[0].reason == f"no audio: none.wav, seen from {Path.cwd()}"


def test_channels_of_a_kaldi_directory_are_refused_by_name(wavs: Path, tmp_path: Path) -> None:
    source = kaldi(wavs / "dir", **{"wav.scp": f"talk-A {wavs}/talk.wav\ntalk-B {wavs}/talk.wav\n",
                                    "text": "talk-A x\n", "reco2file_and_channel": "talk-A talk A\ntalk-B talk B\n"})
    with pytest.raises(UserError, match=r"talk-B and talk-A are channels of one file"):
        run("kaldi", source, tmp_path / "data/train", language="de")


def test_owsm_targets(wavs: Path, tmp_path: Path) -> None:
    source = kaldi(wavs / "dir", **{
        "wav.scp": f"t {wavs}/talk.wav\nb {wavs}/b.wav\nc {wavs}/b.wav\n",
        "text": "t <fra><st_eng><0.00> Good morning<1.20><1.40> everybody<3.00>\nb <fra><asr><notimestamps> oui\n"
                "c <fra><st_deu><notimestamps> ja\n"})
    imported, merged = run("owsm", source, tmp_path / "data/train")
    assert merged.text == {"b|fr|transcribe": "oui", "t-001|fr|translate": "Good morning",
                           "t-002|fr|translate": "everybody"}
    assert merged.segments["t-002|fr|translate"].start == 1.4 and len(imported.left_out) == 1


def test_datasets_as_the_library_writes_them(wavs: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({
        "audio": [{"path": str(wavs / f"{name}.wav"), "bytes": None} for name in "ab"],
        "translation": [{"fr": "oui", "en": "yes"}, {"fr": "non", "en": None}], "speaker_id": [1, 2]})
    table = table.cast(datasets.Features(table.features | {"audio": datasets.Audio(decode=False)}))
    table.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"validation": table}).save_to_disk(str(tmp_path / "dict"))
    for source, split, name in (("saved", "train", "one"), ("dict", "validation", "two")):
        _, merged = run("datasets", tmp_path / source, tmp_path / "data" / name, extract=True, language="fr",
                        split=split)
        assert sorted(merged.text.values()) == ["non", "oui", "yes"]
        assert {key.split("-")[0] for key in merged.text} == {"1", "2"}
    with pytest.raises(UserError, match=r"--split test: .*dict has validation"):
        run("datasets", tmp_path / "dict", tmp_path / "data/three", language="fr", split="test")
    embedded = {"audio": [{"bytes": (wavs / "a.wav").read_bytes(), "path": "a.wav"}], "sentence": ["oui"],
                "lang": ["fr_fr"]}
    table = datasets.Dataset.from_dict(embedded)
    table = table.cast(datasets.Features(table.features | {"audio": datasets.Audio(decode=False)}))
    table.to_parquet(tmp_path / "one.parquet")
    with pytest.raises(UserError, match="its audio is inside a container"):
        run("datasets", tmp_path / "one.parquet", tmp_path / "data/four")
    _, merged = run("datasets", tmp_path / "one.parquet", tmp_path / "data/four", extract=True)
    assert merged.text == {"a|fr|transcribe": "oui"} and set(merged.seconds.values()) == {1.0}
    nameless = {"audio": [{"bytes": (wavs / f"{name}.wav").read_bytes(), "path": None} for name in "ab"],
                "text": ["oui", "non"]}
    datasets.Dataset.from_dict(nameless).to_parquet(tmp_path / "two.parquet")
    _, merged = run("datasets", tmp_path / "two.parquet", tmp_path / "data/six", extract=True, language="fr")
    assert merged.text == {"row-1|fr|transcribe": "oui", "row-2|fr|transcribe": "non"}
    with pytest.raises(UserError, match="has no column words, but audio, sentence, lang"):
        run("datasets", tmp_path / "one.parquet", tmp_path / "data/five", columns={"text": "words"})


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
def test_an_audio_folder_of_datasets(wavs: Path, tmp_path: Path, table: str) -> None:
    rows = [{"file_name": "a.wav", "transcription": "oui"}, {"file_name": "b.wav", "transcription": "non"}]
    (wavs / "talk.wav").unlink()
    if table.endswith("csv"):
        (wavs / table).write_text("file_name,transcription\na.wav,oui\nb.wav,non\n")
    else:
        lines(wavs / table, *rows)
    _, merged = run("datasets", wavs, tmp_path / "data/train", language="fr")
    assert merged.text == {"a|fr|transcribe": "oui", "b|fr|transcribe": "non"}
    assert sorted(merged.seconds.values()) == [1.0, 2.0]


def test_lhotse_as_the_library_writes_it(wavs: Path, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    recording = lhotse.Recording.from_file(wavs / "talk.wav")
    spans = ((0.5, 1.5, "oui", {"translation": "yes"}), (3.0, 2.0, "non", None), (6.0, 1.0, "", None))
    supervisions = lhotse.SupervisionSet.from_segments(
        lhotse.SupervisionSegment(id=f"s{n}", recording_id="talk", start=start, duration=length, text=text,
                                  language="French", speaker="Marie", custom=custom)
        for n, (start, length, text, custom) in enumerate(spans))
    directory = tmp_path / "manifests"
    directory.mkdir()
    lhotse.RecordingSet.from_recordings([recording]).to_file(directory / "x_recordings.jsonl.gz")
    supervisions.to_file(directory / "x_supervisions.jsonl.gz")
    cuts = lhotse.CutSet.from_manifests(recordings=lhotse.RecordingSet.from_recordings([recording]),
                                        supervisions=supervisions)
    cuts.to_file(tmp_path / "cuts.jsonl.gz")
    cuts.trim_to_supervisions().to_eager().to_file(tmp_path / "trimmed.jsonl.gz")
    expected = {"Marie-s0|fr|transcribe": "oui", "Marie-s0|fr|translate": "yes", "Marie-s1|fr|transcribe": "non"}
    for number, source in enumerate(("manifests", "cuts.jsonl.gz", "trimmed.jsonl.gz")):
        imported, merged = run("lhotse", tmp_path / source, tmp_path / f"data/set{number}")
        assert merged.text == expected and [item.reason for item in imported.left_out] == ["no text"]
        assert merged.segments["Marie-s1|fr|transcribe"].start == 3.0
    (tmp_path / "shar").mkdir()
    cuts.to_shar(tmp_path / "shar", fields={"recording": "wav"}, shard_size=1)
    _, merged = run("lhotse", tmp_path / "shar", tmp_path / "data/shar", extract=True)
    assert merged.text == expected
    said = load_audio(merged.wav_scp["Marie-s1|fr|transcribe"])
    assert np.allclose(said, samples_of(10, 300)[3 * RATE:5 * RATE], atol=1e-3)


@pytest.mark.parametrize(("kind", "content", "complaint"), [
    ("nemo", '{"audio_filepath": "a.wav", "text": 5, "lang": "fr"}', "m:1: text is 5, not a string"),
    ("nemo", '{"wav": "a.wav"}', "m:1: no audio_filepath"), ("nemo", "{", "m:1: no JSON"),
    ("nemo", '["a"]', "m:1: not a JSON object"), ("wenet", '{"key": "a"}', "m:1: no wav"),
    ("whisper-finetune", '{"audio": "a.wav"}', r"m:1: no audio\.path"),
    ("nemo", '{"audio_filepath": "a.wav", "text": "x", "duration": "long"}', "duration is 'long', not a number"),
    ("nemo", '{"audio_filepath": "a.wav", "text": "x"}', "m:1: no language. Say it: --language"),
    ("nemo", '{"audio_filepath": "a.wav", "text": "x", "lang": "klingon"}', "m:1: unknown language 'klingon'"),
    ("nemo", '{"audio_filepath": "no.wav", "text": "x", "lang": "fr"}', "no utterance is left of 1 entries"),
    ("owsm", "", "wav.scp: cannot be read"), ("kaldi", "", "wav.scp: cannot be read"),
    ("commonvoice", "a\tb\n", "m:1: its columns are a, b"),
])
def test_what_cannot_be_read_is_one_line(wavs: Path, tmp_path: Path, kind: str, content: str, complaint: str) -> None:
    (wavs / "m").write_text(content)
    with pytest.raises(UserError, match=complaint) as caught:
        run(kind, wavs / "m", tmp_path / "data/train")
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / "data").exists()


def test_the_script_writes_lists_and_counts(wavs: Path, tmp_path: Path) -> None:
    manifest = lines(wavs / "m.json", {"audio_filepath": "a.wav", "text": "ja"}, {"audio_filepath": "b.wav"})
    command = [sys.executable, str(ROOT / "pyscripts/import_data.py")]
    done = subprocess.run([*command, "--from", "nemo", "--language", "german", str(manifest), "data/train"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "data/train: 2 entries read; 1 utterances with 1 targets written; 1 lines in data/train_" in done.stderr
    assert (tmp_path / "data/train/transcribe/text").read_text() == "a|de|transcribe ja\n"
    bad = subprocess.run([*command, "--from", "kaldy", "x", "data/train"], cwd=tmp_path, capture_output=True, text=True)
    assert bad.returncode == 1 and "--from kaldy: use one of commonvoice datasets kaldi" in bad.stderr
    quoted = subprocess.run([*command, "--from", "nemo", "--columns", "text='a", "x", "data/train"], cwd=tmp_path,
                            capture_output=True, text=True)
    assert quoted.returncode == 1 and "No closing quotation. Close the quote" in quoted.stderr
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True).stdout
    assert all(f"\n  {kind} " in shown for kind in KINDS)


SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Bonjour</i>
à tous.

2
00:00:03,000 --> 00:00:04,050
Merci &amp; bonsoir.

3
00:00:04,000 --> 00:00:05,000
Au revoir.

4
00:00:04,500 --> 00:00:05,500
Non !

5
00:00:06,000 --> 00:00:06,000
Rien.

6
00:00:07,000 --> 00:00:08,000
♪ ♪

7
00:00:09,000 --> 00:00:12,000
La fin.
"""
VTT = """WEBVTT

00:01.050 --> 00:02.480
<v Ann>Hello everybody.

00:03.000 --> 00:05.000
Thanks, and goodbye.
"""


def test_subtitles_beside_recordings(wavs: Path, tmp_path: Path) -> None:
    (wavs / "talk.fr.srt").write_text(SRT, encoding="utf-8-sig")
    (wavs / "talk.en.vtt").write_text(VTT, encoding="utf-8")
    (wavs / "lost.fr.srt").write_text(SRT, encoding="utf-8")
    found, merged = run("subtitles", wavs, tmp_path / "data/train")
    by_time = {(one.start, one.end): one.targets for one in found.utterances}
    assert by_time == {(1.0, 2.5): {"transcribe": "Bonjour à tous.", "translate": "Hello everybody."},
                       (3.0, 4.0): {"transcribe": "Merci & bonsoir."}, (4.0, 5.0): {"transcribe": "Au revoir."},
                       (3.0, 5.0): {"translate": "Thanks, and goodbye."}}
    assert all(one.language == "fr" for one in found.utterances) and len(merged.text) == 5
    reasons = {Path(one.what).name: one.reason for one in found.left_out}
    assert reasons["lost.fr.srt"] == "no recording lost.* beside it"
    assert reasons["talk.fr.srt:15"] == "starts at 4.5 s, before the end of another one"
    assert reasons["talk.fr.srt:19"] == "starts at 6 and ends at 6 s"
    assert reasons["talk.fr.srt:23"] == "no text"
    assert any("is not in its recording, which has 10.00 s" in reason for reason in reasons.values())


def test_what_subtitles_are_of(wavs: Path, tmp_path: Path) -> None:
    (wavs / "talk.en.srt").write_text(SRT, encoding="utf-8")
    english, _ = run("subtitles", wavs, tmp_path / "data/english")
    assert {(one.language, *one.targets) for one in english.utterances} == {("en", "transcribe")}
    translated, _ = run("subtitles", wavs, tmp_path / "data/german", language="german")
    assert {(one.language, *one.targets) for one in translated.utterances} == {("de", "translate")}
    (wavs / "talk.fr.srt").write_text(SRT, encoding="utf-8")
    (wavs / "talk.de.srt").write_text(SRT, encoding="utf-8")
    with pytest.raises(UserError, match=r"subtitles in de and fr. Say what is spoken: --language de"):
        run("subtitles", wavs, tmp_path / "data/which")
    french, _ = run("subtitles", wavs, tmp_path / "data/french", language="fr")
    assert {one.language for one in french.utterances} == {"fr"}
    assert any("a translation into another language than English: de" in one.reason for one in french.left_out)


def test_subtitles_that_cannot_be_read_are_one_line(wavs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no subtitles \(\.srt, "):
        run("subtitles", wavs, tmp_path / "out")
    for content, complaint in ((b"\xff\xfeabc", "cannot be read as UTF-8"), (b"just text", "no subtitles that pysubs2"),
                               (b"WEBVTT\n", "no subtitles that pysubs2|has no cue")):
        (wavs / "talk.fr.srt").write_bytes(content)
        with pytest.raises(UserError, match=complaint):
            run("subtitles", wavs, tmp_path / "out")
