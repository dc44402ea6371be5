"""Scored decode directories of made-up systems, and a parser of the tables in reports."""

from __future__ import annotations

import random
from pathlib import Path

from utils.data.lists import write_list
from utils.filesystem import write_json
from utils.score.metrics import ScoringOptions, pair_texts
from utils.score.score_directory import score_directory

WORDS = ("please", "enter", "your", "password", "the", "number", "Dialed,", "Service.", "press", "one", "two")
# Error rates by system: English gets clearly worse with tuning, French and Russian better.
ERRORS = {"ct2-int8": {"en": 0.4, "fr": 0.2, "ru": 0.2}, "lora": {"en": 0.4, "fr": 0.2, "ru": 0.2},
          "base": {"en": 0.1, "fr": 0.5, "ru": 0.5}}


def references(n: int = 40) -> dict[str, str]:
    rng = random.Random(0)
    keys = [f"u{i}|{language}|{task}" for i in range(n) for language in ("en", "fr", "ru")
            for task in ("transcribe", "translate") if (language, task) != ("en", "translate")]
    return {key: " ".join(rng.choices(WORDS, k=6)) for key in keys}


def add_decode(exp_dir: Path, system: str, texts: dict[str, str], name: str = "", set_name: str = "test") -> Path:
    """A scored decode directory, as pyscripts/score.py leaves it; the same seed makes the same errors."""
    rng = random.Random(1)
    hypotheses = {key: " ".join("oops" if rng.random() < ERRORS[system][key.split("|")[1]] else word
                                for word in text.split()) for key, text in texts.items()}
    directory = exp_dir / f"decode_{set_name}_{name or system}"
    decode = {"system": system, "set": set_name, "seconds": 20.0, "audio_seconds": 90.0, "beam_size": 5,
              "window": "full", "backend": "transformers", "compute_type": "float32"}
    write_json(directory / "decode.json", decode)
    write_list(directory / "text", hypotheses)
    rows = score_directory(directory, decode, pair_texts(texts, hypotheses), ScoringOptions(), 100, nj=1)
    write_json(directory / "scores.json", rows)
    return directory


def tables(markdown: str) -> list[list[dict[str, str]]]:
    """Every Markdown table as rows by column name."""
    found, lines = [], []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in line.strip("|").split("|")])
        elif lines:
            found.append([dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]])
            lines = []
    return found
