"""Whether a directory holds this training, complete or not, or another one, and where it goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import WhisperTokenizerFast

from utils.config import Config, load_config
from utils.data.tokenizer import tokens_checksum
from utils.errors import UserError
from utils.filesystem import read_json, sha256_of
from utils.train.records import CONFIG, DATA, SUMMARY, TOKENIZER, WEIGHTS, WRITTEN, tokens_fault


def last_complete_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest checkpoint whose ``trainer_state.json``, which is written last, is whole."""
    checkpoints = sorted(Path(output_dir).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for checkpoint in reversed(checkpoints):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
        except (OSError, ValueError):
            continue
        return checkpoint
    return None


def already_trained(config: Config, output_dir: Path, tokenizer: WhisperTokenizerFast, overwrite: bool) -> bool:
    """Whether ``output_dir`` holds this training, complete; what is left of it is kept for resuming or removed."""
    fault, complete = _other_training(config, output_dir, tokenizer), False
    if not fault and (output_dir / SUMMARY).exists():
        fault, complete = _changed_weights(output_dir), any((output_dir / name).exists() for name in WEIGHTS)
    if overwrite and (fault or complete):
        for stale in (path for pattern in WRITTEN for path in output_dir.glob(pattern)):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        return False
    if fault:
        raise UserError(f"{fault}; choose another directory (run.sh: --tag) or throw that training away with "
                        "--overwrite true")
    return complete


def _other_training(config: Config, output_dir: Path, tokenizer: WhisperTokenizerFast) -> str:
    """What shows that ``output_dir`` holds another training; empty if it holds this one or none."""
    if not (output_dir / CONFIG).exists():
        checkpoint = last_complete_checkpoint(output_dir)
        return f"{checkpoint} is of an unknown training: there is no {CONFIG} beside it" if checkpoint else ""
    if difference := _first_difference(_flat(load_config(output_dir / CONFIG)), _flat(config)):
        return f"{output_dir} holds a training with other settings ({difference})"
    data = output_dir / DATA
    then = read_json(data, "Delete it to have it written again") if data.exists() else {}
    if fault := tokens_fault(output_dir, config.model.model_path):
        return fault
    now = data_checksums(config, tokenizer)
    changed = [name for name, checksum in then.items() if now.get(name) != checksum]
    return f"{output_dir} holds a training on other data ({', '.join(changed)} changed since)" if changed else ""


def _changed_weights(output_dir: Path) -> str:
    """What shows that the result of a complete training is not what it was; weights that are gone are made again."""
    for name, checksum in read_json(output_dir / SUMMARY, "Delete it to train again").get("checksums", {}).items():
        if (output_dir / name).exists() and sha256_of(output_dir / name) != checksum:
            return f"{output_dir / name} was changed since its training ended: put the old one back if you have it"
    return ""


def data_checksums(config: Config, tokenizer: WhisperTokenizerFast) -> dict[str, str]:
    """Checksums of the lists and features to train on, by path, and of the tokenizer.

    Of audio that is read itself only its list's.
    """
    names = []
    for lists in (config.data.train, config.data.test):
        digests = str(Path(lists.feats_scp).parent / "utt2digest") if lists.feats_scp else ""
        features = digests if Path(digests).is_file() else lists.feats_scp or lists.wav_scp
        names += [lists.text, features]
    files = {name: sha256_of(Path(name)) for name in names if name and Path(name).is_file()}
    return files | {TOKENIZER: tokens_checksum(tokenizer)}


def checkpoint_to_continue(named: str | bool | None, output_dir: Path) -> Path | None:
    """The newest checkpoint of this training, or the one that ``resume_from_checkpoint`` names.

    A checkpoint of another training is only where this one starts: once it has its own, it goes on from there.
    """
    newest = last_complete_checkpoint(output_dir)
    if not isinstance(named, str) or not named:
        return newest
    if not (Path(named) / "trainer_state.json").is_file():
        raise UserError(f"model.model_train_argv.resume_from_checkpoint: no checkpoint {named}; leave it empty to "
                        "continue where this training stopped")
    is_own = Path(named).resolve().parent == output_dir.resolve()
    return Path(named) if is_own or newest is None else newest


def _flat(config: Config) -> dict[str, Any]:
    """What decides the result of a training, by dotted name."""
    decisive = {"data": dataclasses.asdict(config.data), "model": dataclasses.asdict(config.model)}
    # An interrupted training may be told where to go on, as older versions of transformers wanted it.
    decisive["model"]["model_train_argv"].pop("resume_from_checkpoint", None)

    def walk(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {name: value}
        return {key: leaf for part, below in value.items() for key, leaf in walk(below, f"{name}.{part}").items()}

    return walk(decisive, "")


def _first_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    for name in [*old, *new]:
        if old.get(name) != new.get(name):
            return f"{name.lstrip('.')}: {old.get(name)} there, {new.get(name)} now"
    return ""
