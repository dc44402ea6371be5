"""Secrets out of what is printed, logged or reported: tokens, keys and passwords become ``***``."""

from __future__ import annotations

import os
import re

MASK = "***"
_NAMES = r"token|secret|password|passwd|api[-_]?key|access[-_]?key|credential|signature|sig"
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{_NAMES})(?:$|_)", re.IGNORECASE)
_SHORTEST = 8  # a value below is a word like `true`, which must not vanish from every message
# Each pattern's first group is what stays in front of the secret.
_PATTERNS = [re.compile(pattern, re.IGNORECASE) for pattern in (
    r"(\w://)[^/\s'\"]*@",  # user:password@ in an address
    rf"([?&;][\w.-]*(?:{_NAMES})=)[^&;#\s'\"]+",  # ?token=...
    rf"((?<!\w)--?[\w-]*(?:{_NAMES})(?:=|\s+)[\"']?)[^\s'\"-][^\s'\"]*",  # --api-key ...
    rf"(\b\w*(?:{_NAMES})=[\"']?)[^\s'\"&;]+",  # HF_TOKEN=...
    r"(\bbearer\s+)[\w.~+/=-]+",
    r"()\b(?:hf_|sk-|ghp_|github_pat_|glpat-|xox[abp]-)[\w-]{10,}",  # by the beginnings that providers give them
)]


def mask_secrets(text: str) -> str:
    """``text`` with everything in it that looks like a secret, or is one in our environment, replaced by ``***``."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text
