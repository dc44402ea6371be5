"""Computes a tokenizer's BPE merges from the ranks of its tokens, and restores merges that are missing.

The ids below ``<|endoftext|>`` are ranks: 256 bytes, then one token for each merge, in the order of the merges, then an
empty token. So the vocabulary determines the merges.
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
_BLOCK = 256  # ids per checksum
# Checksums of Whisper's own vocabulary and merges; tests/openai_tokens.py makes the file from OpenAI's package.
_RANKS = Path(__file__).with_name("whisper_ranks.json")

Merge = tuple[str, str]


def repair_merges(tokenizer: WhisperTokenizer, where: str | Path) -> str:
    """Replace the tokenizer's merges, in place, by those that its vocabulary determines.

    Args:
        where: the tokenizer's directory, for messages.

    Returns:
        What was wrong; empty if nothing.

    Raises:
        UserError: the vocabulary is damaged.
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
    """Return the merges of a vocabulary, by rank: each token after the bytes joins two tokens of lower rank.

    To find these two, the earlier merges are applied to the token's bytes, the lowest rank first, until two parts are
    left, as in OpenAI's tiktoken.

    Raises:
        UserError: a token does not consist of two earlier ones.
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
    """The parts of ``token`` after all merges of a rank below ``limit``."""
    parts = list(token)
    while len(parts) > 1:
        rank, place = min((ranks.get(left + right, limit), i) for i, (left, right) in enumerate(pairwise(parts)))
        if rank >= limit:
            break
        parts[place:place + 2] = [parts[place] + parts[place + 1]]
    return parts


def _ranked_tokens(vocabulary: dict[str, int], end: int, where: str | Path) -> list[str]:
    """The tokens before the end token, by id, without the empty token, which no merge makes."""
    by_id = {index: token for token, index in vocabulary.items() if index < end and token}
    missing = next((index for index in range(len(by_id)) if index not in by_id), len(by_id))
    if missing < len(by_id) or len(by_id) not in (end, end - 1):
        raise UserError(f"{where}: the vocabulary has no token with the id {missing}; {REMEDY}")
    tokens = [by_id[index] for index in range(len(by_id))]
    if tokens[:N_BYTES] != sorted(pre_tokenizers.ByteLevel.alphabet()):
        raise UserError(f"{where}: the first {N_BYTES} ids are not the bytes in Whisper's order; {REMEDY}")
    return tokens


def is_whispers_vocabulary(tokens: Sequence[str], where: str | Path) -> bool:
    """Whether the tokens are those of OpenAI's multilingual models; other models may have other vocabularies.

    Raises:
        UserError: only a part of them are.
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
    """Return short checksums of the tokens, one for every 256 ids."""
    return [sha256_of_lines(tokens[start:start + _BLOCK])[:8] for start in range(0, len(tokens), _BLOCK)]


def merges_checksum(merges: Sequence[Merge]) -> str:
    """Return the SHA-256 of merges, as of a merges.txt without its first line."""
    return sha256_of_lines([" ".join(merge) for merge in merges])


def _fits(merges: Sequence[Merge], tokens: Sequence[str], is_whispers: bool) -> bool:
    """Whether these are the merges of the vocabulary; for Whisper's own, their checksum is compared."""
    if is_whispers:
        return merges_checksum(merges) == _whispers_ranks()["merges_sha256"]
    return [left + right for left, right in merges] == list(tokens[N_BYTES:])


def require_whisper_pretokenizer(tokenizer: Mapping[str, Any], where: str | Path) -> None:
    """Check the normalizer and pre-tokenizer of a tokenizer.json. transformers ignores them, other programs do not.

    Raises:
        UserError: it normalizes text, or does not split it as Whisper does: at spaces, letters, numbers, other signs.
    """
    cuts = tokenizer.get("pre_tokenizer") or {}
    as_whisper = (cuts.get("type") == "ByteLevel" and not cuts.get("add_prefix_space") and cuts.get("use_regex", True))
    if tokenizer.get("normalizer") or not as_whisper:
        raise UserError(f"{where}: the tokenizer does not split text as Whisper's does; {REMEDY}")


def as_pair(merge: str | Sequence[str]) -> Merge:
    """Return a merge as a pair. Files have a pair or, older ones, two words with a space between them."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def sha256_of_lines(lines: Sequence[str]) -> str:
    """Return the SHA-256 of lines, joined with line ends, in UTF-8."""
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
