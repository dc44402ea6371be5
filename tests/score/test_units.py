"""What error rates count, and TER's vocabulary: utils/score/{text_units,bpe}.py, pyscripts/train_bpe.py."""

import json
import subprocess
import sys

import jiwer
import pytest

from utils import ROOT
from utils.data.lists import write_list
from utils.errors import UserError
from utils.score.bpe import train_bpe, vocabulary_size
from utils.score.metrics import ScoringOptions, measure, mixed_languages, pair_texts, results
from utils.score.text_units import piece_splitter, split_mixed

TEXTS = ["Please enter your password.", "The number you dialed is not in service.", "Press one or two."] * 20
DECODE = {"system": "base", "set": "test", "seconds": 2.5, "audio_seconds": 20.0}


def run(script: str, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "pyscripts" / script, *map(str, args)], capture_output=True,
                          text=True, check=False)


def rates(references, hypotheses, **options) -> dict[str, float]:
    utterances = pair_texts(references, hypotheses)
    chosen = ScoringOptions("none", mixed=mixed_languages(utterances), **options)
    return {measurement.metric: results(measurement, DECODE, 100)[-1]["value"]
            for measurement in measure(utterances, chosen)}


@pytest.mark.parametrize(("text", "units"), [
    ("打开 wifi吧", ["打", "开", "wifi", "吧"]),
    ("ok google 三点 GPT-4好", ["ok", "google", "三", "点", "GPT-4", "好"]),
    ("カメラ on", ["カ", "メ", "ラ", "on"]), ("", []), ("un deux", ["un", "deux"])])
def test_mixed_text_counts_characters_and_words(text, units):
    assert split_mixed(text) == units


def test_mixed_chinese_and_english_gets_mer_beside_cer():
    references = {"a|zh|transcribe": "打开 wifi 吧", "b|zh|transcribe": "谢谢你"}
    hypotheses = {"a|zh|transcribe": "打开 wife 吧", "b|zh|transcribe": "谢谢"}
    assert rates(references, hypotheses) == {"cer": 20.0, "mer": pytest.approx(200 / 7, abs=1e-3)}
    pure = {key: text.replace("wifi", "无线网") for key, text in references.items()}
    assert [*rates(pure, hypotheses)] == ["cer"]
    assert [*rates(pure, hypotheses, metric="mer")] == ["mer"]


def test_ter_counts_the_pieces_of_the_vocabulary(tmp_path):
    model = train_bpe(TEXTS, tmp_path)
    references = {"a|en|transcribe": TEXTS[0], "b|en|transcribe": TEXTS[2]}
    hypotheses = {"a|en|transcribe": "Please enter the password.", "b|en|transcribe": "Press two."}
    split = piece_splitter(model)
    pieces = [[" ".join(split(text)) for text in side.values()] for side in (references, hypotheses)]
    found = rates(references, hypotheses, bpe_model=str(model))
    assert found["ter"] == pytest.approx(100 * jiwer.wer(*pieces), abs=1e-3)
    assert found["ter"] != found["wer"]


def test_the_vocabulary_follows_the_amount_of_text(tmp_path):
    assert vocabulary_size(["ab"] * 10) == 100
    assert vocabulary_size(["abcdefghij"] * 20_000) == 2000
    assert vocabulary_size(["abcdefghij"] * 20_000_0) == 5000
    assert vocabulary_size([chr(0x4e00 + index) for index in range(6000)]) == 6004  # a piece for each character
    small = train_bpe(["oui"], tmp_path / "small")  # too little text for 100 pieces
    assert piece_splitter(small)("oui")


def test_a_vocabulary_comes_out_the_same_again(tmp_path):
    paths = [train_bpe(TEXTS, tmp_path / name) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    tokens = (tmp_path / "a" / "tokens.txt").read_text().splitlines()
    assert tokens[0] == "<unk>" and len(tokens) <= 101


def test_scripts_train_a_vocabulary_and_score_with_it(tmp_path):
    references = {f"u{i}|en|transcribe": text for i, text in enumerate(TEXTS)}
    write_list(tmp_path / "text", {**references, "u0|fr|translate": "never learnt from"})
    done = run("train_bpe.py", tmp_path / "text", tmp_path / "token_bpe")
    assert done.returncode == 0, done.stderr
    write_list(tmp_path / "ref", references)
    decode_dir = tmp_path / "decode"
    write_list(decode_dir / "text", {key: text.replace("enter", "and her") for key, text in references.items()})
    (decode_dir / "decode.json").write_text(json.dumps(DECODE))
    scored = ["--bootstrap", 100, "--nj", 1, "--ref", tmp_path / "ref", "--bpe-model"]
    done = run("score.py", *scored, tmp_path / "token_bpe" / "bpe.model", decode_dir)
    assert done.returncode == 0, done.stderr
    rows = json.loads((decode_dir / "scores.json").read_text())
    assert {(row["metric"], row["normalizer"]) for row in rows} == {
        ("wer", "whisper-en"), ("ter", "whisper-en"), ("wer", "none"), ("ter", "none")}
    assert "▁" in (decode_dir / "score_ter" / "ref.trn").read_text()
    assert "# Tok" in (decode_dir / "score_ter" / "result.txt").read_text()
    done = run("score.py", *scored, tmp_path / "text", decode_dir)
    assert done.returncode == 1 and "no sentencepiece model" in done.stderr and done.stderr.count("\n") == 1


def test_no_text_and_an_impossible_size_are_explained(tmp_path):
    with pytest.raises(UserError, match="no text to train"):
        train_bpe([" "], tmp_path)
    with pytest.raises(UserError, match="--vocabulary 5"):
        train_bpe(TEXTS, tmp_path, 5)
    assert not any(tmp_path.iterdir())
