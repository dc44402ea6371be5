"""Stage 5: merge an adapter into its base model, save the whole model, and convert it to CTranslate2.

Every import from this package also imports this module, so modules that load torch are imported inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from utils.cli import log
from utils.errors import UserError
from utils.filesystem import atomic_directory
from utils.model.ct2_directory import convert_to_ct2, write_window
from utils.train.records import tokens_fault

# The types in which CTranslate2 can store weights; "" keeps the checkpoint's precision.
QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32", "")
_COPIED = (  # files that runtimes read beside the weights, and the settings that the model was tuned with
    "tokenizer.json", "preprocessor_config.json", "generation_config.json")


def merge(tuned: str | Path, base_dir: str | Path, directory: str | Path) -> None:
    """Write the tuned model as a whole Hugging Face directory; an adapter is merged in float32.

    Args:
        tuned: adapter directory, or a whole model.
        base_dir: the model that the adapter was trained on; tokenizer and feature extractor come from it.
        directory: where to write; an earlier export there is replaced.

    Raises:
        UserError: a part is missing or does not fit, or ``directory`` holds something else.
    """
    from utils.data.tokenizer import load_tokenizer
    from utils.model.checkpoints import load_tuned_model, save_whole_model

    directory = Path(directory)
    _refuse_other_contents(directory, "preprocessor_config.json", sources=(tuned, base_dir))
    if fault := tokens_fault(Path(tuned), base_dir):
        log(f"warning: {fault}")
    model = load_tuned_model(tuned, base_dir)
    with atomic_directory(directory) as partial:
        save_whole_model(model, Path(base_dir), load_tokenizer(base_dir), partial)


def convert(merged_dir: str | Path, ct2_dir: str | Path, quantization: str, window: str = "full") -> None:
    """Convert a whole Hugging Face directory to CTranslate2, and check what was written.

    Args:
        window: the model's predict.window. It is kept in config.json for the recognizer; other runtimes always pad.

    Raises:
        UserError: unknown quantization, the directory is not complete, or ``ct2_dir`` holds something else.
    """
    from utils.export.ct2_check import check_ct2

    merged_dir, ct2_dir = Path(merged_dir), Path(ct2_dir)
    if quantization not in QUANTIZATIONS:
        raise UserError(f"--quantization {quantization}: CTranslate2 has {', '.join(filter(None, QUANTIZATIONS))}")
    missing = [name for name in _COPIED if not (merged_dir / name).is_file()]
    if missing:  # without the tokenizer the converter would write a corrupt vocabulary without an error
        raise UserError(f"{merged_dir}: {missing[0]} is missing there; make the directory again")
    _refuse_other_contents(ct2_dir, "model.bin")
    with atomic_directory(ct2_dir) as partial:
        convert_to_ct2(merged_dir, partial, quantization, _COPIED)
        check_ct2(partial, merged_dir)
        write_window(partial, window)
    size = sum(path.stat().st_size for path in ct2_dir.iterdir()) / 1e6
    log(f"{ct2_dir}: {quantization or 'weights as they were'}, {size:.0f} MB")


def _refuse_other_contents(directory: Path, mark: str, sources: Sequence[str | Path] = ()) -> None:
    """Refuse a directory that is not empty, unless it is an earlier export, which has the file ``mark``."""
    if directory.resolve() in [Path(source).resolve() for source in sources]:
        raise UserError(f"{directory} is also the source and would be overwritten; name another directory")
    if directory.exists() and not (directory / mark).is_file() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty and is not an earlier export (it has no {mark}); name another "
                        "directory")


def convert_finetuning_peft_model_into_whisper(peft_model_path: str, whisper_model_path: str,
                                               out_ctranslate_path: str, quantization: str = "") -> None:
    """Merge an adapter into its base and convert the result to CTranslate2, with the parent project's signature.

    The whole Hugging Face model stays beside the export, in ``out_ctranslate_path`` + ``.merged``.

    Args:
        peft_model_path: the tuned adapter.
        whisper_model_path: the Hugging Face directory that it was trained on.
        out_ctranslate_path: the directory that is written.
        quantization: one of QUANTIZATIONS; by default the weights keep their precision.

    Raises:
        UserError: a part is missing or does not fit.
    """
    merged_dir = Path(f"{Path(out_ctranslate_path)}.merged")
    merge(peft_model_path, whisper_model_path, merged_dir)
    convert(merged_dir, out_ctranslate_path, quantization, window="short")
