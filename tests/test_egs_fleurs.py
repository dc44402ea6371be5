"""FLEURS from a replica of its repository: names, nesting and oddities of the real one, a few tones of speech."""

from __future__ import annotations

import io
import os
import random
import signal
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from egs_run import load_script, recipe_copy, run_corpus, start_corpus
from replica_server import ReplicaServer, forget_proxies, serve

from utils.data.languages import language_code
from utils.download.corpus_archives import Places
from utils.errors import UserError

downloading = load_script("fleurs", "download_fleurs")
preparing = load_script("fleurs", "prepare_fleurs")

ENGLISH = {"1": "Hello, \"world\".", "2": "Thanks!", "3": "Goodbye.", "4": "It is\u2028late.", "6": "Unused."}
# Sentence, recording, text; every language has its own selection of the sentences.
FRENCH = {"train": [("1", "11", "Bonjour, \"monde\"."), ("1", "12", "Bonjour, \"monde\"."), ("3", "13", "Adieu."),
                    ("5", "14", "Personne ne traduit cela."), ("2", "15", "")],
          "dev": [("2", "21", "Merci\u00a0!")], "test": [("3", "31", "Adieu."), ("4", "32", "Il est\u2028tard.")]}
CHINESE = {"train": [("1", "41", "你好,世界。")], "dev": [("2", "42", "谢谢!")], "test": [("4", "43", "很晚了。")]}


def tsv(rows: list[tuple[str, str, str]], end: str = "\n", samples: int = 6400) -> bytes:
    lines = ["\t".join([sentence, f"{file}.wav", text, text.lower(), " ".join(text) + " |", str(samples), "MALE"])
             for sentence, file, text in rows]
    return "".join(line + end for line in lines).encode()


def audio_archive(set_: str, files: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        directory = tarfile.TarInfo(set_)
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for number, file in enumerate(files):
            wav = io.BytesIO()
            tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(6400) / 16_000)
            soundfile.write(wav, tone.astype(np.float32), 16_000, format="WAV", subtype="FLOAT")
            member = tarfile.TarInfo(f"{set_}/{file}.wav")
            member.size = len(wav.getvalue())
            archive.addfile(member, io.BytesIO(wav.getvalue()))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def repository() -> dict[str, bytes]:
    """Path and content of the files under data/: English sentences, French, Chinese with Windows' line ends."""
    files = {f"en_us/{set_}.tsv": tsv([(number, number + i, ENGLISH[number]) for number in numbers for i in "ab"])
             for set_, numbers in (("train", "136"), ("dev", "2"), ("test", "4"))}
    for config, rows, end in (("fr_fr", FRENCH, "\n"), ("cmn_hans_cn", CHINESE, "\r\n")):
        for set_, lines in rows.items():
            files[f"{config}/{set_}.tsv"] = (b"\xef\xbb\xbf" if end != "\n" else b"") + tsv(lines, end)
            files[f"{config}/audio/{set_}.tar.gz"] = audio_archive(set_, [file for _, file, _ in lines])
    files["fr_fr/train.tsv"] += tsv([("6", "16", "Trop long.")], samples=16_000 * 31) + tsv([("6", "17", "Muet.")])
    files["fr_fr/audio/train.tar.gz"] = audio_archive("train", ["11", "12", "13", "14", "15", "16", "99"])
    return files


@pytest.fixture
def server(repository: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaServer]:
    forget_proxies(monkeypatch)
    monkeypatch.setattr(downloading, "MEGABYTES", dict.fromkeys(downloading.SETS, 1))
    with serve(dict(repository)) as running:
        yield running


def test_downloaded_languages_become_lists_of_both_tasks(server: ReplicaServer, tmp_path: Path) -> None:
    server.bytes_before_drop = [10, 20, 100, 5]
    downloading.download_fleurs(tmp_path / "dl", ["fr", "zh"], Places([server.url]))
    assert not any("en_us/audio" in path for path, _ in server.asked)  # of English only the sentences are needed
    preparing.prepare_fleurs(tmp_path / "dl", tmp_path / "data", ["fr", "zh"])
    text = {(set_, task): (tmp_path / "data" / set_ / task / "text").read_text().splitlines()
            for set_ in downloading.SETS for task in ("transcribe", "translate")}
    assert text["train", "transcribe"] == ["fr_1_11|fr|transcribe Bonjour, \"monde\".",
                                           "fr_1_12|fr|transcribe Bonjour, \"monde\".",
                                           "fr_5_14|fr|transcribe Personne ne traduit cela.",
                                           "zh_1_41|zh|transcribe 你好,世界。"]
    assert text["train", "translate"] == [f"{id_}|translate Hello, \"world\"."
                                          for id_ in ("fr_1_11|fr", "fr_1_12|fr", "zh_1_41|zh")]
    assert text["test", "translate"][1] == "fr_4_32|fr|translate It is late."
    assert text["dev", "transcribe"] == ["fr_2_21|fr|transcribe Merci !", "zh_2_42|zh|transcribe 谢谢!"]
    scp = (tmp_path / "data/test/translate/wav.scp").read_text().splitlines()
    assert scp[0] == f"fr_3_31|fr|translate {tmp_path}/dl/fr_fr/audio/test/test/31.wav"
    assert sorted((tmp_path / "data/fleurs_left_out.tsv").read_text().splitlines()[1:]) == [
        "fr train 99.wav\tno sentence", "fr_2_15\tno text", "fr_3_13\ttrain: the sentence is in dev or test",
        "fr_5_14\ttranslate: no English sentence of this number", "fr_6_16\tlonger than 30 s",
        "fr_6_17\tno recording, or a second line of it"]
    asked = len(server.asked)
    downloading.download_fleurs(tmp_path / "dl", ["fr", "zh"], Places([server.url]))
    assert len(server.asked) == asked


