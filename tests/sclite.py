"""NIST's sclite, Debian's package sctk."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def sclite(score_dir: Path) -> dict[str, tuple[int, int]]:
    """NIST's reference tokens and errors by key."""
    command = "sctk sclite -r ref.trn trn -h hyp.trn trn -i wsj -s -e utf-8 -o pra stdout"
    out = subprocess.run(command.split(), cwd=score_dir, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^id: \((.*)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", out, re.MULTILINE)
    return {key: (int(c) + int(s) + int(d), int(s) + int(d) + int(i)) for key, c, s, d, i in found}
