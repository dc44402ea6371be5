"""The default corpus, telephone prompts in five languages (Asterisk core sounds 1.6.1): its files and texts.

One directory per language holds ``core-sounds-LANG.txt`` (lines ``name: text``) and a ``name.g722`` for each;
the same name has the same meaning in every language, so English texts are translations of the other four.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from utils.data.relatives import bare_words
from utils.errors import UserError

VERSION = "1.6.1"
LANGUAGES = ("en", "fr", "es", "it", "ru")
G722_BYTES_PER_SECOND = 8000  # 64 kbit/s, 16 kHz mono, no header
TEST_SHARE, DEV_SHARE = 0.17, 0.07  # of the families of sentences

TONE = re.compile(r"[\[(<].*[\])>]")  # the whole text: "[ascending tones]", "(beep)"
NOTE = re.compile(r"[\[\]()<>]")  # a part of the text: 'IAX (note: does not say "2")'
LOST_ACCENT = re.compile(r"\? ?[a-z]")  # "non pu? essere", "quella funzione ? attiva"


def prompt_id(language: str, name: str) -> str:
    """Return the id of a prompt in the lists: ``fr_digits-11``."""
    return f"{language}_{name.replace('/', '-')}"


def seconds_of(path: Path) -> float:
    """Return the duration of a g722 file in seconds."""
    return path.stat().st_size / G722_BYTES_PER_SECOND


def check_languages(languages: list[str]) -> None:
    """Check that the corpus has these languages.

    Raises:
        UserError: the corpus lacks a language, or none is given.
    """
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown or not languages:
        raise UserError(f"--languages {','.join(unknown)}: the prompts exist in {','.join(LANGUAGES)} only")


def transcript_file(directory: Path, language: str) -> Path:
    """Return the path of a language's transcripts in ``directory``, plain or gzipped; the file need not exist."""
    plain = directory / f"core-sounds-{language}.txt"
    gzipped = plain.with_name(plain.name + ".gz")
    return gzipped if gzipped.is_file() and not plain.is_file() else plain


def read_transcripts(path: Path) -> list[tuple[str, str]]:
    """Return the (name, text) pairs of a transcript file, in its order, white space collapsed; a text may be empty.

    Raises:
        UserError: the file is missing or damaged, or a line is neither a comment nor ``name: text``.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    pairs = []
    try:
        with opened(path, "rt", encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                name, colon, text = line.strip().partition(":")
                if not name or name.startswith(";"):
                    continue
                if not colon or any(character.isspace() for character in name):
                    raise UserError(f"{path}:{number}: not 'name: text': {line.strip()[:60]!r}")
                pairs.append((name, " ".join(text.split())))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run local/download_prompts.py first") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged: {error}; delete its directory and download again") from None
    return pairs


def split_of(family: str) -> str:
    """Return the set of a family of sentences, train, dev or test; a hash of its name decides, the same everywhere."""
    digest = hashlib.sha256(family.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < TEST_SHARE else "dev" if share < TEST_SHARE + DEV_SHARE else "train"


def fault_of(text: str) -> str | None:
    """Return why a transcript cannot be used as a reference, or None."""
    if not bare_words(text):
        return "empty transcript"
    if NOTE.search(text):
        return "a note in brackets: what is spoken is not known"
    if LOST_ACCENT.search(text):
        return "letters lost to '?'"
    return None
