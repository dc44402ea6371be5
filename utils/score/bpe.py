"""The small vocabulary for TER (token error rate): a sentencepiece model of the training text."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from utils.data.lists import parse_key
from utils.data.silent_references import read_spoken_texts
from utils.errors import UserError
from utils.filesystem import atomic_open

MIN_PIECES, MAX_PIECES = 100, 5000  # ESPnet's recipes take 100 for an hour of speech, 5000 for a thousand
CHARACTERS_PER_PIECE = 100
_SPECIAL_PIECES = 3  # <unk>, <s>, </s>


def transcripts(text_file: str | Path) -> list[str]:
    """The transcriptions of a ``text`` list; if it has none, its translations.

    Raises:
        UserError: see :func:`utils.data.lists.read_list`.
    """
    texts = read_spoken_texts(text_file)
    return [text for key, text in texts.items() if parse_key(key).task == "transcribe"] or [*texts.values()]


def vocabulary_size(texts: Iterable[str]) -> int:
    """The number of pieces for a training text: one for every 100 characters, between 100 and 5000.

    A piece must occur often enough for its errors to mean something. The number is never less than the text's
    different characters need; Chinese has thousands of them.
    """
    different: set[str] = set()
    length = 0
    for text in texts:
        length += len(text)
        different.update(text)
    wanted = min(max(length // CHARACTERS_PER_PIECE, MIN_PIECES), MAX_PIECES)
    return max(wanted, len(different) + _SPECIAL_PIECES + 1)


def train_bpe(texts: list[str], directory: str | Path, size: int | None = None) -> Path:
    """Train a byte-pair model and write ``bpe.model`` and ``tokens.txt`` (its pieces, one a line) as ESPnet does.

    The same texts give the same model. ``size`` is the most pieces: a text too small for them gets fewer.

    Returns:
        The path of ``bpe.model``.

    Raises:
        UserError: there is no text to train on, or ``size`` is too small for the characters in it.
    """
    import sentencepiece

    texts = [text for text in texts if text.strip()]
    if not texts:
        raise UserError("no text to train a vocabulary on. Give data/TRAIN/text")
    size = size or vocabulary_size(texts)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, model_type="bpe", character_coverage=1.0,
            vocab_size=size, hard_vocab_limit=False, num_threads=1, minloglevel=2,
            input_sentence_size=1_000_000, max_sentence_length=16384)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--vocabulary {size}: sentencepiece cannot use it: {reason}") from None
    path = Path(directory) / "bpe.model"
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    with atomic_open(path.with_name("tokens.txt")) as stream:
        stream.writelines(processor.id_to_piece(index) + "\n" for index in range(len(processor)))
    with atomic_open(path, "wb") as stream:
        stream.write(model.getvalue())
    return path
