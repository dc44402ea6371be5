"""The check of an export's word times against the base model's; worse ones get other heads or are switched off."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.audio.voice_activity import speech_bounds
from utils.cli import log
from utils.export.word_times import CLOSE, Bounds, Clip, WordTimes, join_recordings, measure_word_times

if TYPE_CHECKING:
    from utils.export.alignment_heads import Heads

MIN_PLACES = 20


def check_word_times(base_dir: Path, merged_dir: Path, ct2_dirs: Sequence[Path], test: Path, dev: Path, *,
                     tolerance: float, n_clips: int, bounds: Bounds = speech_bounds) -> dict[str, Any]:
    """Compare the first export's word times with the base model's; if they are worse, write better heads into all.

    If no heads are good enough, word times are switched off in all exports and in ``merged_dir``.

    Args:
        base_dir, merged_dir: base and tuned model, Hugging Face directories.
        ct2_dirs: exports of the tuned model, named ct2_TYPE.
        test, dev: data directories to measure on, and to choose other heads on.
        tolerance: percentage points by which the share of places within CLOSE seconds may fall.
        n_clips: clips to measure on, and to choose heads on.
        bounds: finds the samples with speech in a recording.

    Returns:
        ``sentence``, for reports; ``n_places``; if there were enough places, ``base`` and ``tuned``, each with
        ``mean_seconds`` outside the silence and ``per_cent_close``; if other heads were tried, ``chosen`` with the
        same; if they were written, ``heads``.

    Raises:
        UserError: a directory is incomplete.
    """
    clips = join_recordings(test, n_clips, bounds=bounds)
    n_places = sum(len(clip.onsets) - 1 for clip in clips)
    if n_places < MIN_PLACES:
        return {"n_places": n_places, "sentence": f"Word times were not checked: {test} has too little transcribed "
                f"speech to join ({n_places} places, {MIN_PLACES} are needed)."}
    from utils.export import convert
    from utils.export.alignment_heads import heads_of, write_heads

    with tempfile.TemporaryDirectory(prefix=".word_times.", dir=merged_dir.parent) as temporary:
        reference = Path(temporary) / "base"
        convert(base_dir, reference, ct2_dirs[0].name.removeprefix("ct2_"))
        export = _with_word_times(ct2_dirs[0], base_dir, Path(temporary) / "switched_on")
        base, tuned = measure_word_times(reference, clips), measure_word_times(export, clips)
        found = {"n_places": len(base.errors), "base": _figures(base), "tuned": _figures(tuned)}
        if not _is_worse(tuned, base, tolerance):
            if heads := heads_of(export):  # a new export beside one that got other heads
                write_heads(heads, merged_dir, ct2_dirs)
            found["sentence"] = f"Word times are as good as the base model's: {_words(tuned, base, len(base.errors))}."
            return found
        log("word times are worse than the base model's: choosing other alignment heads")
        heads = _other_heads(merged_dir, join_recordings(dev, n_clips, bounds=bounds), len(heads_of(base_dir)) or 8)
        chosen = measure_word_times(_with_heads(export, heads, Path(temporary) / "chosen"), clips) if heads else tuned
    words = _words(chosen, base, len(base.errors))
    decision = _switch_off(words, merged_dir, ct2_dirs) if _is_worse(chosen, base, tolerance) \
        else _use_heads(heads, words, merged_dir, ct2_dirs)
    return {**found, "chosen": _figures(chosen), **decision}


def _switch_off(words: str, merged_dir: Path, ct2_dirs: Sequence[Path]) -> dict[str, Any]:
    """Remove the alignment heads of all models; return the sentence for reports."""
    from utils.export.alignment_heads import write_heads

    write_heads([], merged_dir, ct2_dirs)
    return {"sentence": "WORD TIMES ARE SWITCHED OFF: with other alignment heads, too, they are worse than the base "
                        f"model's: {words}. Runtimes that are asked for them end with an error."}


def _use_heads(heads: Heads, words: str, merged_dir: Path, ct2_dirs: Sequence[Path]) -> dict[str, Any]:
    """Write other alignment heads into all models; return them, and the sentence for reports."""
    from utils.export.alignment_heads import write_heads

    write_heads(heads, merged_dir, ct2_dirs)
    return {"heads": heads, "sentence": "Word times: after tuning, other alignment heads follow the audio better and "
                                        f"are used: {words}."}


def _is_worse(times: WordTimes, base: WordTimes, tolerance: float) -> bool:
    return 100 * (base.share_close - times.share_close) > tolerance


def _other_heads(merged_dir: Path, clips: Sequence[Clip], n_heads: int) -> Heads:
    from utils.export.alignment_heads import choose_heads

    return choose_heads(merged_dir, clips, n_heads) if clips else []


def _with_word_times(ct2_dir: Path, base_dir: Path, target: Path) -> Path:
    """The export; if its word times were switched off before, a copy in ``target`` with the base model's heads."""
    from utils.export.alignment_heads import heads_of

    if not heads_of(ct2_dir) and (base_heads := heads_of(base_dir)):
        return _with_heads(ct2_dir, base_heads, target)
    return ct2_dir


def _with_heads(ct2_dir: Path, heads: Heads, target: Path) -> Path:
    """The same export with other heads; its weights are not copied."""
    from utils.export.alignment_heads import write_heads

    target.mkdir()
    for path in ct2_dir.iterdir():
        if path.name == "model.bin":
            (target / path.name).symlink_to(path.resolve())
        elif path.is_file():
            shutil.copyfile(path, target / path.name)
    write_heads(heads, target, [target])
    return target


def _figures(times: WordTimes) -> dict[str, float]:
    return {"mean_seconds": round(times.mean, 3), "per_cent_close": round(100 * times.share_close, 1)}


def _words(times: WordTimes, base: WordTimes, n_places: int) -> str:
    return (f"at {100 * times.share_close:.1f} % of {n_places} places where recordings were joined, words meet in the "
            f"silence there, give or take {CLOSE} s (base model: {100 * base.share_close:.1f} %); mean distance "
            f"{times.mean:.3f} s ({base.mean:.3f} s)")
