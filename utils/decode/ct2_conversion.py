"""A checkpoint as a CTranslate2 directory for as long as a set is decoded: several times faster on a CPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from utils.data.tokenizer import load_tokenizer
from utils.filesystem import require_free_bytes
from utils.model.checkpoints import load_tuned_model, save_whole_model
from utils.model.ct2_directory import convert_to_ct2

_BYTES = 8  # a parameter in float32, twice: the merged model and what is made from it


@contextmanager
def as_ct2(tuned: Path, base_dir: Path, directory: Path, strength: float | None = None) -> Iterator[Path]:
    """A CTranslate2 directory of a checkpoint in float32, which is removed at the end.

    Another process makes it, so that its memory is not counted as that of decoding.

    Args:
        tuned: a whole model, or an adapter.
        base_dir: the base model of the adapter, or the whole model itself.
        directory: where to make it; anything that an earlier run left there is removed.
        strength: share of its trained weight at which the adapter is merged; None: as its directory says.

    Raises:
        UserError: a part is missing or does not fit, or there is no room on the disk.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(_convert, tuned, base_dir, directory, strength).result()
        yield directory / "ct2"
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with suppress(OSError):  # it holds something
            directory.parent.rmdir()


def _convert(tuned: Path, base_dir: Path, directory: Path, strength: float | None) -> None:
    model = load_tuned_model(tuned, base_dir, strength=strength)
    n_bytes = _BYTES * sum(parameter.numel() for parameter in model.parameters())
    require_free_bytes(directory, n_bytes, "the copy of the model that CTranslate2 decodes with",
                       "decode without one: --decode-backend transformers")
    save_whole_model(model, base_dir, load_tokenizer(base_dir), directory / "merged")
    convert_to_ct2(directory / "merged", directory / "ct2", "float32", ["tokenizer.json", "preprocessor_config.json"])
    shutil.rmtree(directory / "merged")
