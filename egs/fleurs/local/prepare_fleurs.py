#!/usr/bin/env python3
"""Write the lists of FLEURS: DATA_DIR/{train,dev,test}/{transcribe,translate}/{wav.scp,text}.

Texts are the original ones, with case and punctuation. The English sentence of the same number is the translation.
Left out, with the reason in DATA_DIR/fleurs_left_out.tsv: sentences without recording, recordings without sentence,
more than 30 s, and from train every sentence that is in dev or test in any of the languages.

Example: local/prepare_fleurs.py --languages "fr sw" download/fleurs data
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from download_fleurs import CONFIGS, SETS, fleurs_languages

from utils.audio.constants import WINDOW_SECONDS
from utils.cli import make_parser, run_main
from utils.data.corpus_lists import CorpusUtterance, LeftOut, add_prepare_options, write_lists
from utils.errors import UserError

RATE = 16_000  # Hz


@dataclass(frozen=True)
class Row:
    """A line of a SET.tsv: one recording of a sentence."""

    sentence: str
    file: str
    text: str
    seconds: float


def prepare_fleurs(download_dir: Path, data_dir: Path, languages: Sequence[str]) -> list[CorpusUtterance]:
    """Write the lists of ``languages``.

    Args:
        download_dir: what ``download_fleurs`` filled; its path as given begins every path in wav.scp.
        languages: codes in ``CONFIGS``.

    Returns:
        The utterances of all sets.

    Raises:
        UserError: a language's files are missing or are not FLEURS's.
    """
    english_rows = (read_rows(download_dir / CONFIGS["en"] / f"{set_}.tsv") for set_ in SETS)
    english = {row.sentence: row.text for rows in english_rows for row in rows}
    left_out: list[LeftOut] = []
    found = [(row.sentence, utterance) for language in languages for set_ in SETS
             for row, utterance in _read_set(download_dir / CONFIGS[language], language, set_, english, left_out)]
    held_out = {sentence for sentence, utterance in found if utterance.set != "train"}
    utterances = []
    for sentence, utterance in found:
        if utterance.set == "train" and sentence in held_out:
            left_out.append(LeftOut(utterance.id, "train: the sentence is in dev or test"))
        else:
            utterances.append(utterance)
    write_lists("fleurs", utterances, left_out, data_dir, SETS)
    return utterances


def read_rows(path: Path) -> list[Row]:
    """The rows of a SET.tsv: no header, no quoting; id, file name, text, normalised text, letters, samples, gender.

    Raises:
        UserError: missing, or a line that has not these columns.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: run stage 0 with this language")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):  # U+2028 ends no line
        columns = line.rstrip("\r").split("\t")
        if columns == [""]:
            continue
        if len(columns) != 7 or not columns[5].isdecimal():
            raise UserError(f"{path}:{number}: {len(columns)} columns, FLEURS has 7 and the number of samples in the "
                            "6th; delete the file and run stage 0 again")
        rows.append(Row(columns[0], columns[1], columns[2].strip(), int(columns[5]) / RATE))
    return rows


def _read_set(directory: Path, language: str, set_: str, english: dict[str, str],
              left_out: list[LeftOut]) -> Iterator[tuple[Row, CorpusUtterance]]:
    """The usable recordings of one set of one language; the others are added to ``left_out``."""
    audio = {path.name: path for path in (directory / "audio" / set_).rglob("*.wav")}
    if not audio:
        raise UserError(f"{directory / 'audio' / set_}: no recordings: run stage 0 with --languages {language}")
    for row in read_rows(directory / f"{set_}.tsv"):
        path = audio.pop(row.file, None)
        id_ = f"{language}_{row.sentence}_{Path(row.file).stem}"
        reason = ("no recording, or a second line of it" if path is None else "no text" if not row.text
                  else f"longer than {WINDOW_SECONDS:g} s" if row.seconds > WINDOW_SECONDS else None)
        if path is None or reason:
            left_out.append(LeftOut(id_, reason or ""))
            continue
        targets = {"transcribe": row.text}
        if language != "en" and english.get(row.sentence):
            targets["translate"] = english[row.sentence]
        elif language != "en":
            left_out.append(LeftOut(id_, "translate: no English sentence of this number"))
        yield row, CorpusUtterance(set_, id_, language, path, targets)
    left_out += [LeftOut(f"{language} {set_} {name}", "no sentence") for name in sorted(audio)]


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    add_prepare_options(parser, languages="names or codes; empty: all that Whisper knows")
    args = parser.parse_args()
    prepare_fleurs(args.download_dir, args.data_dir, fleurs_languages(args.languages))


if __name__ == "__main__":
    run_main(main)
