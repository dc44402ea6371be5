"""Error analysis: result.txt in sclite's style, suspicious outputs, scoring in chunks on several cores."""

import json
import random
import re
import subprocess
import weakref
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.score import score_directory as bulk_scoring
from utils.score.error_analysis import Confusions, worst_utterances
from utils.score.metrics import ScoringOptions, TextPair, measure, pair_texts
from utils.score.score_directory import score_directory
from utils.score.score_files import read_suspects, render_alignments
from utils.score.suspects import find_faults, longest_repetition

DECODE = {"system": "base", "set": "test", "seconds": 2.5, "audio_seconds": 20.0}
REFERENCES = {"a|en|transcribe": "press one for sales", "b|en|transcribe": "press two for the sales team",
              "c|en|transcribe": "goodbye"}
HYPOTHESES = {"a|en|transcribe": "press won for sails", "b|en|transcribe": "press two four sails team",
              "c|en|transcribe": "a goodbye"}


def kinds(reference: str, hypothesis: str, other: str | None = None, language: str = "fr",
          task: str = "transcribe") -> list[str]:
    utterance = TextPair(f"u|{language}|{task}", language, task, "u", reference, hypothesis)
    return [suspect.kind for suspect in find_faults(utterance, other)]


def score(directory: Path, references=REFERENCES, hypotheses=HYPOTHESES, nj: int = 1) -> list[dict]:
    directory.mkdir(exist_ok=True)
    return score_directory(directory, DECODE, pair_texts(references, hypotheses), ScoringOptions("basic"), 100, nj)


def test_result_says_what_went_wrong_most_often(tmp_path):
    score(tmp_path)
    result = (tmp_path / "score_wer" / "result.txt").read_text()
    rows = {line.split()[1]: re.findall(r"[\d.]+", line) for line in result.splitlines() if line.startswith("| ")}
    assert rows["Sum/Avg"] == rows["en"] == ["3", "11", "54.5", "36.4", "9.1", "9.1", "54.5", "100.0"]
    lists = re.split(r"CONFUSION PAIRS|DELETIONS|INSERTIONS|WORST UTTERANCES|ALIGNMENTS", result)
    pairs, deletions, insertions, worst = ([line.split("->")[1].strip() for line in part.splitlines() if "->" in line]
                                           if index < 3 else part for index, part in enumerate(lists[1:5]))
    assert pairs == ["sales ==> sails", "for ==> four", "one ==> won", "the ==> sails"] or pairs[0] == "for ==> four"
    assert len(deletions) == 1 and insertions == ["a"]
    assert worst.index("b|en") < worst.index("a|en") < worst.index("c|en")


def test_alignments_are_shown_as_sclite_shows_them(tmp_path):
    score(tmp_path)
    result = (tmp_path / "score_wer" / "result.txt").read_text()
    assert """\
id: (a|en|transcribe)
Scores: (#C #S #D #I) 2 2 0 0
REF:  press one for sales
HYP:  press won for sails
Eval:       S       S
""" in result
    assert "REF:  * goodbye\nHYP:  a goodbye\nEval: I\n" in result


@pytest.mark.programs("sctk")
def test_sclite_prints_the_same_block(tmp_path):
    score(tmp_path)
    command = "sctk sclite -r ref.trn trn -h hyp.trn trn -i wsj -s -e utf-8 -o pra stdout"
    theirs = subprocess.run(command.split(), cwd=tmp_path / "score_wer", check=True, capture_output=True,
                            text=True).stdout
    ours = (tmp_path / "score_wer" / "result.txt").read_text()

    def block(text: str) -> list[str]:
        lines = text.partition("id: (a|en|transcribe)\n")[2].splitlines()
        return [" ".join(line.split()) for line in lines if line.startswith(("Scores:", "REF:", "HYP:", "Eval:"))][:4]

    assert block(ours) == block(theirs)


def test_columns_stay_aligned_in_chinese():
    utterances = pair_texts({"a|zh|transcribe": "请输入密码"}, {"a|zh|transcribe": "请入密了码"})
    measurement, = measure(utterances, ScoringOptions("none"))
    reference, hypothesis, marks = render_alignments(measurement).alignments.splitlines()[2:5]
    assert (reference, hypothesis) == ("REF:  请 输 入 密 ** 码", "HYP:  请 ** 入 密 了 码")
    assert marks == "Eval:    D        I"


