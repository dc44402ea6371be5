#!/usr/bin/env python3
"""Find the targets of a test set that have a relative among the training texts: the same sentence, or almost.

Two sentences are relatives if they are similar in 80 % of their letters, or if one contains the other as whole words,
two or more. Texts are compared in the language that they are written in. OUTPUT gets a line for each target that has
one, `key TAB similarity in per cent TAB its nearest training text`; pyscripts/score.py --relatives scores the others
apart.

Example:
  pyscripts/find_relatives.py --train-text data/train/text data/test/text exp/lora/relatives_test.tsv
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main


def main() -> None:
    """Parse the command line, compare, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--train-text", type=Path, required=True, metavar="TEXT", help="the training set's text")
    parser.add_argument("text", type=Path, metavar="TEXT", help="the test set's text")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file to write")
    args = parser.parse_args()

    from utils.data.relatives import relatives
    from utils.data.silent_references import read_spoken_texts
    from utils.filesystem import atomic_open

    training, tested = (by_language(read_spoken_texts(path)) for path in (args.train_text, args.text))
    lines = []
    for language, texts in tested.items():
        found = relatives(texts.values(), training[language].values())
        lines += [f"{key}\t{found[text].similarity:.1f}\t{found[text].text}\n"
                  for key, text in texts.items() if text in found]
    with atomic_open(args.output) as stream:
        stream.writelines(sorted(lines))
    total = sum(len(texts) for texts in tested.values())
    log(f"{args.output}: {len(lines)} of {total} targets of {args.text} have a relative in {args.train_text}")


def by_language(texts: dict[str, str]) -> defaultdict[str, dict[str, str]]:
    """Texts by key, by the language that they are written in."""
    from utils.data.languages import text_language
    from utils.data.lists import parse_key

    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key, text in texts.items():
        parsed = parse_key(key)
        found[text_language(parsed.language, parsed.task)][key] = text
    return found


if __name__ == "__main__":
    run_main(main)
