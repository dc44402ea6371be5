"""The dialogues of Fish Fillets NG: Lua files of two calls, read without running anything.

    dialogId("ID", "FONT", "English")
    dialogStr("text in the file's language")

``dialogStr`` belongs to the ``dialogId`` before it. Files have other Lua, too; of that only strings and comments are
understood, so that no text in them is taken for a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

_TOKEN = re.compile(r"""
    (?P<space>\s+)
  | (?P<comment>--\[\[.*?\]\]|--(?!\[\[)[^\n]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<other>[0-9]+|[^\s"'A-Za-z_0-9])
""", re.VERBOSE | re.DOTALL)
_ESCAPE = re.compile(r"\\(\d{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "", "b": "", "f": "", "v": ""}  # others stand for themselves


@dataclass
class Line:
    """A line of a dialogue.

    Attributes:
        id: also the name of its audio file.
        english: its English text; may be empty.
        text: in the language of the file; empty if the file does not have it.
    """

    id: str
    english: str
    text: str = ""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def read_dialogs(path: Path) -> list[Line]:
    """The lines of a dialogue file, in its order. Calls whose arguments are no plain strings are passed over.

    Raises:
        UserError: the file is no UTF-8, a string or comment has no end, or a call is cut off or has too few arguments.
    """
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}. Download it again") from None
    lines: list[Line] = []
    tokens = [token for token in _tokens(path, source) if token.kind not in ("space", "comment")]
    for place, token in enumerate(tokens):
        if token.text not in ("dialogId", "dialogStr") or token.kind != "name":
            continue
        arguments = _plain_arguments(path, tokens, place)
        if arguments is None:
            continue
        if len(arguments) != (3 if token.text == "dialogId" else 1):
            raise UserError(f"{path}:{token.line}: {token.text} with {len(arguments)} arguments. Correct the file")
        if token.text == "dialogId":
            lines.append(Line(arguments[0], arguments[2]))
        elif lines:
            lines[-1].text = arguments[0]
    return lines


def _tokens(path: Path, source: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None or (source.startswith("--[[", position) and not match["comment"]):
            raise UserError(f"{path}:{line}: a string or a comment has no end. Correct the file")
        yield _Token(str(match.lastgroup), match.group(), line)
        line += match.group().count("\n")
        position = match.end()


def _plain_arguments(path: Path, tokens: list[_Token], place: int) -> list[str] | None:
    """The arguments of the call at ``place``, if all of them are strings; None if one is an expression."""
    rest = tokens[place + 1:place + 8]
    if not rest or rest[0].text != "(":
        return None
    arguments: list[str] = []
    for index, token in enumerate(rest[1:]):
        if index % 2 == 0 and token.kind == "string":
            arguments.append(_unescape(token.text[1:-1]))
        elif index % 2 == 1 and token.text == ")":
            return arguments
        elif index % 2 == 0 or token.text != ",":
            return None
    if place + len(rest) + 1 == len(tokens):
        raise UserError(f"{path}:{tokens[place].line}: {tokens[place].text} is cut off. Download the file again")
    return None


def _unescape(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        escaped = match.group(1)
        return chr(int(escaped)) if escaped.isdecimal() else _ESCAPED.get(escaped, escaped)

    return " ".join(_ESCAPE.sub(character, text).split())