def test_damaged_and_missing_files_are_named(server: ReplicaServer, repository: dict[str, bytes],
                                             tmp_path: Path) -> None:
    server.files["fr_fr/audio/dev.tar.gz"] = repository["fr_fr/audio/dev.tar.gz"][:-9]
    with pytest.raises(UserError, match=r"fr_fr/audio/dev.tar.gz: cannot be unpacked: .*delete it and run again"):
        downloading.download_fleurs(tmp_path, ["fr"], Places([server.url]))
    assert not (tmp_path / "fr_fr/audio/dev").exists()
    with pytest.raises(UserError, match=r"audio/dev: no recordings: run stage 0 with --languages fr"):
        preparing.prepare_fleurs(tmp_path, tmp_path / "data", ["fr"])
    (tmp_path / "fr_fr/dev.tsv").write_bytes(b"<html>log in first</html>\n")
    with pytest.raises(UserError, match=r"dev.tsv:1: 1 columns, FLEURS has 7"):
        preparing.read_rows(tmp_path / "fr_fr/dev.tsv")
    assert not (tmp_path / "data").exists()


def test_every_config_belongs_to_a_language_that_whisper_knows() -> None:
    assert all(language_code(code) == code for code in downloading.CONFIGS)
    assert len({*downloading.CONFIGS.values(), *downloading.UNKNOWN_TO_WHISPER}) == 102
    for config in downloading.UNKNOWN_TO_WHISPER:
        with pytest.raises(ValueError, match="unknown language"):
            language_code(config.split("_")[0])
    assert downloading.fleurs_languages("French,zh es_419 javanese") == ["fr", "zh", "es", "jw"]
    assert len(downloading.fleurs_languages("")) == 83
    for name, complaint in (("zu_za", "Whisper knows none of .*zu_za"), ("zulu", "unknown language 'zulu'"),
                            ("breton", "this corpus has af am")):
        with pytest.raises(UserError, match=f"--languages.*{complaint}"):
            downloading.fleurs_languages(name)


@pytest.mark.egs
def test_the_whole_recipe_runs_on_the_replica(server: ReplicaServer, tiny_whisper: Path, tmp_path: Path) -> None:
    egs = recipe_copy(tmp_path / "my recipes", "fleurs")
    finished = run_corpus(egs, tiny_whisper, "--languages", "fr", "--download-args", f"--url '{server.url}'")
    assert finished.returncode == 0, finished.stderr
    report = (egs / "exp/tiny/RESULTS.md").read_text(encoding="utf-8")
    assert "WER" in report and "BLEU" in report
    assert "Stage 5" in finished.stderr and (egs / "exp/tiny/ct2_int8/model.bin").is_file()


@pytest.mark.kill
def test_killed_while_it_downloads_or_writes_lists_it_finishes_the_same(server: ReplicaServer, tiny_whisper: Path,
                                                                        tmp_path: Path) -> None:
    def lists(egs: Path) -> dict[str, bytes]:
        return {str(path.relative_to(egs)): path.read_bytes().replace(os.fsencode(egs), b"")
                for path in egs.glob("data/**/*") if path.is_file() and ".steps" not in path.parts}

    whole, killed = (recipe_copy(tmp_path / name, "fleurs") for name in ("whole", "killed"))
    options = ("--stop-stage", "1", "--languages", "fr", "--download-args", f"--url '{server.url}'")
    undisturbed = run_corpus(whole, tiny_whisper, *options)
    assert undisturbed.returncode == 0, undisturbed.stderr
    server.seconds, seed, kills = 0.3, random.randrange(10_000), 0
    rng = random.Random(seed)
    while True:
        process = start_corpus(killed, tiny_whisper, *options)
        deadline = time.monotonic() + rng.uniform(0.5, 6 + kills)  # ever later: a slow machine must end, too
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, f"seed {seed}: {said}"
        kills += 1
    assert kills > 0 and lists(killed) == lists(whole) and lists(whole)
    unpacked, again = (sorted(str(path.relative_to(egs)) for path in egs.glob("download/fleurs/**/*"))
                       for egs in (whole, killed))
    assert unpacked == again
