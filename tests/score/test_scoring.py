"""Scores against jiwer, sacrebleu, NIST's sclite and hand counts; intervals; pyscripts/score.py."""

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import pytest
import sacrebleu
from sclite import sclite

from utils import ROOT
from utils.data.lists import write_list
from utils.decode.decode_directory import read_decode_info
from utils.errors import UserError
from utils.score.bootstrap import bootstrap_interval, holm, paired_bootstrap, sum_clusters
from utils.score.comparison import Decode, compare_with, read_decode
from utils.score.metrics import METRICS, ScoringOptions, measure, pair_texts, results
from utils.score.reference_check import check_translations
from utils.score.score_files import read_statistics, render_alignments

DECODE = {"system": "base", "set": "test", "seconds": 2.5, "audio_seconds": 20.0}
WORDS = ("please", "enter", "your", "password", "the", "number", "You", "dialed,", "Service.", "press", "one")
CHARACTERS = tuple("请输入密码您拨的号不在服务区一")


def corpus(n: int, error: float, language: str = "fr", task: str = "transcribe",
           words: Sequence[str] = WORDS) -> tuple[dict[str, str], dict[str, str]]:
    """References and hypotheses in which a word in ``error`` is replaced, dropped or doubled."""
    rng = random.Random(0)

    def corrupt(word: str) -> list[str]:
        return [word] if rng.random() > error else rng.choice([[rng.choice(words)], [], [word, word]])

    references = {f"u{i:05}|{language}|{task}": rng.choices(words, k=rng.randint(3, 12)) for i in range(n)}
    hypotheses = {key: [new for word in text for new in corrupt(word)] for key, text in references.items()}
    return ({key: " ".join(text) for key, text in references.items()},
            {key: " ".join(text) for key, text in hypotheses.items()})


def scores(references, hypotheses, normalizer="none", metric="auto"):
    """Results by (metric, language)."""
    measurements = measure(pair_texts(references, hypotheses), ScoringOptions(normalizer, metric))
    return {(row["metric"], row["language"]): row
            for measurement in measurements for row in results(measurement, DECODE, n_resamples=100)}


def test_wer_of_a_hand_counted_example():
    references = {"a|fr|transcribe": "un deux trois quatre", "b|fr|transcribe": "cinq six",
                  "c|it|transcribe": "sì"}
    hypotheses = {"a|fr|transcribe": "un deuxx quatre", "b|fr|transcribe": "cinq six sept",
                  "c|it|transcribe": ""}
    found = scores(references, hypotheses)
    assert found["wer", "fr"]["value"] == 50.0  # 1 substitution, 1 deletion, 1 insertion in 6 words
    assert found["wer", "it"]["value"] == 100.0
    assert found["wer", "all"]["value"] == pytest.approx(400 / 7, abs=1e-4)  # pooled, not a mean of means
    assert [found["wer", name]["n_utts"] for name in ("fr", "it", "all")] == [2, 1, 3]


def test_wer_is_jiwers():
    references, hypotheses = corpus(200, 0.3)
    found = scores(references, hypotheses)["wer", "all"]
    expected = 100 * jiwer.wer([*references.values()], [*hypotheses.values()])
    assert found["value"] == pytest.approx(expected, abs=1e-4)
    assert found["signature"] is None


def test_cer_of_chinese_counts_characters_without_spaces():
    pytest.importorskip("opencc", reason="opencc-python-reimplemented is not installed")
    references = {"a|chinese|transcribe": "請輸入密碼。", "b|zh|transcribe": "謝謝"}
    hypotheses = {"a|chinese|transcribe": "请 输入 密马", "b|zh|transcribe": "谢谢你"}
    assert scores(references, hypotheses, "auto")["cer", "zh"]["value"] == pytest.approx(200 / 7, abs=1e-4)
    raw = scores(references, hypotheses)["cer", "zh"]["value"]
    assert raw == pytest.approx(100 * jiwer.cer([*references.values()], ["请输入密马", "谢谢你"]), abs=1e-4)


def test_spelled_digits_are_those_of_the_texts_own_language():
    references = {"a|zh|transcribe": "十二点", "a|zh|translate": "Twelve o'clock", "b|en|transcribe": "Twelve of them"}
    hypotheses = {"a|zh|transcribe": "12点", "a|zh|translate": "12 o'clock", "b|en|transcribe": "12 of them"}
    measured = {measurement.metric: measurement for measurement in measure(
        pair_texts(references, hypotheses), ScoringOptions(digits="spell"))}
    assert [measured[name].statistics[:, :3].sum() for name in measured if name in ("wer", "cer")] == [0, 0]
    assert measured["bleu"].utterances[0].hypothesis == "twelve o clock"
    assert {name: measurement.normalizers for name, measurement in measured.items()} == {
        "wer": ["whisper-en"], "cer": ["zh+spell"], "bleu": ["basic+spell"], "chrf": ["basic+spell"]}
    kept = measure(pair_texts(references, hypotheses), ScoringOptions())
    assert kept[1].metric == "cer" and kept[1].statistics[0, :3].sum() > 0


