"""The default corpus: where it comes from, and the lists that are made of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.download_prompts import SHA256, download_prompts
from local.prepare_prompts import SETS, prepare_prompts
from local.prompts import split_of
from utils.data.relatives import relatives
from utils.download import debian
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def write_language(directory: Path, transcripts: str, audio: dict[str, float], zipped: bool = False) -> None:
    """Write a language's directory: its transcripts, and silent g722 files of the given seconds."""
    language = directory.name
    directory.mkdir(parents=True)
    if zipped:
        (directory / f"core-sounds-{language}.txt.gz").write_bytes(gzip.compress(transcripts.encode()))
    else:
        (directory / f"core-sounds-{language}.txt").write_text(transcripts, encoding="utf-8")
    for name, seconds in audio.items():
        path = directory / f"{name}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(int(8000 * seconds)))


def read_lists(data: Path, name: str, set_: str = "*") -> dict[str, str]:
    """Key to value over all tasks of a set, or of all sets; a key that occurs twice fails."""
    pairs: dict[str, str] = {}
    for path in sorted(data.glob(f"{set_}/*/{name}")):
        for line in path.read_text(encoding="utf-8").splitlines():
            key, value = line.split(" ", 1)
            assert key not in pairs
            pairs[key] = value
    return pairs


def dropped(data: Path) -> set[tuple[str, str, str]]:
    """(language, name, task) of each line of prompts_left_out.tsv, without its header."""
    header, *lines = (data / "prompts_left_out.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "what\treason\ttext"
    found = [(*line.split("\t")[0].split("/", 1), line.split("\t")[1].partition(": ")[0]) for line in lines]
    return {(language, name, task if task in ("transcribe", "translate") else "both") for language, name, task in found}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """English and French, with the irregularities of the real corpus."""
    root = tmp_path / "down load"
    write_language(root / "en", "\n".join([
        "; a comment", "", "activated: Activated.", "digits/11:  eleven ", "beep: [a beep]", "joined: <tone>",
        "no-audio: Nothing.", "long: A very long one.", "note: IAX (does not say two)", "accent: Full.",
        "wordless: Wordless.", "zero: Zero."]),
        {"activated": 1, "digits/11": 0.5, "beep": 1, "joined": 1, "long": 30.5, "note": 1, "accent": 1,
         "wordless": 1, "extra": 1, "zero": 0})
    write_language(root / "fr", "\ufeff; commentaire\n" + "\n".join([
        "activated: activé", "digits/11: onze", "beep: un bip", "joined: le son", "no-audio: rien",
        "long: un très long", "note: IAX", "accent: non pu? essere", "wordless:", "digits/11: douze",
        "only: seulement ici", "question: vraiment ? Oui"]),
        {"activated": 1, "digits/11": 0.5, "beep": 1, "joined": 1, "long": 30.5, "note": 1, "accent": 1,
         "wordless": 1, "only": 1, "question": 2}, zipped=True)
    return root


def test_lists_have_the_recipe_s_keys_texts_and_paths(corpus: Path, tmp_path: Path) -> None:
    prepare_prompts(corpus, tmp_path / "data", ["en", "fr"])
    assert read_lists(tmp_path / "data", "text") == {
        "en_activated|en|transcribe": "Activated.", "en_digits-11|en|transcribe": "eleven",
        "en_accent|en|transcribe": "Full.", "en_wordless|en|transcribe": "Wordless.",
        "fr_activated|fr|transcribe": "activé", "fr_activated|fr|translate": "Activated.",
        "fr_digits-11|fr|transcribe": "onze", "fr_digits-11|fr|translate": "eleven",
        "fr_accent|fr|translate": "Full.", "fr_wordless|fr|translate": "Wordless.",
        "fr_note|fr|transcribe": "IAX", "fr_only|fr|transcribe": "seulement ici",
        "fr_question|fr|transcribe": "vraiment ? Oui"}
    audio = read_lists(tmp_path / "data", "wav.scp")
    assert audio.keys() == read_lists(tmp_path / "data", "text").keys()
    assert audio["fr_digits-11|fr|translate"] == str(corpus / "fr/digits/11.g722")
    for path in (tmp_path / "data").glob("*/*/*"):
        lines = path.read_bytes().splitlines()
        assert lines == sorted(lines, key=lambda line: line.split(b" ")[0])


def test_lists_of_other_audio_are_not_written_over(corpus: Path, tmp_path: Path) -> None:
    own = tmp_path / "data/train/transcribe/wav.scp"
    own.parent.mkdir(parents=True)
    own.write_text("a|fr|transcribe /corpus/a.wav\n")
    with pytest.raises(UserError, match=r"not of the prompts.*--corpus-name"):
        prepare_prompts(corpus, tmp_path / "data", ["en", "fr"])
    assert own.read_text() == "a|fr|transcribe /corpus/a.wav\n"
    assert not own.with_name("source").exists()


def test_lists_of_an_earlier_version_are_written_again(corpus: Path, tmp_path: Path) -> None:
    """Earlier lists did not name the corpus they were made of, and the list of left-out lines had another name."""
    prepare_prompts(corpus, tmp_path / "data", ["en", "fr"])
    before = read_lists(tmp_path / "data", "text")
    for path in (tmp_path / "data").glob("*/*/source"):
        path.unlink()
    (tmp_path / "data/prompts_left_out.tsv").rename(tmp_path / "data/prompts_dropped.tsv")
    prepare_prompts(corpus, tmp_path / "data", ["en", "fr"])
    assert read_lists(tmp_path / "data", "text") == before
    assert [path.name for path in (tmp_path / "data").glob("*.tsv")] == ["prompts_left_out.tsv"]


def test_what_is_left_out_is_listed(corpus: Path, tmp_path: Path) -> None:
    prepare_prompts(corpus, tmp_path / "data", ["en", "fr"])
    both = {("en", "beep"), ("en", "joined"), ("en", "no-audio"), ("en", "long"), ("en", "zero"),
            ("en", "extra"), ("fr", "beep"), ("fr", "joined"), ("fr", "no-audio"), ("fr", "long"),
            ("fr", "digits/11")}
    transcribe = {("en", "note"), ("fr", "accent"), ("fr", "wordless")}
    translate = {("fr", "note"), ("fr", "only"), ("fr", "question")}
    assert dropped(tmp_path / "data") == {(*pair, task) for pairs, task in (
        (both, "both"), (transcribe, "transcribe"), (translate, "translate")) for pair in pairs}


def test_languages_chooses_and_paths_stay_as_given(corpus: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare_prompts(Path("down load"), Path("data"), ["fr"])
    audio = read_lists(tmp_path / "data", "wav.scp")
    assert {key.split("|")[1] for key in audio} == {"fr"}
    assert "fr_activated|fr|translate" in audio
    assert audio["fr_activated|fr|translate"] == "down load/fr/activated.g722"
    prepare_prompts(Path("down load"), Path("data"), ["en"])
    assert {key.split("|")[2] for key in read_lists(tmp_path / "data", "text")} == {"transcribe"}


def test_no_relative_of_dev_or_test_is_met_in_training(tmp_path: Path) -> None:
    """Neither by the English meaning nor in the own language, where other meanings share words."""
    rng = random.Random(0)

    def sentence(letters: str) -> str:
        return " ".join("".join(rng.choices(letters, k=7)) for _ in range(4))

    meanings = [sentence("abcdefghijklm") for _ in range(400)]
    nearly = [f"{text}s now" if i % 2 else f"please {text}" for i, text in enumerate(meanings)]  # similar, containing
    english = dict(enumerate(meanings + nearly + [text.title() + "!" for text in meanings]))
    phrases = [sentence("nopqrstuvwxyz") for _ in range(900)]
    french = {i: phrases[i % len(phrases)] + (" encore" if i >= len(phrases) else "") for i in english}
    for language, texts in (("en", english), ("fr", french)):
        lines = "\n".join(f"p{i}: {text}" for i, text in texts.items())
        write_language(tmp_path / "down" / language, lines, {f"p{i}": 0.1 for i in texts})
    prompts = prepare_prompts(tmp_path / "down", tmp_path / "data", ["en", "fr"])
    texts_of: dict[tuple[str, bool], list[str]] = {}
    for set_ in SETS:
        for key, text in read_lists(tmp_path / "data", "text", set_).items():
            language = "en" if key.endswith("translate") else key.split("|")[1]
            texts_of.setdefault((language, set_ == "train"), []).append(text)
    for language in ("en", "fr"):
        assert texts_of[language, True] and texts_of[language, False]
        assert relatives(texts_of[language, False], texts_of[language, True]) == {}
    sets = {prompt.id: prompt.set for prompt in prompts if prompt.language == "en"}
    assert all(sets[f"en_p{i}"] == sets[f"en_p{i + 400}"] == sets[f"en_p{i + 800}"] for i in range(400))
    assert 0.12 < [*sets.values()].count("test") / len(sets) < 0.23
    assert 0.04 < [*sets.values()].count("dev") / len(sets) < 0.11
    left_out = (tmp_path / "data/prompts_left_out.tsv").read_text(encoding="utf-8")
    assert "\ttrain: near-duplicate of a dev or test prompt\t" in left_out


def test_split_is_the_same_for_ever() -> None:
    """Another split would make all published scores incomparable: change these lines only on purpose."""
    assert split_of("i m sorry") == split_of("eleven") == "train"
    assert split_of("the conference is now locked") == "dev"
    assert split_of("folder 5") == split_of("for") == "test"


def test_damaged_transcripts_are_refused(corpus: Path, tmp_path: Path) -> None:
    path = corpus / "en/core-sounds-en.txt"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\nno colon here\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"core-sounds-en\.txt:13: not 'name: text'"):
        prepare_prompts(corpus, tmp_path / "data", ["en"])
    path.write_bytes(text.encode() + "\nname: activé".encode("latin-1"))
    with pytest.raises(UserError, match=r"core-sounds-en\.txt: damaged"):
        prepare_prompts(corpus, tmp_path / "data", ["en"])
    assert not (tmp_path / "data").exists()


def test_missing_language_or_audio_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"core-sounds-it\.txt is missing.*download_prompts"):
        prepare_prompts(corpus, tmp_path / "data", ["it"])
    write_language(corpus / "it", "activated: Attivato.", {})
    with pytest.raises(UserError, match=r"it: no audio.*--languages it"):
        prepare_prompts(corpus, tmp_path / "data", ["it"])
    with pytest.raises(UserError, match=r"--languages de: .*en,fr,es,it,ru"):
        prepare_prompts(corpus, tmp_path / "data", ["de", "fr"])


