"""Stage 1 as a user runs it: task lists in, a Kaldi data directory or one clear report out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils import ROOT
from utils.data.data_directory import MergeOptions, merge_task_lists, sorted_by_speaker, write_data_directory
from utils.data.lists import read_list
from utils.errors import UserError

SCRIPT = ROOT / "pyscripts" / "merge_lists.py"
MERGED = ["spk2utt", "text", "utt2dur", "utt2spk", "wav.scp"]

MakeWav = Callable[..., Path]
WriteTask = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data" / "my train"


@pytest.fixture
def write_task(data: Path) -> WriteTask:
    """``write_task("translate", wav.scp lines, text lines)``; returns the task's directory."""
    def write(task: str, wav_scp: str, text: str, utt2spk: str = "") -> Path:
        directory = data / task
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in (("wav.scp", wav_scp), ("text", text), ("utt2spk", utt2spk)):
            if content:
                (directory / name).write_text(content, encoding="utf-8")
        return directory

    return write


@pytest.fixture
def two_tasks(make_wav: MakeWav, write_task: WriteTask) -> Path:
    """Two audio files; one of them has a transcript and a translation."""
    one, two = make_wav("one.wav", 0.5), make_wav("sound two.flac", 1.25, rate=44_100, channels=2)
    write_task("transcribe", f"b|zh|transcribe {two}\na|french|transcribe {one}\n",
               "a | french | transcribe -> un\u00a0deux\nb|zh|transcribe 你好\n")
    write_task("translate", f"a|french|translate {one}\n", "a|french|translate one two\n")
    return one


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def merge(data: Path, **options: object) -> None:
    merged = merge_task_lists(data, MergeOptions(**options))
    write_data_directory(data, merged)


def content(data: Path, name: str) -> list[str]:
    return (data / name).read_text(encoding="utf-8").splitlines()


def files(data: Path) -> list[str]:
    return sorted(path.name for path in data.iterdir() if path.is_file())


def refusal(data: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        merge(data, **options)
    assert files(data) == []
    return str(caught.value)


def test_the_script_merges_and_counts(data: Path, two_tasks: Path) -> None:
    done = run_script("--nj", "2", data)
    assert done.returncode == 0
    assert files(data) == MERGED
    assert content(data, "text") == [
        "a|french|transcribe un deux", "a|french|translate one two", "b|zh|transcribe 你好"]
    assert content(data, "wav.scp")[:2] == [
        f"a|french|transcribe {two_tasks}", f"a|french|translate {two_tasks}"]
    assert content(data, "utt2dur") == [
        "a|french|transcribe 0.500", "a|french|translate 0.500", "b|zh|transcribe 1.250"]
    own_speaker = [f"{line.split()[0]} {line.split()[0]}" for line in content(data, "text")]
    assert content(data, "utt2spk") == content(data, "spk2utt") == own_speaker
    assert "2 audio files, 3 targets, 0.00 hours" in done.stderr
    assert "3 targets read = 3 kept + 0 dropped + 0 of other languages" in done.stderr
    assert ["fr", "translate", "1", "0.00"] in [line.split() for line in done.stderr.splitlines()]


def test_the_script_reports_without_a_traceback(data: Path, write_task: WriteTask) -> None:
    write_task("transcribe", "a|fr|transcribe no.wav\n", "a|fr|transcribe x\n")
    done = run_script(data)
    assert done.returncode == 1
    assert f"{data}/transcribe/wav.scp:1: no.wav: does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_problems_of_all_lists_are_reported_together(data: Path, make_wav: MakeWav,
                                                     write_task: WriteTask) -> None:
    good, long, cut = make_wav("good.wav"), make_wav("long.wav", 30.5, rate=8000), make_wav("cut.wav", 2.0)
    cut.write_bytes(cut.read_bytes()[:9000])
    write_task("transcribe",
               f"a|fr|transcribe {good}\nb|fr|transcribe {good}\n"
               f"c|fr|transcribe {long}\nd|fr|transcribe {cut}\n",
               "a|fr|transcribe x\nc|fr|transcribe x\nd|fr|transcribe x\ne|fr|transcribe x\n")
    write_task("translate", f"a|fr|transcribe {good}\nb|fr|translate {good}\n",
               "a|fr|transcribe x\nb|fr|translate\n")
    report = refusal(data)
    for wanted in (
        "transcribe/text:4: key e|fr|transcribe is not in ",
        "transcribe/wav.scp:2: key b|fr|transcribe is not in ",
        f"transcribe/wav.scp:3: {long}: 30.50 s are more than --max-seconds 30.",
        f"transcribe/wav.scp:4: {cut}: is cut off",
        "translate/text:1: key a|fr|transcribe is in a list of the task translate.",
        "translate/text:2: nothing after key b|fr|translate.",
        "translate/wav.scp:1: key a|fr|transcribe is in a list of",
    ):
        assert sum(line.startswith(f"{data}/{wanted}") for line in report.splitlines()) == 1, wanted
    assert report.startswith(f"{data}: 7 lines cannot be used:")  # b|fr|translate is reported once, in text
    assert report.endswith("--skip-bad true")