def test_words_and_characters_are_never_pooled():
    references = {"a|fr|transcribe": "un deux", "b|ja|transcribe": "はい"}
    found = scores(references, references)
    assert found["wer", "all"]["n_utts"] == found["cer", "all"]["n_utts"] == 1
    assert ("cer", "fr") in scores(references, references, metric="cer")


@pytest.mark.parametrize("normalizer", ["none", "basic"])
def test_bleu_and_chrf_are_sacrebleus(normalizer):
    references, hypotheses = corpus(100, 0.2, task="translate")
    found = scores(references, hypotheses, normalizer)
    texts = [[*hypotheses.values()], [*references.values()]]
    if normalizer == "basic":
        texts = [[re.sub(r"[.,]", "", text.lower()) for text in side] for side in texts]
    bleu = sacrebleu.corpus_bleu(texts[0], [texts[1]]).score
    chrf = sacrebleu.corpus_chrf(texts[0], [texts[1]]).score
    assert found["bleu", "fr"]["value"] == pytest.approx(bleu, abs=1e-4)
    assert found["chrf", "fr"]["value"] == pytest.approx(chrf, abs=1e-4)
    assert "tok:13a" in found["bleu", "fr"]["signature"]
    assert "nc:6" in found["chrf", "fr"]["signature"]
    assert found["bleu", "fr"]["normalizer"] == normalizer


def test_insertions_into_an_empty_reference_count():
    references = {"a|fr|transcribe": "...", "b|fr|transcribe": "un deux"}
    hypotheses = {"a|fr|transcribe": "non non", "b|fr|transcribe": "un deux"}
    row = scores(references, hypotheses, "basic")["wer", "fr"]
    assert (row["value"], row["n_utts"]) == (100.0, 2)


def test_a_language_without_any_reference_word_is_an_error():
    with pytest.raises(UserError, match="all 1 references in fr are empty after the normalizer basic"):
        scores({"a|fr|transcribe": "..."}, {"a|fr|transcribe": "non"}, "basic")


def test_missing_and_extra_hypotheses_are_named_not_skipped():
    references, hypotheses = corpus(30, 0)
    del hypotheses["u00003|fr|transcribe"]
    hypotheses |= {f"x{i}|fr|transcribe": "x" for i in range(25)}
    with pytest.raises(UserError) as error:
        pair_texts(references, hypotheses, where="exp/text")
    assert "exp/text: 1 references without a hypothesis (decode again): u00003|fr|tr" in str(error.value)
    assert "25 hypotheses without a reference" in str(error.value)
    assert "... and 5 more" in str(error.value)


@pytest.mark.parametrize(("task", "metric"), [
    ("transcribe", "wer"), ("translate", "bleu"), ("translate", "chrf")])
