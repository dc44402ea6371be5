#!/usr/bin/env python3
"""Write LibriSpeech's lists: DATA_DIR/SET/transcribe/{wav.scp,text,utt2spk}.

--sets names the parts of each set: NAME=PART or NAME=PART+PART, separated by commas. Text is lower-cased, because
Whisper does not write in capitals and case does not count in the usual WER. Left out, with the reason in
DATA_DIR/librispeech_left_out.tsv: transcripts without audio, audio without transcript, more than 30 s.

Example: local/prepare_librispeech.py --sets train=train-clean-100,dev=dev-clean+dev-other download/librispeech data
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from download_librispeech import PARTS, part_directory

from utils.cli import make_parser, run_main
from utils.data.corpus_lists import CorpusUtterance, LeftOut, add_prepare_options, without_unusable, write_lists
from utils.data.languages import chosen_languages
from utils.errors import UserError

MINI = "train=train-clean-5,dev=dev-clean-2,test=test-clean"


def prepare_librispeech(download_dir: Path, data_dir: Path, sets: Mapping[str, Sequence[str]]) -> list[CorpusUtterance]:
    """Write the lists of some sets.

    Args:
        download_dir: what ``download_librispeech`` filled; its path as given begins every path in wav.scp.
        sets: name of each set and the parts that make it.

    Returns:
        The utterances of all sets.

    Raises:
        UserError: a part is not there, or has a transcript that is not ``ID WORDS``.
    """
    left_out: list[LeftOut] = []
    found = [utterance for name, parts in sets.items() for part in parts
             for utterance in _read_part(part_directory(download_dir, part), name, left_out)]
    utterances = without_unusable(found, left_out)
    write_lists("librispeech", utterances, left_out, data_dir, list(sets))
    return utterances


def _read_part(directory: Path, set_: str, left_out: list[LeftOut]) -> Iterator[CorpusUtterance]:
    """The utterances of SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt whose audio lies beside it."""
    audio = {path.stem: path for path in directory.glob("*/*/*.flac")}
    for transcripts in sorted(directory.glob("*/*/*.trans.txt")):
        for number, line in enumerate(transcripts.read_text(encoding="utf-8-sig").splitlines(), start=1):
            id_, _, text = line.strip().partition(" ")
            if not id_:
                continue
            if not id_.startswith(transcripts.name.removesuffix(".trans.txt") + "-"):
                raise UserError(f"{transcripts}:{number}: not an utterance of this chapter: {line[:60]!r}")
            path = audio.pop(id_, None)
            if path and text.strip():
                yield CorpusUtterance(set_, id_, "en", path, {"transcribe": text.lower()},
                                      speaker=id_.partition("-")[0])
            else:
                left_out.append(LeftOut(id_, "no text" if path else "no audio"))
    left_out += [LeftOut(id_, "no transcript") for id_ in sorted(audio)]


def parse_sets(option: str) -> dict[str, list[str]]:
    """The parts of each set in ``--sets``.

    Raises:
        UserError: not NAME=PART, or no such part.
    """
    sets = {}
    for item in option.replace(",", " ").split():
        name, _, parts = item.partition("=")
        sets[name] = parts.split("+")
        if not name or not set(sets[name]) <= PARTS.keys():
            raise UserError(f"--sets {item}: write NAME=PART[+PART...]; LibriSpeech has {' '.join(PARTS)}")
    return sets


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    parser.add_argument("--sets", default=MINI, help="NAME=PART[+PART...], between them commas")
    add_prepare_options(parser, languages="en or nothing: LibriSpeech is English")
    args = parser.parse_args()
    chosen_languages(args.languages, ["en"])
    prepare_librispeech(args.download_dir, args.data_dir, parse_sets(args.sets))


if __name__ == "__main__":
    run_main(main)
