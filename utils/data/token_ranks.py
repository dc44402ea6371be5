"""The ranks of Whisper's tokens: what the merges of a tokenizer must be, and putting back those that are missing.

The ids below ``<|endoftext|>`` are ranks: 256 bytes, then one token a merge, in the order of the merges, then an empty
one. So the vocabulary alone says what the merges are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import models, pre_tokenizers
from transformers import WhisperTokenizer

from utils.errors import UserError

REMEDY = "take the tokenizer.json of the original model"
N_BYTES = 256
_BLOCK = 256  # ids a checksum
# Checksums of Whisper's own vocabulary and merges; tests/openai_tokens.py makes the file from OpenAI's package.
_RANKS = Path(__file__).with_name("whisper_ranks.json")

Merge = tuple[str, str]


def repair_merges(tokenizer: WhisperTokenizer, where: str | Path) -> str:
    """Make the merges those that the vocabulary says, in place.

    Returns:
        What was wrong; empty if nothing.

    Raises:
        UserError: the vocabulary is a damaged one.
    """
    backend = tokenizer.backend_tokenizer
    model = json.loads(backend.to_str())["model"]
    tokens = _ranked_tokens(model["vocab"], tokenizer.eos_token_id, where)
    found = [as_pair(merge) for merge in model["merges"]]
    if _fits(found, tokens, is_whispers_vocabulary(tokens, where)):
        return ""
    merges = merges_of(tokens, where)
    backend.model = models.BPE(vocab=model["vocab"], merges=merges)
    known = set(found)
    missing = [merge for merge in merges if merge not in known]
    if not missing:
        return "the merges of its tokenizer are not in the order of its vocabulary"
    return f"its tokenizer lacks {len(missing)} of {len(merges):,} merges, the first: '{' '.join(missing[0])}'"


def merges_of(tokens: Sequence[str], where: str | Path = "vocabulary") -> list[Merge]:
    """The merges that make a vocabulary: each token after the bytes joins two parts of lower rank.

    Which two, the earlier merges decide: they are applied to the token's bytes, the lowest rank first, until two parts
    are left. This is how byte pair encoding with ranks works (OpenAI's tiktoken).

    Raises:
        UserError: a token is not made of two earlier ones.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    merges = []
    for rank in range(N_BYTES, len(tokens)):
        parts = _merged(tokens[rank], ranks, rank)
        if len(parts) != 2:
            raise UserError(f"{where}: the token {tokens[rank]!r} with the id {rank} is not made of two earlier ones: "
                            f"the vocabulary is damaged; {REMEDY}")
        merges.append((parts[0], parts[1]))
    return merges


def _merged(token: str, ranks: dict[str, int], limit: int) -> list[str]:
    """The parts of ``token`` when all merges of a rank below ``limit`` have been applied."""
    parts = list(token)
    while len(parts) > 1:
        rank, place = min((ranks.get(left + right, limit), i) for i, (left, right) in enumerate(pairwise(parts)))
        if rank >= limit:
            break
        parts[place:place + 2] = [parts[place] + parts[place + 1]]
    return parts


def _ranked_tokens(vocabulary: dict[str, int], end: int, where: str | Path) -> list[str]:
    """The tokens below the end token, by id; the empty one, which no merge makes, is left out."""
    by_id = {index: token for token, index in vocabulary.items() if index < end and token}
    missing = next((index for index in range(len(by_id)) if index not in by_id), None)
    if missing is not None or len(by_id) not in (end, end - 1):
        raise UserError(f"{where}: the vocabulary has no token with the id {missing or len(by_id)}; {REMEDY}")
    tokens = [by_id[index] for index in range(len(by_id))]
    if tokens[:N_BYTES] != sorted(pre_tokenizers.ByteLevel.alphabet()):
        raise UserError(f"{where}: the first {N_BYTES} ids are not the bytes in Whisper's order; {REMEDY}")
    return tokens


def is_whispers_vocabulary(tokens: Sequence[str], where: str | Path) -> bool:
    """Whether the tokens are those of OpenAI's multilingual models; another model may have a vocabulary of its own.

    Raises:
        UserError: part of them are.
    """
    known = _whispers_ranks()["blocks"]
    blocks = checksums(tokens)
    same = [a == b for a, b in zip(blocks, known, strict=False)]
    if len(blocks) == len(known) and all(same):
        return True
    if any(same[1:]):  # all vocabularies of this kind begin with the bytes
        first = same.index(False) * _BLOCK if False in same else min(len(blocks), len(known)) * _BLOCK
        raise UserError(f"{where}: the vocabulary is Whisper's but for ids between {first} and {first + _BLOCK - 1}: "
                        f"it is damaged; {REMEDY}")
    return False


def _whispers_ranks() -> dict[str, Any]:
    return json.loads(_RANKS.read_text(encoding="utf-8"))


def checksums(tokens: Sequence[str]) -> list[str]:
    """Short checksums of the tokens, one for 256 ids."""
    return [sha256_of_lines(tokens[start:start + _BLOCK])[:8] for start in range(0, len(tokens), _BLOCK)]


def merges_checksum(merges: Sequence[Merge]) -> str:
    """SHA-256 of merges, as in a merges.txt without its first line."""
    return sha256_of_lines([" ".join(merge) for merge in merges])


def _fits(merges: Sequence[Merge], tokens: Sequence[str], is_whispers: bool) -> bool:
    """Whether these are the merges of the vocabulary; exact for Whisper's own, whose checksum is known."""
    if is_whispers:
        return merges_checksum(merges) == _whispers_ranks()["merges_sha256"]
    return [left + right for left, right in merges] == list(tokens[N_BYTES:])


def require_whispers_words(tokenizer: Mapping[str, Any], where: str | Path) -> None:
    """Check what a tokenizer.json does before bytes are merged; transformers ignores it, other programs do not.

    Raises:
        UserError: it changes the text, or cuts it otherwise than Whisper: at spaces, letters, numbers and other signs.
    """
    cuts = tokenizer.get("pre_tokenizer") or {}
    as_whisper = (cuts.get("type") == "ByteLevel" and not cuts.get("add_prefix_space") and cuts.get("use_regex", True))
    if tokenizer.get("normalizer") or not as_whisper:
        raise UserError(f"{where}: the tokenizer cuts text into words otherwise than Whisper's; {REMEDY}")


def as_pair(merge: str | Sequence[str]) -> Merge:
    """Files write a merge as two words or, older ones, with a space between them."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def sha256_of_lines(lines: Sequence[str]) -> str:
    """SHA-256 of lines of UTF-8 text."""
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
