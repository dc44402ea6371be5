#!/usr/bin/env python3
"""Write AISHELL-1's lists: DATA_DIR/{train,dev,test}/TASK/{wav.scp,text,utt2spk}.

The sets are the corpus' own folders. Transcripts are written in words; the spaces between Chinese characters are
removed, and full-width letters become plain ones. The corpus has no English: --translations names a file of lines
`ID TEXT`, for any utterances; ./run.sh --teacher translates the others with a model. Left out, with the reason in
DATA_DIR/aishell_left_out.tsv: audio without transcript (some 300 files of the corpus), transcripts without audio.

Example: local/prepare_aishell.py --translations english.txt download/aishell data
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from download_aishell import TRANSCRIPTS, corpus_directory

from utils.cli import log, make_parser, run_main
from utils.data.corpus_lists import CorpusUtterance, LeftOut, add_prepare_options, without_unusable, write_lists
from utils.data.languages import chosen_languages
from utils.errors import UserError

SETS = ("train", "dev", "test")
_SPACE_OF_CHINESE = re.compile(r"(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])")


def prepare_aishell(download_dir: Path, data_dir: Path, translations: Path | None = None) -> list[CorpusUtterance]:
    """Write the lists of all sets.

    Args:
        download_dir: what ``download_aishell`` filled; its path as given begins every path in wav.scp.
        translations: lines `ID TEXT` in English.

    Returns:
        The utterances of all sets.

    Raises:
        UserError: the corpus is not there, or a line of its transcripts or of ``translations`` cannot be used.
    """
    corpus = corpus_directory(download_dir)
    transcripts = {id_: join_chinese(words) for id_, words in read_texts(corpus / TRANSCRIPTS).items()}
    english = read_texts(translations) if translations else {}
    if packed := sorted((corpus / "wav").glob("*.tar.gz")):
        raise UserError(f"{packed[0]}: is not unpacked yet: ./run.sh --stage 0 --stop-stage 0")
    left_out: list[LeftOut] = []
    found = []
    for set_ in SETS:
        for path in sorted((corpus / "wav" / set_).glob("*/*.wav")):
            if text := transcripts.pop(path.stem, None):
                targets = {"transcribe": text} | ({"translate": english.pop(path.stem)} if path.stem in english else {})
                found.append(CorpusUtterance(set_, path.stem, "zh", path, targets, speaker=path.parent.name))
            else:
                left_out.append(LeftOut(path.stem, "no transcript"))
    left_out += [LeftOut(id_, "no audio") for id_ in transcripts]
    if english:
        log(f"{translations}: {len(english)} lines are of no utterance, for example {min(english)}")
    utterances = without_unusable(found, left_out)
    write_lists("aishell", utterances, left_out, data_dir, SETS)
    return utterances


def read_texts(path: Path) -> dict[str, str]:
    """Texts by id from lines `ID TEXT`; UTF-8 with or without a byte order mark, any line ends.

    Raises:
        UserError: missing, not UTF-8, an id without text or twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        id_, _, text = line.strip().partition(" ")
        if not id_:
            continue
        if id_ in texts or not text.strip():
            raise UserError(f"{path}:{number}: {id_}: {'a second line of this id' if id_ in texts else 'no text'}")
        texts[id_] = text.strip()
    return texts


def join_chinese(words: str) -> str:
    """Words joined as Chinese is written: spaces stay only between words or numbers in Latin letters.

    >>> join_chinese("苹果 推出 ａｐｐ ｓｔｏｒｅ 后")
    '苹果推出app store后'
    """
    return _SPACE_OF_CHINESE.sub("", unicodedata.normalize("NFKC", words))


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    parser.add_argument("--translations", type=Path, metavar="FILE", help="English translations, lines `ID TEXT`")
    add_prepare_options(parser, languages="zh or nothing: AISHELL-1 is Mandarin")
    args = parser.parse_args()
    chosen_languages(args.languages, ["zh"])
    prepare_aishell(args.download_dir, args.data_dir, args.translations)


if __name__ == "__main__":
    run_main(main)