def test_columns_stay_aligned_where_marks_have_no_width():
    references, hypotheses = {"a|hi|transcribe": "हिंदी में बात", "b|th|transcribe": "ข้าว"}, {
        "a|hi|transcribe": "हिंदी बात", "b|th|transcribe": "ขาว"}
    words, characters = measure(pair_texts(references, hypotheses), ScoringOptions("basic"))
    reference, hypothesis, marks = render_alignments(words).alignments.splitlines()[2:5]
    assert (reference, hypothesis, marks) == ("REF:  हिंदी में बात", "HYP:  हिंदी * बात", "Eval:      D")
    reference, hypothesis, marks = render_alignments(characters).alignments.splitlines()[2:5]
    assert (reference, hypothesis, marks) == ("REF:  ข ้  า ว", "HYP:  ข * า ว", "Eval:   D")


def test_worst_utterances_have_most_errors():
    measurement, = measure(pair_texts(REFERENCES, {**HYPOTHESES, "c|en|transcribe": "goodbye"}),
                           ScoringOptions("none"))
    assert worst_utterances(measurement.statistics) == [1, 0]


def test_confusions_forget_the_rarest_first(monkeypatch):
    monkeypatch.setattr("utils.score.error_analysis._KEPT", 2)
    all_of_them, few = Confusions(), Confusions()
    few.insertions.update({"often": 9, "sometimes": 5, "x": 1, "y": 1, "z": 1})
    all_of_them.merge(few)
    assert dict(all_of_them.insertions) == {"often": 9, "sometimes": 5}


@pytest.mark.parametrize(("units", "expected"), [
    ("no no no no", (4, ["no"])), ("a b a b a b c", (3, ["a", "b"])), ("a b c", (1, [])), ("", (1, [])),
    ("x thank you for thank you for thank you for", (3, ["thank", "you", "for"]))])
def test_repetitions_are_counted(units, expected):
    repeats, phrase = longest_repetition(units.split())
    assert (repeats, sorted(phrase)) == (expected[0], sorted(expected[1]))


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), [
    ("bonjour à tous", "bonjour à tous", []),
    ("bonjour", "", ["empty"]),
    ("bonjour", "...", ["empty"]),
    ("", "bonjour", []),
    ("deux deux deux deux", "deux deux deux deux", []),  # really said
    ("merci", "merci merci merci merci merci", ["loop"]),
    ("merci bien", "merci bien " * 20, ["loop", "too long"]),
    ("oui", "sous-titres réalisés par la communauté d'amara.org", ["too long"]),
    ("un deux trois quatre cinq six sept", "un", ["too short"]),
    ("привет всем друзьям", "privet vsem druz'yam", ["wrong script"]),
    ("call 112", "call 112", []),
    ("カメラ", "亀裂", []),  # both are Japanese
])
def test_outputs_wrong_as_a_whole(reference, hypothesis, expected):
    assert kinds(reference, hypothesis) == expected


def test_the_wrong_task_is_told_by_the_other_tasks_reference():
    french, english = "veuillez entrer votre mot de passe", "please enter your password"
    assert kinds(french, "please enter a password", english) == ["wrong task"]
    assert kinds(english, "veuillez entrer le mot de passe", french, task="translate") == ["wrong task"]
    assert kinds(french, "veuillez entre votre mot passe", english) == []
    assert kinds("zulu", "zulu", "zulu") == kinds("hotel five", "hotel five", "hotel five") == []


SPANISH = "por favor introduzca su contraseña seguida de la almohadilla"
FRENCH = "veuillez entrer votre mot de passe suivi de la touche dièse"
ENGLISH = "please enter your password followed by the pound key"


