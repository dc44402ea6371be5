"""lhotse: cuts, recordings with supervisions, and shar, read by lhotse itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.data.corpus_lists import LeftOut
from utils.errors import UserError
from utils.importing.found import Entry, Found, ImportOptions, text_value


def read_lhotse_cuts(source: str, options: ImportOptions) -> Iterator[Entry]:
    """Yield an utterance for each supervision of each cut.

    A translation is the supervision's own field ``translation``, or the one that ``--columns translation=NAME`` names.

    Raises:
        UserError: lhotse is not installed, or cannot read the source.
    """
    try:
        import lhotse
    except ImportError:
        raise UserError("--from lhotse needs a package: pip install -r tools/requirements-import.txt") from None
    try:
        for number, cut in enumerate(_cuts(Path(source), lhotse), 1):
            yield from _entries(cut, f"{source}:{number}", options)
    except (OSError, ValueError, TypeError, KeyError, AssertionError, NotImplementedError) as error:
        raise UserError(f"{source}: lhotse cannot read it: {str(error).splitlines()[0] if str(error) else error!r}") \
            from None


def _cuts(path: Path, lhotse: Any) -> Any:
    """Cuts of a file, of a directory of shards, or of the recordings and supervisions in a directory."""
    if path.is_file():
        return lhotse.CutSet.from_file(path)
    recordings, supervisions = (sorted(path.glob(f"*{name}*.jsonl*")) for name in ("recordings", "supervisions"))
    if len(recordings) == len(supervisions) == 1:
        return lhotse.CutSet.from_manifests(recordings=lhotse.RecordingSet.from_file(recordings[0]),
                                            supervisions=lhotse.SupervisionSet.from_file(supervisions[0]))
    if not list(path.glob("cuts.*.jsonl*")):
        raise UserError(f"{path}: no cuts, no shards (cuts.*.jsonl.gz), no pair of recordings and supervisions")
    return lhotse.CutSet.from_shar(in_dir=path)


def _entries(cut: Any, place: str, options: ImportOptions) -> Iterator[Entry]:
    where = f"{place} ({cut.id})"
    if type(cut).__name__ != "MonoCut" or not cut.has_recording:
        yield LeftOut(where, f"a {type(cut).__name__}: only cuts of one recording and channel are read")
        return
    if cut.recording.num_channels > 1:
        yield LeftOut(where, f"channel {cut.channel} of {cut.recording.num_channels}: channels are not chosen")
        return
    if not cut.supervisions:
        yield LeftOut(where, "no supervision")
    for supervision in cut.supervisions:
        text = text_value(supervision.text, where, "text")
        column = options.columns.get("translation", "translation")
        translation = text_value((supervision.custom or {}).get(column), where, column)
        targets = {task: said for task, said in ((options.task, text), ("translate", translation)) if said}
        if not targets:
            yield LeftOut(where, "no text")
            continue
        start = max(0.0, cut.start + supervision.start)
        end = cut.start + min(supervision.end, cut.duration)
        sources = cut.recording.sources
        on_disk = len(sources) == 1 and sources[0].type == "file" and not cut.recording.transforms
        yield Found(where, supervision.language or "", targets, str(sources[0].source) if on_disk else "",
                    str(supervision.id), supervision.speaker or "", start if on_disk else None,
                    end if on_disk else None, None if on_disk else _content(cut, start - cut.start, end - start),
                    f"{cut.id}.wav")


def _content(cut: Any, offset: float, duration: float) -> Callable[[], bytes]:
    def content() -> bytes:
        import soundfile

        stream = io.BytesIO()
        samples = cut.truncate(offset=offset, duration=duration).load_audio()[0]
        soundfile.write(stream, samples, cut.sampling_rate, format="WAV", subtype="FLOAT")
        return stream.getvalue()

    return content
