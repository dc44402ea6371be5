#!/usr/bin/env python3
"""Write CoVoST 2's lists, X into English: DATA_DIR/{train,dev,test}/TASK/{wav.scp,text,utt2spk}.

Transcripts come from Common Voice's validated.tsv, translations and sets from covost_v2.LANG_en.tsv; they are joined by
the clip's name, as the authors' get_covost_splits.py does: train is `train` and `train_covost`, dev and test are Common
Voice's own. An id is a speaker's (the beginning of client_id), `-` and the clip's name. Left out, with the reason in
DATA_DIR/covost2_left_out.tsv: clips that Common Voice has no longer, empty texts, more than 30 s.

Example: local/prepare_covost2.py --languages "cy sl" download/covost2 data
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from download_covost2 import LANGUAGES, common_voice, corpus_code, languages_of

from utils.cli import log, make_parser, run_main
from utils.data.corpus_lists import CorpusUtterance, LeftOut, add_prepare_options, without_unusable, write_lists
from utils.errors import UserError

SETS = {"train": "train", "train_covost": "train", "dev": "dev", "test": "test"}  # CoVoST's names and ours
_SPEAKER_LETTERS = 16  # of the 128 of a client_id
_FEW = 0.98  # if Common Voice has a smaller share of the rows than this, it is another version


def prepare_covost2(download_dir: Path, data_dir: Path, languages: Sequence[str]) -> list[CorpusUtterance]:
    """Write the lists of some languages together.

    Args:
        download_dir: what ``download_covost2`` filled; its path as given begins every path in wav.scp.
        languages: of download_covost2.LANGUAGES.

    Returns:
        The utterances of all sets.

    Raises:
        UserError: a table or Common Voice is missing or of another version.
    """
    left_out: list[LeftOut] = []
    found = [utterance for language in languages for utterance in _read_language(download_dir, language, left_out)]
    utterances = without_unusable(found, left_out)
    write_lists("covost2", utterances, left_out, data_dir, ["train", "dev", "test"])
    return utterances


def _read_language(download_dir: Path, language: str, left_out: list[LeftOut]) -> list[CorpusUtterance]:
    voice = common_voice(download_dir, language)
    name = f"covost_v2.{corpus_code(language)}_en.tsv"
    if voice is None:
        raise UserError(f"{download_dir / 'common_voice' / corpus_code(language)}: no validated.tsv: "
                        "local/download_covost2.py --help says what to put where")
    said = {row["path"]: row for row in read_tsv(voice / "validated.tsv", ("path", "sentence", "client_id"), left_out)}
    clips = {path.name for path in (voice / "clips").glob("*.mp3")}
    utterances, gone, n_rows = [], 0, 0
    for row in read_tsv(download_dir / name / name, ("path", "translation", "split"), left_out):
        if row["split"] not in SETS:  # translated, but in none of the authors' sets
            continue
        n_rows += 1
        clip = row["path"]
        if clip not in said or clip not in clips:
            left_out.append(LeftOut(clip, "not in clips/" if clip in said else "not in validated.tsv"))
            gone += 1
            continue
        targets = {"transcribe": said[clip]["sentence"].strip(), "translate": row["translation"].strip()}
        left_out += [LeftOut(clip, f"nothing to {task}: empty text") for task, text in targets.items() if not text]
        if any(targets.values()):
            speaker = said[clip]["client_id"][:_SPEAKER_LETTERS] or Path(clip).stem
            utterances.append(CorpusUtterance(SETS[row["split"]], f"{speaker}-{Path(clip).stem}", language,
                                        voice / "clips" / clip, {task: text for task, text in targets.items() if text},
                                        speaker=speaker))
    if gone == n_rows:
        raise UserError(f"{voice}: has none of the {n_rows} clips of {name}: CoVoST 2 is made on Common Voice 4")
    if n_rows - gone < _FEW * n_rows:
        log(f"warning: {voice} has {n_rows - gone} of the {n_rows} clips of {name}: not Common Voice 4? "
            "Figures on a smaller test set cannot be compared with the paper's")
    return utterances


def read_tsv(path: Path, columns: Sequence[str], left_out: list[LeftOut]) -> Iterator[dict[str, str]]:
    r"""Rows of a table as Common Voice and CoVoST write them: no quotes (a ``"`` is a ``"``), ``\`` before a tab in a
    text. Lines with too few or too many fields are added to ``left_out``.

    Raises:
        UserError: missing, not UTF-8, or a column is not there.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
            if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
                raise UserError(f"{path}:1: no column {missing[0]}: this is another table")
            for row in reader:
                if None in row or None in row.values():
                    left_out.append(LeftOut(f"{path}:{reader.line_num}", "not as many fields as columns"))
                else:
                    yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    add_prepare_options(parser, languages=f"some of {' '.join(LANGUAGES)}; empty: those whose Common Voice is there")
    args = parser.parse_args()
    prepare_covost2(args.download_dir, args.data_dir, languages_of(args.languages, args.download_dir))


if __name__ == "__main__":
    run_main(main)
