"""Spoken, written and raw form: which differences in writing count where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from utils import ROOT
from utils.data.lists import write_list
from utils.score.forms import FORMS, form_of, languages_without_accents, leading_form, spell_digits, without_accents

SENTENCE = "marque la extension o espere en la linea para hablar con la senora Nunez"


def test_accents_are_dropped_from_latin_letters_only() -> None:
    assert without_accents("Ñandú, años; Øre; Straße") == "Nandu, anos; Øre; Straße"
    assert without_accents("n\u0303andu") == "nandu"
    assert without_accents("йод हिन्दी ภาษาไทย がぎ") == "йод हिन्दी ภาษาไทย がぎ"


def test_a_language_is_without_accents_if_many_references_show_hardly_any() -> None:
    assert languages_without_accents([("es", SENTENCE)] * 60) == {"es"}
    assert languages_without_accents([("es", SENTENCE)] * 5) == set()  # too little text to say so
    assert languages_without_accents([("es", SENTENCE)] * 60 + [("es", "Está bien")]) == {"es"}  # a slip
    assert languages_without_accents([("es", SENTENCE)] * 60 + [("es", "Está bien")] * 30) == set()


def test_languages_of_other_letters_are_never_without_accents() -> None:
    sentence = "наберите номер или оставайтесь на линии чтобы поговорить с оператором"
    assert languages_without_accents([("ru", sentence)] * 60) == set()


@pytest.mark.parametrize(("normalizer", "digits"), [
    ("auto", "spell"), ("basic", "spell"), ("zh", "spell"), ("none", "keep"), ("whisper-en", "keep"),
    ("whisper-basic", "keep")])
def test_digits_are_spelled_where_the_normaliser_has_a_spoken_form(normalizer: str, digits: str) -> None:
    assert spell_digits(normalizer, "auto") == digits
    assert spell_digits(normalizer, "keep") == "keep"


def test_the_form_of_older_scores_is_known() -> None:
    assert form_of({"normalizer": "none"}) == "raw"
    assert form_of({"normalizer": "basic"}) == "written"
    assert leading_form([{"normalizer": "none"}, {"normalizer": "basic", "form": "spoken"}]) == "spoken"
    assert leading_form([{"normalizer": "none"}]) == "raw"


@pytest.fixture
def rows(tmp_path: Path) -> dict[tuple[str, str, str], float]:
    """Values by form, metric and language of numbers and accents that are written in another way."""
    texts = {f"u{i}|es|transcribe": f"{SENTENCE} numero once" for i in range(40)}
    heard = {key: text.replace("numero once", "número 11").replace("Nunez", "Núñez") for key, text in texts.items()}
    texts |= {f"u{i}|es|translate": "press eleven" for i in range(40)}
    heard |= {f"u{i}|es|translate": "press 11" for i in range(40)}
    write_list(tmp_path / "ref", texts)
    write_list(tmp_path / "decode" / "text", heard)
    (tmp_path / "decode" / "decode.json").write_text(
        json.dumps({"system": "base", "set": "test", "seconds": 1.0, "audio_seconds": 9.0}))
    done = subprocess.run([sys.executable, ROOT / "pyscripts/score.py", "--ref", tmp_path / "ref", "--bootstrap", "100",
                           "--nj", "1", tmp_path / "decode"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scored = json.loads((tmp_path / "decode" / "scores.json").read_text())
    assert [form for form in FORMS if any(row["form"] == form for row in scored)] == [*dict.fromkeys(
        row["form"] for row in scored)]  # the leading form comes first
    return {(row["form"], row["metric"], row["language"]): row["value"] for row in scored}


def test_the_spoken_form_counts_neither_digits_nor_accents_that_references_lack(
        rows: dict[tuple[str, str, str], float]) -> None:
    assert rows["spoken", "wer", "es"] == 0
    assert rows["spoken", "chrf", "es"] == 100
    assert rows["written", "wer", "es"] == pytest.approx(100 * 3 / 16)  # número, 11, Núñez
    assert rows["written", "chrf", "es"] < 100
    assert rows["raw", "wer", "es"] >= rows["written", "wer", "es"]