def test_intervals_contain_the_value_and_shrink_with_data(task, metric):
    widths = []
    for n in (30, 1000):
        row = scores(*corpus(n, 0.2, task=task))[metric, "all"]
        low, high = row["ci95"]
        assert low < row["value"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3  # a factor of sqrt(1000 / 30) = 5.8 is expected


def test_interval_of_a_proportion_agrees_with_theory():
    wrong = np.arange(400) % 4 == 0  # one-word utterances, 25 % wrong
    statistics = np.stack([wrong, 0 * wrong, 0 * wrong, 0 * wrong + 1], axis=1).astype(float)
    low, high = bootstrap_interval(statistics, range(400), METRICS["wer"].score, n_resamples=2000)
    deviation = 100 * np.sqrt(0.25 * 0.75 / 400)
    assert (low, high) == pytest.approx((25 - 1.96 * deviation, 25 + 1.96 * deviation), abs=0.5)


def test_speakers_are_drawn_as_wholes_when_there_are_enough():
    statistics = np.ones((60, 4))
    assert sum_clusters(statistics, [f"s{i % 5}" for i in range(60)]).tolist() == [[12.0] * 4] * 5
    assert sum_clusters(statistics, [f"s{i % 4}" for i in range(60)]) is statistics
    assert sum_clusters(statistics, [f"s{i}" for i in range(60)]) is statistics


def test_paired_test_tells_equal_from_different():
    references, hypotheses = corpus(200, 0.2)
    worse = {key: text + " oops" * (int(key[1:6]) % 4 == 0) for key, text in hypotheses.items()}
    base, other = (measure(pair_texts(references, texts), ScoringOptions("none"))[0].statistics
                   for texts in (hypotheses, worse))
    speakers = [*references]
    assert paired_bootstrap(base, base, speakers, METRICS["wer"].score).p_value == 1.0
    test = paired_bootstrap(base, other, speakers, METRICS["wer"].score)
    assert test.p_value < 0.01
    assert 0 < test.ci95[0] < test.difference < test.ci95[1]
    back = paired_bootstrap(other, base, speakers, METRICS["wer"].score)
    assert (back.difference, back.p_value) == pytest.approx((-test.difference, test.p_value))


def test_the_smallest_difference_that_a_set_can_show():
    """Of 400 one-word utterances one system has 40 wrong, the other ``40 + n`` with ``n`` of its own."""
    def test_of(n_more):
        wrong = np.arange(400) < 40, (np.arange(400) < 40) | (np.arange(400) >= 400 - n_more)
        sides = [np.stack([side, 0 * side, 0 * side, 0 * side + 1], axis=1).astype(float) for side in wrong]
        return paired_bootstrap(*sides, range(400), METRICS["wer"].score, n_resamples=2000)

    unclear, clear = test_of(2), test_of(8)
    assert unclear.p_value > 0.05 and clear.p_value < 0.05
    assert 0 < unclear.difference < unclear.clear_from(0.05) and clear.difference > clear.clear_from(0.05)
    deviation = 100 * np.sqrt(0.02 * 0.98 / 400)
    assert clear.clear_from(0.05) == pytest.approx(1.96 * deviation, rel=0.05)
    assert clear.clear_from(0.05 / 20) == pytest.approx(3.02 * deviation, rel=0.05)


@pytest.mark.parametrize(("p_values", "corrected"), [
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # statsmodels' multipletests(method="holm")
    ([0.6, 0.001, 0.9], [1.0, 0.003, 1.0]), ([0.02, 0.02], [0.04, 0.04]), ([0.3], [0.3]), ([], [])])
def test_p_values_of_many_tests_are_corrected(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


def test_a_thousand_resamples_of_ten_thousand_utterances_are_quick():
    statistics = np.random.default_rng(0).integers(1, 9, size=(10_000, 18)).astype(float)
    start = time.process_time()  # not the clock: other work on this machine is no fault of ours
    bootstrap_interval(statistics, range(10_000), METRICS["chrf"].score, n_resamples=1000)
    assert time.process_time() - start < 3


@pytest.mark.programs("sctk")
@pytest.mark.parametrize("language", ["fr", "zh"])
def test_errors_agree_with_sclite(tmp_path, language):
    """Errors, not their kinds: sclite weighs a substitution 4 and an insertion or deletion 3, so that
    it may count an error more where most of an utterance is wrong."""
    references, hypotheses = corpus(100, 0.2, language, words=WORDS if language == "fr" else CHARACTERS)
    references |= {f"x|{language}|transcribe": "...", f"y|{language}|transcribe": "Été 请输入 密码"}
    hypotheses |= {f"x|{language}|transcribe": "été", f"y|{language}|transcribe": ""}
    measurement, = measure(pair_texts(references, hypotheses), ScoringOptions("basic"))
    rendered = render_alignments(measurement)
    (tmp_path / "score").mkdir()
    (tmp_path / "score" / "ref.trn").write_text(rendered.references)
    (tmp_path / "score" / "hyp.trn").write_text(rendered.hypotheses)
    ours = {utt.key: (int(row[3]), int(row[:3].sum()))
            for utt, row in zip(measurement.utterances, measurement.statistics, strict=True)}
    theirs = sclite(tmp_path / "score")
    assert theirs == ours
    length, errors = (sum(column) for column in zip(*theirs.values(), strict=True))
    row = results(measurement, DECODE, n_resamples=100)[-1]
    assert row["value"] == pytest.approx(100 * errors / length, abs=1e-4)


@pytest.fixture
def decode_dir(tmp_path) -> Path:
    directory = tmp_path / "with space" / "decode_test_base"
    references, hypotheses = corpus(12, 0.2)
    translated = corpus(12, 0.2, task="translate")
    hypotheses["u00000|fr|transcribe"] = ""
    write_list(tmp_path / "ref", references | translated[0])
    write_list(directory / "text", hypotheses | translated[1])
    (directory / "decode.json").write_text(json.dumps(DECODE))
    return directory


def run_score(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "pyscripts/score.py", *map(str, args)], capture_output=True,
                          text=True, check=False)


def test_script_writes_scores_statistics_and_alignments(decode_dir, tmp_path):
    done = run_score("--ref", tmp_path / "ref", "--bootstrap", 100, "--digits", "keep", decode_dir)
    assert done.returncode == 0, done.stderr
    rows = json.loads((decode_dir / "scores.json").read_text())
    assert {(row["metric"], row["form"], row["normalizer"], row["language"]) for row in rows} == {
        (metric, form, normalizer, language) for metric in ("wer", "bleu", "chrf")
        for form, normalizer in (("written", "basic"), ("raw", "none")) for language in ("fr", "all")}
    assert all(row["seconds"] == 2.5 and row["audio_seconds"] == 20 and row["n_utts"] == 12 for row in rows)

    statistics = read_statistics(decode_dir / "utterances.jsonl", ["wer"])["wer", "written"]
    total = statistics.values.sum(axis=0)
    wer = next(row["value"] for row in rows if row["metric"] == "wer" and row["normalizer"] == "basic")
    assert wer == pytest.approx(100 * total[:3].sum() / total[3], abs=1e-4)

    result = (decode_dir / "score_wer" / "result.txt").read_text()
    assert result.count("id: (u") == 12
    block = result.split("id: (u00000|fr|transcribe)\n")[1].split("\n\n")[0]
    deleted = statistics.values[statistics.keys.index("u00000|fr|transcribe"), 3]
    assert block.startswith(f"Scores: (#C #S #D #I) 0 0 {deleted} 0\nREF: ")
    assert (decode_dir / "score_wer" / "hyp.trn").read_text().splitlines()[0] == "(u00000|fr|transcribe)"


def test_script_refuses_incomplete_hypotheses_and_writes_nothing(decode_dir, tmp_path):
    lines = (decode_dir / "text").read_text().splitlines(keepends=True)
    (decode_dir / "text").write_text("".join(lines[1:]))
    done = run_score("--ref", tmp_path / "ref", decode_dir)
    assert done.returncode == 1
    assert "1 references without a hypothesis" in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in decode_dir.iterdir()) == ["decode.json", "text"]


