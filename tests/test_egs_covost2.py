"""CoVoST 2 from a replica of its tables and of Common Voice: names, nesting and oddities of the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from egs_run import load_script, recipe_copy, run_corpus
from replica_files import recording, tar_gz
from replica_server import ReplicaServer, forget_proxies, serve

from utils.data.languages import language_code
from utils.download.corpus_archives import Places
from utils.errors import UserError

downloading = load_script("covost2", "download_covost2")
preparing = load_script("covost2", "prepare_covost2")

ANNE, BERT = "a1" * 64, "b2" * 64  # client_id has 128 letters
HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"


def voice_table(language: str, rows: list[tuple[str, int, str]], header: str = HEADER, end: str = "\n") -> bytes:
    """validated.tsv from client, number of the clip, sentence."""
    lines = [f"{client}\tcommon_voice_{language}_{number}.mp3\t{text}\t2\t0\t\t\t" for client, number, text in rows]
    return (end.join([header, *lines]) + end).encode()


def covost_table(language: str, rows: list[tuple[int, str, str]]) -> bytes:
    """covost_v2.LANG_en.tsv in its archive, from number of the clip, translation, split."""
    lines = [f"common_voice_{language}_{number}.mp3\t{text}\t{split}" for number, text, split in rows]
    name = f"covost_v2.{language}_en.tsv"
    return tar_gz({name: ("\n".join(["path\ttranslation\tsplit", *lines]) + "\n").encode()})


# Quotes that are not closed, an escaped tab, a byte order mark, CRLF; a clip without audio, one without transcript, one
# without translation, one of no set, one too long, a line cut short.
FRENCH = voice_table("fr", [
    (ANNE, 1, '"Bonjour, dit-il'), (ANNE, 2, "Merci bien"), (BERT, 3, "Elle\\\tpart"), (BERT, 4, "On n'entend rien"),
    (ANNE, 5, "Pas traduit"), (BERT, 6, "De personne"), (BERT, 8, "Trop long"), (BERT, 20, "Au revoir"),
    (ANNE, 30, 'Il a dit "oui"')], header="\ufeff" + HEADER, end="\r\n") + b"cut\tshort\r\n"
FRENCH_EN = covost_table("fr", [
    (1, '"Hello", he said', "train"), (2, "Thank you", "train_covost"), (3, "She leaves", "train"),
    (4, "You hear nothing", "train"), (5, "", "train"), (6, "Nobody's", "test_covost"), (7, "Deleted", "train"),
    (8, "Too long", "train"), (20, "Goodbye", "dev"), (30, 'He said "yes"', "test")])
FRENCH_CLIPS = {number: 0.9 + number / 50 for number in (1, 2, 3, 5, 6, 20, 30)} | {8: 30.2}
CHINESE = voice_table("zh-CN", [(ANNE, 1, "你好"), (BERT, 2, "謝謝你"), (BERT, 3, "再見")])
CHINESE_EN = covost_table("zh-CN", [(1, "Hello", "train"), (2, "Thank you", "dev"), (3, "Goodbye", "test")])


def clips(language: str, seconds: dict[int, float]) -> dict[str, bytes]:
    """Common Voice's mp3 at 48 kHz."""
    return {f"clips/common_voice_{language}_{number}.mp3": recording(length, 200 + 30 * number, "MP3", 48_000)
            for number, length in seconds.items()}


@pytest.fixture(scope="module")
def french() -> bytes:
    """fr.tar.gz, as version 4 comes."""
    return tar_gz({"validated.tsv": FRENCH, "train.tsv": b"", **clips("fr", FRENCH_CLIPS)})


def put_files(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def download_dir(tmp_path: Path, french: bytes) -> Path:
    """A download directory with what the user must put there: an archive, and a directory as newer ones unpack."""
    put_files(tmp_path / "dl/common_voice", {"cv-corpus-4-2019-12-10-fr.tar.gz": french})
    put_files(tmp_path / "dl/common_voice/cv-corpus-4-2019-12-10/zh-CN",
              {"validated.tsv": CHINESE, **clips("zh-CN", {1: 1.0, 2: 1.1, 3: 1.2})})
    return tmp_path / "dl"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaServer]:
    forget_proxies(monkeypatch)
    with serve({"covost_v2.fr_en.tsv.tar.gz": FRENCH_EN, "covost_v2.zh-CN_en.tsv.tar.gz": CHINESE_EN}) as running:
        yield running


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_tables_and_clips_become_lists(server: ReplicaServer, download_dir: Path, tmp_path: Path) -> None:
    server.bytes_before_drop, server.ranges = [50], False
    languages = downloading.languages_of("", download_dir)
    assert languages == ["fr", "zh"]
    downloading.download_covost2(download_dir, languages, Places([server.url]))
    preparing.prepare_covost2(download_dir, tmp_path / "data", languages)
    anne, bert = ANNE[:16], BERT[:16]
    assert lines(tmp_path / "data/train/transcribe/text") == [
        f'{anne}-common_voice_fr_1|fr|transcribe "Bonjour, dit-il',
        f"{anne}-common_voice_fr_2|fr|transcribe Merci bien",
        f"{anne}-common_voice_fr_5|fr|transcribe Pas traduit", f"{anne}-common_voice_zh-CN_1|zh|transcribe 你好",
        f"{bert}-common_voice_fr_3|fr|transcribe Elle part"]
    assert lines(tmp_path / "data/train/translate/text") == [
        f'{anne}-common_voice_fr_1|fr|translate "Hello", he said', f"{anne}-common_voice_fr_2|fr|translate Thank you",
        f"{anne}-common_voice_zh-CN_1|zh|translate Hello", f"{bert}-common_voice_fr_3|fr|translate She leaves"]
    assert lines(tmp_path / "data/test/translate/text")[0].endswith('|fr|translate He said "yes"')
    assert lines(tmp_path / "data/dev/translate/utt2spk")[0] == f"{bert}-common_voice_fr_20|fr|translate {bert}"
    assert lines(tmp_path / "data/dev/translate/wav.scp")[0].endswith(
        f" {download_dir}/common_voice/fr/clips/common_voice_fr_20.mp3")
    table = f"{download_dir}/common_voice/fr/validated.tsv"
    assert sorted(lines(tmp_path / "data/covost2_left_out.tsv")[1:]) == sorted([
        f"{table}:11\tnot as many fields as columns", "common_voice_fr_4.mp3\tnot in clips/",
        "common_voice_fr_5.mp3\tnothing to translate: empty text", "common_voice_fr_7.mp3\tnot in validated.tsv",
        f"{bert}-common_voice_fr_8\tlonger than 30 s"])
    asked = len(server.asked)
    downloading.download_covost2(download_dir, languages, Places([server.url]))
    assert len(server.asked) == asked  # what is there is not fetched again


