#!/usr/bin/env python3
"""Train the small sentencepiece vocabulary for TER (token error rate) on the transcriptions of a text list.

Writes TOKEN_DIR/bpe.model and TOKEN_DIR/tokens.txt, as ESPnet's recipes do. The size of the vocabulary depends on the
amount of text; TERs with different vocabularies cannot be compared.

Example:
  pyscripts/train_bpe.py data/train/text data/train/token_bpe
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import log, make_parser, run_main


def main() -> None:
    """Parse the options, train."""
    parser = make_parser(__doc__)
    parser.add_argument("--vocabulary", type=int, metavar="N", help="number of pieces; default: one for every 100 "
                        "characters of text, 100 to 5000, but never fewer than the text's different characters need")
    parser.add_argument("text", type=Path, metavar="TEXT", help="training text, `id|language|task text` a line")
    parser.add_argument("token_dir", type=Path, metavar="TOKEN_DIR", help="directory to write to")
    args = parser.parse_args()

    from utils.score.bpe import train_bpe, transcripts
    from utils.score.text_units import piece_splitter

    texts = transcripts(args.text)
    path = train_bpe(texts, args.token_dir, args.vocabulary)
    pieces = sum(map(len, map(piece_splitter(path), texts)))
    log(f"wrote {path}: {len(texts)} texts are {pieces} tokens")


if __name__ == "__main__":
    run_main(main)