@pytest.mark.parametrize(("contents", "complaint"), [
    (None, "decode.json: cannot be read"), ("{", "decode.json: not JSON"),
    ('{"system": "base"}', "decode.json: no set, seconds, audio_seconds"), ("[]", "decode.json: no system")])
def test_a_bad_decode_json_is_explained(tmp_path, contents, complaint):
    if contents is not None:
        (tmp_path / "decode.json").write_text(contents)
    with pytest.raises(UserError, match=complaint):
        read_decode_info(tmp_path)


def test_reference_translations_that_are_not_english_are_refused(decode_dir, tmp_path):
    """BLEU's tokenizer would take a Chinese sentence for one word."""
    english = {"a|zh|translate": "I like 北京 and Shanghai", "b|fr|translate": "Thank you", "c|fr|translate": "42"}
    check_translations(pair_texts(english, english))
    references = english | {f"d{i}|zh|translate": "你好世界" for i in range(9)} | {"e|zh|transcribe": "你好世界"}
    write_list(tmp_path / "ref", references)
    write_list(decode_dir / "text", references)
    done = run_score("--ref", tmp_path / "ref", decode_dir)
    assert done.returncode == 1 and not (decode_dir / "scores.json").exists()
    assert "the reference translations of zh are not English: 70 % of their letters are not Latin" in done.stderr


def test_systems_scored_by_other_rules_are_not_compared(decode_dir, tmp_path):
    assert run_score("--ref", tmp_path / "ref", "--bootstrap", 100, decode_dir).returncode == 0
    now = read_decode(decode_dir)
    assert {row["signature"] for row in now.rows if row["metric"] == "wer"} == {"rules:2", None}
    assert all(row["signature"].endswith("|rules:2") for row in now.rows
               if row["metric"] == "bleu" and row["normalizer"] == "basic")
    before = Decode(decode_dir, now.info, [{**row, "signature": None} for row in now.rows])
    compare_with(now, now, now.rows[:1], 100)
    with pytest.raises(UserError, match="were not scored alike: fr wer differs in utterances, normalizer or signature"):
        compare_with(before, now, now.rows[:1], 100)


def test_signatures_over_languages_with_other_rules_name_the_version_alone():
    references = {"a|tr|transcribe": "bir", "b|ar|transcribe": "واحد"}
    found = scores(references, references, "auto")
    assert {language: row["signature"] for (_, language), row in found.items()} == {
        "tr": "rules:2+turkic-case", "ar": "rules:2+harakat+wasla+tatweel", "all": "rules:2"}