def test_script_prints_the_table(corpus: Path, tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, ROOT / "local/prepare_prompts.py", "--languages", "fr", corpus,
                             tmp_path / "data"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["set", "language", "transcribe", "translate", "minutes"]
    assert sum(int(row[2]) for row in rows[1:]) == 5
    assert sum(int(row[3]) for row in rows[1:]) == 4
    assert "left out: 3 (translate: no English text)" in result.stderr


def tarball(directory: Path, language: str, members: dict[str, bytes]) -> Path:
    """A release tarball with these files."""
    path = directory / f"asterisk-core-sounds-{language}-g722-1.6.1.tar.gz"
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with release tarballs of English and French whose checksums are the pinned ones."""
    for language, text in (("en", "yes: Yes."), ("fr", "yes: Oui.")):
        path = tarball(tmp_path / "release", language, {
            f"core-sounds-{language}.txt": text.encode(),
            "yes.g722": bytes(800), "digits/1.g722": bytes(800)})
        monkeypatch.setitem(SHA256, language, hashlib.sha256(path.read_bytes()).hexdigest())
    return tmp_path / "release"


@pytest.fixture
def served(release: Path) -> Iterator[tuple[str, list[str]]]:
    """The same over http: the address, and what was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=release))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_upstream_tarballs_are_unpacked_and_never_fetched_again(
        served: tuple[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, asked = served
    for _ in range(2):
        download_prompts(tmp_path / "down", ["fr"], url=url)
    assert len(asked) == 2  # English comes along, for the translations
    assert (tmp_path / "down/fr/core-sounds-fr.txt").read_text(encoding="utf-8") == "yes: Oui."
    assert (tmp_path / "down/en/digits/1.g722").stat().st_size == 800
    shown = capsys.readouterr().err
    assert "CC BY-SA 3.0" in shown
    assert "June Wallack" in shown
    prepare_prompts(tmp_path / "down", tmp_path / "data", ["fr"])


def test_tarballs_put_there_by_hand_are_used(release: Path, tmp_path: Path) -> None:
    release.rename(tmp_path / "down")
    download_prompts(tmp_path / "down", ["fr"], source="files")
    assert (tmp_path / "down/fr/yes.g722").is_file()


def test_own_files_are_left_alone(corpus: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in corpus.rglob("*"))
    download_prompts(corpus, ["en", "fr"])
    assert sorted((path, path.stat().st_mtime_ns) for path in corpus.rglob("*")) == before


def test_wrong_tarball_is_refused_and_nothing_is_left(served: tuple[str, list[str]], release: Path,
                                                     tmp_path: Path) -> None:
    tarball(release, "en", {"core-sounds-en.txt": b"yes: No.", "yes.g722": bytes(800)})
    with pytest.raises(UserError, match=r"(?s)no en prompts.*SHA-256.*Put asterisk-core-sounds-en-g722-1"):
        download_prompts(tmp_path / "down", ["en"], source="upstream", url=served[0])
    assert list((tmp_path / "down").iterdir()) == []


@pytest.fixture
def fake_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get and a dpkg that know one language; ``lists`` there once apt has been updated."""
    debian._own_lists.cache_clear()
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "apt-get").write_text(f"""#!/bin/bash
set -eu
echo "$*" >>"{tmp_path}/apt.log"
case "$*" in
  *update) touch "{tmp_path}/lists" ;;
  *) [ -e "{tmp_path}/lists" ] || {{ echo "E: Unable to locate package" >&2; exit 100; }}
     while [ "$1" != download ]; do shift; done; shift
     for name; do touch "$name"_1.6.1_all.deb; done ;;
