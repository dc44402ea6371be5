"""Normalisers: what counts as the same text."""

import subprocess
import sys

import pytest

from utils import ROOT
from utils.data.languages import all_codes
from utils.errors import UserError
from utils.score import normalization
from utils.score.normalization import NORMALIZERS, choose_normalizer, get_normalizer


def test_none_only_collapses_white_space():
    assert get_normalizer("none")("  Don't \t touch,  please! ") == "Don't touch, please!"


def test_basic_drops_case_and_punctuation_but_keeps_diacritics():
    assert get_normalizer("basic")("L'Été, ça va (bruit) ?") == "l été ça va"
    assert get_normalizer("basic")("Пожалуйста, ещё раз.") == "пожалуйста ещё раз"


def test_whisper_en_unifies_contractions_numbers_titles_and_spelling():
    pytest.importorskip("whisper_normalizer", reason="Whisper's spelling table is not installed")
    normalize = get_normalizer("whisper-en")
    assert normalize("Mr. Smith isn't paying twenty-one dollars.") == "mister smith is not paying $21"
    assert normalize("The colour of the theatre") == normalize("the color of the theater")


@pytest.mark.parametrize("written", ["請輸入１２密碼。", "请 输入12，密码！", "请输入 12 密码"])
def test_zh_unifies_script_width_and_punctuation(written):
    pytest.importorskip("opencc", reason="opencc-python-reimplemented is not installed")
    assert get_normalizer("zh")(written).replace(" ", "") == "请输入12密码"


@pytest.mark.parametrize(("language", "task", "name"), [
    ("zh", "transcribe", "zh"), ("yue", "transcribe", "zh"), ("zh", "translate", "basic"),
    ("fr", "transcribe", "basic"), ("en", "translate", "basic"), ("ja", "transcribe", "basic"),
])
def test_auto_chooses_by_language_of_the_text(language, task, name):
    assert choose_normalizer("auto", language, task) == name
    assert choose_normalizer("none", language, task) == "none"


@pytest.mark.parametrize(("installed", "name"), [(True, "whisper-en"), (False, "basic")])
def test_auto_names_what_english_really_gets(monkeypatch, installed, name):
    monkeypatch.setattr(normalization, "has_english_spelling", lambda: installed)
    assert choose_normalizer("auto", "en", "transcribe") == name


@pytest.mark.parametrize(("name", "language", "digits", "words"), [
    ("zh", "zh", "2020年1月3日１２点共1,234元", "二零二零年一月三日十二点共一千二百三十四元"),
    ("zh", "yue", "打110", "打一百一十"),
    ("basic", "en", "Dial 21, not 007.", "dial twenty one not zero zero seven"),
    ("basic", "en", "1,004 or 3.5 at 10:30", "one thousand and four or three point five at ten thirty"),
    ("basic", "fr", "3,5 et GPT4", "trois virgule cinq et gpt4"),
    ("basic", "ru", "номер 1234567890123", "номер один два три четыре пять шесть семь восемь девять ноль один два три"),
])
def test_digits_are_spelled_out_only_when_asked(name, language, digits, words):
    spelled = get_normalizer(name, spell_in=language)
    assert spelled(digits) == words == spelled(words)
    assert get_normalizer(name)(digits) != words


def test_numbers_are_spelled_in_every_language_of_whisper():
    spelled = {code: get_normalizer("none", spell_in=code)("21") for code in all_codes()}
    assert len(spelled) > 90 and not any(char.isdigit() for text in spelled.values() for char in text)


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown normalizer 'english'.*whisper-en"):
        get_normalizer("english")


def test_run_sh_and_score_py_know_every_normalizer():
    run_sh, score_py = ROOT / "run.sh", ROOT / "pyscripts/score.py"
    refused = subprocess.run([run_sh, "--normalizer", "english"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "--normalizer english: there are auto" in refused.stderr
    shown = subprocess.run([sys.executable, score_py, "--help"], capture_output=True, text=True, check=True).stdout
    for name in NORMALIZERS:
        assert name in refused.stderr.partition("there are")[2]
        subprocess.run([run_sh, "--normalizer", name, "--help"], capture_output=True, check=True)
    assert f"{{auto,{','.join(NORMALIZERS)}}}" in "".join(shown.split())


def test_missing_package_is_named(monkeypatch):
    normalization._zh.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(UserError, match="pip install opencc-python-reimplemented"):
        get_normalizer("zh")
