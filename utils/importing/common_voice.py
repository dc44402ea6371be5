"""The tables of Common Voice's releases and of CoVoST 2: path, sentence, translation, client_id, locale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from utils.data.corpus_lists import LeftOut
from utils.data.tables import TableForm, read_table
from utils.importing.found import Entry, Found, ImportOptions

_FORM = TableForm("path", ("sentence", "translation"), ("client_id", "locale"), missing=())
_COVOST_NAME = re.compile(r"covost_v2\.([\w-]+?)_([\w-]+?)\.")


def read_common_voice(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield the utterances of a table. Clips are in ``--clips``, or in clips/ beside the table.

    Raises:
        UserError: the table cannot be read, or lacks its columns.
    """
    table = Path(source)
    clips = options.clips or table.parent / "clips"
    name = _COVOST_NAME.search(table.name)
    for row in read_table(table, _FORM):
        get = row.columns.get
        targets = {"transcribe": get("sentence", ""), "translate": get("translation", "")}
        if name and name[2] != "en" and targets.pop("translate"):
            yield LeftOut(row.where, f"translation: it is in {name[2]}; Whisper translates into English only")
        path = clips / get("path", "")
        path = path if path.suffix else path.with_suffix(".mp3")
        speaker = get("client_id", "")[:16]  # a hash of 128 digits; its start is enough to tell speakers apart
        yield Found(row.where, get("locale", "") or (name[1] if name else ""), targets, str(path), path.stem, speaker)