esac
""", encoding="utf-8")
    (bin_dir / "dpkg").write_text("""#!/bin/bash
set -eu
root=$3/usr/share
mkdir -p "$root/asterisk/sounds/en_US_f_Allison/digits" "$root/doc/asterisk-core-sounds-en"
echo sound >"$root/asterisk/sounds/en_US_f_Allison/digits/1.g722"
echo "digits/1: one" | gzip >"$root/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
""", encoding="utf-8")
    for tool in bin_dir.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_dir}:{os.environ['PATH']}")
    return tmp_path / "apt.log"


def test_debian_s_packages_are_the_last_source_and_lists_are_read_when_missing(
        fake_debian: Path, served: tuple[str, list[str]], release: Path, tmp_path: Path) -> None:
    for path in release.iterdir():
        path.unlink()  # the server answers 404
    for _ in range(2):
        download_prompts(tmp_path / "down", ["en"], url=served[0])
    assert (tmp_path / "down/en/digits/1.g722").read_text() == "sound\n"
    assert (tmp_path / "down/en/core-sounds-en.txt").read_text() == "digits/1: one\n"
    assert [line.split()[-1] for line in fake_debian.read_text().splitlines()] == [
        "asterisk-core-sounds-en-g722", "update", "asterisk-core-sounds-en-g722"]


def test_all_sources_failing_says_what_was_tried(fake_debian: Path, tmp_path: Path) -> None:
    (tmp_path / "bin/apt-get").write_text("#!/bin/bash\necho 'E: no network' >&2; exit 100\n")
    with pytest.raises(UserError, match=r"(?s)upstream: .*cannot be reached.*debian: .*no network.*Put "):
        download_prompts(tmp_path / "down", ["fr"], url="http://127.0.0.1:9")
    assert list((tmp_path / "down").iterdir()) == []