def test_what_the_user_must_fetch_is_named(server: ReplicaServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"downloaded by hand.*/common_voice: has none of fr de es .* cy"):
        downloading.languages_of("", tmp_path)
    put_files(tmp_path / "common_voice/cy", {"validated.tsv": voice_table("cy", [])})
    with pytest.raises(UserError) as caught:
        downloading.download_covost2(tmp_path, ["cy", "sv"], Places([server.url]))
    text = str(caught.value)
    assert f"cy: {tmp_path}/common_voice/cy has validated.tsv, but no clips/*.mp3" in text
    assert f"sv-SE: neither {tmp_path}/common_voice/sv-SE.tar.gz nor" in text
    assert server.asked == []  # before anything is downloaded


def test_another_version_of_common_voice_is_told(server: ReplicaServer, download_dir: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    downloading.download_covost2(download_dir, ["zh"], Places([server.url]))
    voice = download_dir / "common_voice/cv-corpus-4-2019-12-10/zh-CN"
    (voice / "clips/common_voice_zh-CN_1.mp3").unlink()
    with pytest.raises(UserError, match=r"covost2: no utterances for .*train"):
        preparing.prepare_covost2(download_dir, tmp_path / "data", ["zh"])
    assert "has 2 of the 3 clips of covost_v2.zh-CN_en.tsv: not Common Voice 4?" in capsys.readouterr().err
    (voice / "validated.tsv").write_bytes(voice_table("zh-CN", [(ANNE, 77, "你好")]))
    with pytest.raises(UserError, match=r"has none of the 3 clips .*made on Common Voice 4"):
        preparing.prepare_covost2(download_dir, tmp_path / "data", ["zh"])
    (voice / "validated.tsv").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"validated\.tsv: cannot be read: "):
        preparing.prepare_covost2(download_dir, tmp_path / "data", ["zh"])
    (voice / "validated.tsv").write_text("path\tsentence\n")
    with pytest.raises(UserError, match=r"validated\.tsv:1: no column client_id"):
        preparing.prepare_covost2(download_dir, tmp_path / "data", ["zh"])


def test_languages_are_the_paper_s_and_whisper_knows_them(tmp_path: Path) -> None:
    assert len(set(downloading.LANGUAGES)) == 21
    assert [language_code(code) for code in downloading.LANGUAGES] == list(downloading.LANGUAGES)
    assert downloading.languages_of("sv-SE, chinese fr", tmp_path) == ["sv", "zh", "fr"]
    with pytest.raises(UserError, match="--languages ko: this corpus has fr de"):
        downloading.languages_of("ko", tmp_path)


@pytest.mark.egs
def test_the_whole_recipe_runs_on_the_replica(server: ReplicaServer, french: bytes, tiny_whisper: Path,
                                              tmp_path: Path) -> None:
    egs = recipe_copy(tmp_path / "my recipes", "covost2")
    chinese = {"validated.tsv": CHINESE, **clips("zh-CN", {1: 1.0, 2: 1.1, 3: 1.2})}
    put_files(egs / "download/covost2/common_voice", {"fr.tar.gz": french, "zh-CN.tar.gz": tar_gz(
        {f"cv-corpus-4/zh-CN/{name}": content for name, content in chinese.items()})})
    finished = run_corpus(egs, tiny_whisper, "--languages", "fr chinese", "--download-args", f"--url '{server.url}'")
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    report = (egs / "exp/tiny/RESULTS.md").read_text("utf-8")
    assert all(metric in report for metric in ("WER", "CER", "BLEU")) and "machine-made" not in report
    assert (egs / "exp/tiny/ct2_int8/model.bin").is_file()
