"""The kinds of foreign data that can be imported. A new kind NAME is a module with read_NAME, and a line here."""

from __future__ import annotations

from importlib import import_module

from utils.errors import UserError
from utils.importing.found import Reader

# By the name that --from takes: the module, and what SOURCE is.
KINDS = {
    "commonvoice": ("common_voice", "a TSV of Common Voice or CoVoST 2, clips/ beside it"),
    "datasets": ("hf_datasets", "Hugging Face: a name on the hub, a save_to_disk, an audio folder, parquet files"),
    "kaldi": ("kaldi", "a data directory of Kaldi or ESPnet with plain utterance ids"),
    "lhotse": ("lhotse_cuts", "cuts, recordings with supervisions, or a directory of shards (shar)"),
    "nemo": ("nemo", "a NeMo manifest, or a tarred one with --shards"),
    "owsm": ("owsm", "a data directory of ESPnet's OWSM: texts with languages, tasks and times"),
    "subtitles": ("subtitles", "a folder of recordings with talk.fr.srt and talk.en.srt (or vtt, ass) beside them"),
    "wenet": ("wenet", "a data.list of WeNet: JSON lines, or names of shards"),
    "whisper-finetune": ("whisper_finetune", "JSON lines of Whisper-Finetune"),
}


def reader_of(kind: str) -> Reader:
    """The reader of a kind of data.

    Raises:
        UserError: the kind is not known.
    """
    if kind not in KINDS:
        raise UserError(f"--from {kind}: use one of {' '.join(KINDS)}")
    module = KINDS[kind][0]
    reader: Reader = getattr(import_module(f"utils.importing.{module}"), f"read_{module}")
    return reader


def kinds_table() -> str:
    """A line for each kind: its name and what SOURCE is."""
    width = max(map(len, KINDS))
    return "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in KINDS.items())
