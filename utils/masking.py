"""Masks secrets in what is printed, logged or reported: tokens, keys and passwords become ``***``."""

from __future__ import annotations

import os
import re

MASK = "***"
_NAMES = r"token|secret|password|passwd|api[-_]?key|access[-_]?key|credential|signature|sig"
_QUOTED = r"'[^']*'|\"[^\"]*\""
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{_NAMES})(?:$|_)", re.IGNORECASE)
_SHORTEST = 8  # a shorter value may be a word like `true`, which must stay in messages
# The first group of each pattern is the text before the secret; it stays.
_PATTERNS = [re.compile(pattern, re.IGNORECASE) for pattern in (
    r"(\w://)[^/\s'\"]*(?=@)",  # user:password@ in an address
    rf"([?&;][\w.-]*(?:{_NAMES})=)[^&;#\s'\"]+",  # ?token=...
    rf"((?<!\w)--?[\w-]*(?:{_NAMES})(?:=|\s+))(?:{_QUOTED}|[^\s'\"-][^\s'\"]*)",  # --api-key ...
    rf"(\b\w*(?:{_NAMES})=)(?:{_QUOTED}|[^\s'\"&;]+)",  # HF_TOKEN=...
    r"(\bbearer\s+)[\w.~+/=-]+",
    r"()\b(?:hf_|sk-|ghp_|github_pat_|glpat-|xox[abp]-)[\w-]{10,}",  # by the prefixes of providers
)]


def mask_secrets(text: str) -> str:
    """Return ``text`` with ``***`` for all that looks like a secret, and for values of secret environment variables."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text