@pytest.mark.parametrize(("reference", "hypothesis", "language", "task", "expected"), [
    (FRENCH, SPANISH, "fr", "transcribe", ["wrong language"]),
    (ENGLISH, SPANISH, "fr", "translate", ["wrong language"]),
    (ENGLISH, SPANISH, "en", "transcribe", ["wrong language"]),
    # Without the other task's reference: another text of the other task's language.
    (FRENCH, "the number you have dialed is not in service", "fr", "transcribe", ["wrong task"]),
    (ENGLISH, "le numéro que vous avez composé n'est pas en service", "fr", "translate", ["wrong task"]),
    (FRENCH, "le numéro que vous avez composé n'est pas en service", "fr", "transcribe", []),  # wrong, but French
    (SPANISH, "Por Favor, introdusca contraseña segida de almoadilla.", "es", "transcribe", []),
    (FRENCH + " " + ENGLISH, ENGLISH, "fr", "transcribe", []),  # said in both
    ("hotel", "taxi", "fr", "transcribe", []),  # too short to tell
])
def test_an_output_in_another_language_of_the_same_script(reference, hypothesis, language, task, expected):
    assert kinds(reference, hypothesis, language=language, task=task) == expected


def test_suspects_are_written_with_their_hypotheses_and_counted(tmp_path):
    references = {"a|fr|transcribe": "veuillez entrer votre mot de passe",
                  "a|fr|translate": "please enter your password", "b|fr|transcribe": "merci"}
    hypotheses = {"a|fr|transcribe": "please enter your password", "a|fr|translate": "", "b|fr|transcribe": "merci"}
    score(tmp_path, references, hypotheses)
    assert [(suspect.key, suspect.kind) for suspect in read_suspects(tmp_path / "suspects.tsv")] == [
        ("a|fr|transcribe", "wrong task"), ("a|fr|translate", "empty")]
    assert (tmp_path / "suspects.tsv").read_text().splitlines()[0].endswith("\tplease enter your password")
    assert "(../suspects.tsv): 1 wrong task\n" in (tmp_path / "score_wer" / "result.txt").read_text()


def test_chunks_on_two_cores_give_what_one_gives(tmp_path, monkeypatch):
    rng = random.Random(0)
    words = ["un", "deux", "trois", "quatre", "cinq"]
    references = {f"u{i:03}|fr|{task}": " ".join(rng.choices(words, k=6)) for i in range(60)
                  for task in ("transcribe", "translate")}
    hypotheses = {key: " ".join(rng.choices(words, k=3)) + text[:9] for key, text in references.items()}
    whole = score(tmp_path / "whole", references, hypotheses)
    monkeypatch.setattr(bulk_scoring, "CHUNK", 7)
    assert score(tmp_path / "chunks", references, hypotheses, nj=2) == whole
    for name in ("score_wer/result.txt", "score_wer/hyp.trn", "suspects.tsv"):
        assert (tmp_path / "chunks" / name).read_text() == (tmp_path / "whole" / name).read_text()
    records = [sorted((tmp_path / name / "utterances.jsonl").read_text().splitlines()) for name in ("chunks", "whole")]
    assert records[0] == records[1] and len(records[0]) == 60 * 2 * 3
    assert json.loads(records[0][0])["statistics"]


def test_alignments_of_one_chunk_at_a_time_are_in_memory(tmp_path, monkeypatch):
    """All at once they cost five kilobytes an utterance: a million would not fit."""
    references = {f"u{i:02}|fr|transcribe": "un deux trois" for i in range(20)}
    made, most = [], 0

    def spy(utterances, options):
        nonlocal most
        measurements = measure(utterances, options)
        made.extend(map(weakref.ref, measurements))
        most = max(most, sum(len(reference().alignments) for reference in made if reference() is not None))
        return measurements

    monkeypatch.setattr(bulk_scoring, "CHUNK", 5)
    monkeypatch.setattr(bulk_scoring, "measure", spy)
    score(tmp_path, references, dict.fromkeys(references, "un trois"))
    assert 0 < most <= 4 * 5  # two measurements of a chunk, those of the one before not yet gone


def test_a_scoring_that_fails_leaves_the_old_files(tmp_path):
    score(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="are empty after the normalizer"):
        score(tmp_path, {"a|en|transcribe": "..."}, {"a|en|transcribe": "x"})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