def test_skip_bad_drops_lines_and_says_which(data: Path, make_wav: MakeWav, write_task: WriteTask) -> None:
    good = make_wav("good.wav")
    write_task("transcribe", f"a|fr|transcribe {good}\nb|fr|transcribe no.wav\nc|fr|transcribe {good}\n",
               "a|fr|transcribe x\na|fr|transcribe again\nb|fr|transcribe x\nc|fr|transcribe\n")
    done = run_script("--skip-bad", "true", data)
    assert done.returncode == 0
    assert content(data, "text") == ["a|fr|transcribe x"]
    header, *rows = [line.split("\t") for line in content(data, "left_out.tsv")]
    assert header == ["what", "reason", "where"]
    assert [(what, where) for what, _, where in rows] == [
        ("a|fr|transcribe", f"{data}/transcribe/text:2"),
        ("c|fr|transcribe", f"{data}/transcribe/text:4"),
        ("b|fr|transcribe", f"{data}/transcribe/wav.scp:2")]
    (data / "dropped.tsv").touch()  # of an earlier version
    assert "dropped 2 of 3 targets, 3 lines" in done.stderr
    assert "3 targets read = 1 kept + 2 dropped + 0 of other languages" in done.stderr

    (data / "transcribe" / "text").write_text("a|fr|transcribe new\n", encoding="utf-8")
    (data / "transcribe" / "wav.scp").write_text(f"a|fr|transcribe {good}\n", encoding="utf-8")
    merge(data, skip_bad=True, check_audio=False)
    assert files(data) == ["spk2utt", "text", "utt2spk", "wav.scp"]  # nothing stale: left_out.tsv, utt2dur
    assert content(data, "text") == ["a|fr|transcribe new"]


def test_nothing_left_is_an_error_even_with_skip_bad(data: Path, write_task: WriteTask) -> None:
    write_task("transcribe", "a|fr|transcribe no.wav\n", "a|fr|transcribe x\n")
    assert "no line is left" in refusal(data, skip_bad=True)


def test_a_failed_merge_leaves_the_former_one(data: Path, two_tasks: Path) -> None:
    merge(data)
    before = {name: content(data, name) for name in MERGED}
    (data / "translate" / "text").write_text("a|french|translate\n", encoding="utf-8")
    with pytest.raises(UserError, match="nothing after key"):
        merge(data)
    assert {name: content(data, name) for name in files(data)} == before


def test_relative_audio_is_seen_from_here_or_else_from_the_list(
        data: Path, make_wav: MakeWav, write_task: WriteTask, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make_wav("wavs/here.wav")
    monkeypatch.chdir(here.parents[1])
    directory = write_task("translate", "a|fr|translate wavs/here.wav\nb|fr|translate  beside  it.wav \n",
                           "a|fr|translate x\nb|fr|translate y\n")
    (directory / "beside  it.wav").write_bytes(here.read_bytes())
    merge(data)
    assert content(data, "wav.scp") == [
        "a|fr|translate wavs/here.wav", f"b|fr|translate {directory}/beside  it.wav"]


def test_tasks_and_languages_can_be_chosen(data: Path, two_tasks: Path) -> None:
    merge(data, tasks=["transcribe"], languages=["French"])
    assert content(data, "text") == ["a|french|transcribe un deux"]
    with pytest.raises(UserError, match="no line is of the languages ru"):
        merge(data, languages=["ru"])


def test_lines_of_other_languages_are_not_judged(data: Path, make_wav: MakeWav,
                                                 write_task: WriteTask) -> None:
    write_task("transcribe", f"a|fr|transcribe {make_wav('a.wav')}\nb|it|transcribe no.wav\n",
               "a|fr|transcribe x\nb|it|transcribe\n")
    merged = merge_task_lists(data, MergeOptions(languages=["fr"]))
    assert list(merged.text) == ["a|fr|transcribe"]
    assert (merged.n_seen, merged.n_dropped, merged.n_other_languages) == (2, 0, 1)


@pytest.mark.parametrize(("options", "complaint"), [
    ({"tasks": ["trnslate"]}, "--tasks: unknown task 'trnslate'"),
    ({"tasks": []}, "--tasks: names no task"),
    ({"languages": ["frnch"]}, "--languages: .*french"),
    ({"max_seconds": 31}, "--max-seconds 31"),
    ({"nj": 0}, "--nj 0"),
    ({"tokenizer": Path("/no/dir")}, "--tokenizer /no/dir"),
])
def test_options_are_checked_before_anything_is_read(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        MergeOptions(**options)


def test_a_set_without_lists_names_what_to_put_where(data: Path, write_task: WriteTask) -> None:
    data.mkdir(parents=True)
    assert f"{data}/transcribe or {data}/translate" in refusal(data)
    write_task("transcribe", "a|fr|transcribe a.wav\n", "")
    assert f"{data}/transcribe/text: cannot be read" in refusal(data)


def test_speakers_of_the_task_lists_are_kept(data: Path, make_wav: MakeWav,
                                             write_task: WriteTask) -> None:
    wav = make_wav("a.wav")
    write_task("transcribe", f"s1-a|fr|transcribe {wav}\n", "s1-a|fr|transcribe x\n",
               "s1-a|fr|transcribe s1\n")
    translate = write_task("translate", f"s1-a|fr|translate {wav}\n", "s1-a|fr|translate x\n")
    assert f"{translate}/utt2spk: is missing" in refusal(data)
    write_task("translate", "", "", "s1-a|fr|translate s1 s2\n")
    assert "translate/utt2spk:1: speaker 's1 s2' has a space" in refusal(data)
    write_task("translate", "", "", "s1-b|fr|translate s1\n")
    assert f"key s1-a|fr|translate is not in {translate}/utt2spk" in refusal(data)
    write_task("translate", "", "", "s1-a|fr|translate s1\n")
    merge(data)
    assert content(data, "spk2utt") == ["s1 s1-a|fr|transcribe s1-a|fr|translate"]


def test_speakers_that_are_no_prefixes_break_kaldis_order() -> None:
    assert sorted_by_speaker({"b": "s2", "a": "s1"})
    assert not sorted_by_speaker({"b": "s1", "a": "s2"})


def test_audio_of_two_keys_is_opened_once(data: Path, make_wav: MakeWav, write_task: WriteTask,
                                          tmp_path: Path) -> None:
    wav, calls = make_wav("a.wav"), tmp_path / "calls"
    command = f"echo called >> '{calls}'; cat '{wav}' |"
    for task in ("transcribe", "translate"):
        write_task(task, f"a|fr|{task} {command}\n", f"a|fr|{task} x\n")
    assert "--allow-pipes true" in refusal(data)
    assert not calls.exists()
    merge(data, allow_pipes=True)
    assert calls.read_text().count("called") == 1
    assert content(data, "wav.scp") == [f"a|fr|transcribe {command}", f"a|fr|translate {command}"]


def test_texts_and_languages_the_model_cannot_take(data: Path, make_wav: MakeWav, write_task: WriteTask,
                                                   tiny_whisper: Path) -> None:
    wav = make_wav("a.wav")
    keys = ["a|fr|translate", "b|fr|translate", "c|yue|translate"]
    texts = ["x" * 442, "x" * 443, "hello"]  # one token a letter, one for the space that begins every text
    write_task("translate", "".join(f"{key} {wav}\n" for key in keys),
               "".join(f"{key} {text}\n" for key, text in zip(keys, texts, strict=True)))
    report = refusal(data, tokenizer=tiny_whisper)
    assert "translate/text:2: text of b|fr|translate has 444 tokens, Whisper has room for 443." in report
    assert "translate/text:3: c|yue|translate: this Whisper model has no token <|yue|>" in report
    assert "text:1:" not in report


NAMES = st.sampled_from(["a", "b", "-rf", "../../x", "$(touch ran)", "`x`;x", "\u202ea", "a\u200d", "a\0", "", "é|"])
TEXTS = st.sampled_from(["one two", "...", "", "x" * 10_000, "\u202eשלום", "\x07", "a\u2028b", "<b>|", "two  spaces "])
ENTRIES = st.tuples(NAMES, st.sampled_from(["fr", "zh", "xx"]), st.sampled_from(["transcribe", "translate"]), TEXTS)


@settings(max_examples=100, deadline=None)
@given(st.lists(ENTRIES, max_size=5), st.lists(ENTRIES, max_size=5), st.lists(ENTRIES, max_size=5),
       st.sampled_from([[], ["fr"]]), st.sampled_from([b"", b"\xff\n", b"\xef\xbb\xbf"]))
def test_every_target_is_kept_dropped_with_a_reason_or_of_another_language(
        tmp_path_factory: pytest.TempPathFactory, audio: list, transcripts: list, translations: list,
        languages: list[str], head: bytes) -> None:
    top = tmp_path_factory.mktemp("any")
    for task, texts in (("transcribe", transcripts), ("translate", translations)):
        (top / task).mkdir()
        for name, entries in (("wav.scp", [*audio, *texts]), ("text", texts)):
            lines = "".join(f"{id_}|{language}|{of} {value}\n" for id_, language, of, value in entries)
            (top / task / name).write_bytes(head + lines.encode())
    try:
        merged = merge_task_lists(top, MergeOptions(skip_bad=True, check_audio=False, languages=languages))
    except UserError as error:
        assert "Traceback" not in str(error) and str(top) in str(error)
        return
    write_data_directory(top, merged)
    assert merged.text.keys() == merged.wav_scp.keys() == merged.utt2spk.keys()
    assert merged.n_dropped >= 0 and bool(merged.n_dropped) <= bool(merged.problems)
    read = {line.split(maxsplit=1)[0] for path in top.glob("t*/text")
            for line in path.read_text("utf-8-sig", "replace").split("\n") if line.strip()}
    reasons = {problem.key for problem in merged.problems}
    assert {key for key in read - merged.text.keys() - reasons if not languages or "|fr|" in key} == set()
    assert read_list(top / "text") == merged.text
    assert sorted(path.name for path in top.iterdir()) == sorted(
        ["transcribe", "translate", "spk2utt", "text", "utt2spk", "wav.scp", *["left_out.tsv"][:len(merged.problems)],
         *["doubtful.tsv"][:len(merged.doubtful)]])


def test_the_number_of_threads_changes_nothing(data: Path, two_tasks: Path) -> None:
    written = []
    for nj in (1, 7):
        merge(data, nj=nj)
        written.append({name: content(data, name) for name in files(data)})
    assert written[0] == written[1]
