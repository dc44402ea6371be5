"""Whether a directory has this training, complete or not, or another one, and the checkpoint to resume from."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import WhisperTokenizer

from utils.config import Config, load_config
from utils.data.tokenizer import tokens_checksum
from utils.errors import UserError
from utils.filesystem import read_json, sha256_of
from utils.train.records import CONFIG, DATA, SUMMARY, TOKENIZER, WEIGHTS, WRITTEN, tokens_fault


def last_complete_checkpoint(output_dir: str | Path) -> Path | None:
    """Return the newest checkpoint with a complete ``trainer_state.json``, which is written last; None without one."""
    checkpoints = sorted(Path(output_dir).glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for checkpoint in reversed(checkpoints):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
        except (OSError, ValueError):
            continue
        return checkpoint
    return None


def already_trained(config: Config, output_dir: Path, tokenizer: WhisperTokenizer, overwrite: bool) -> bool:
    """Whether ``output_dir`` has this training, complete. With ``overwrite``, another or a complete one is deleted.

    Raises:
        UserError: ``output_dir`` has another training, or weights that were changed, and ``overwrite`` is false.
    """
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


def _other_training(config: Config, output_dir: Path, tokenizer: WhisperTokenizer) -> str:
    """Why the training in ``output_dir`` is another one; empty if it is this one, or there is none."""
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
    """Which weights of a complete training were changed; empty if none. Missing weights are trained again."""
    for name, checksum in read_json(output_dir / SUMMARY, "Delete it to train again").get("checksums", {}).items():
        if (output_dir / name).exists() and sha256_of(output_dir / name) != checksum:
            return f"{output_dir / name} was changed since its training ended: restore the old file if you have it"
    return ""


def data_checksums(config: Config, tokenizer: WhisperTokenizer) -> dict[str, str]:
    """Return checksums of lists and features, by path, and of the tokenizer.

    If audio is read instead of features, only the checksum of wav.scp is included.
    """
    names = []
    for lists in (config.data.train, config.data.rehearsal, config.data.test):
        digests = str(Path(lists.feats_scp).parent / "utt2digest") if lists.feats_scp else ""
        features = digests if Path(digests).is_file() else lists.feats_scp or lists.wav_scp
        names += [lists.text, features]
    if config.data.train.text:  # these decide which utterances are joined
        names += [str(Path(config.data.train.text).with_name(name)) for name in ("utt2spk", "segments")]
    files = {name: sha256_of(Path(name)) for name in names if name and Path(name).is_file()}
    return files | {TOKENIZER: tokens_checksum(tokenizer)}


def checkpoint_to_continue(named: str | bool | None, output_dir: Path) -> Path | None:
    """Return the checkpoint ``named`` by resume_from_checkpoint, or the newest of this training; None without one.

    A named checkpoint of another training is used only until this training has a checkpoint of its own.

    Raises:
        UserError: there is no complete checkpoint ``named``.
    """
    newest = last_complete_checkpoint(output_dir)
    if not isinstance(named, str) or not named:
        return newest
    if not (Path(named) / "trainer_state.json").is_file():
        raise UserError(f"model.model_train_argv.resume_from_checkpoint: no checkpoint {named}; leave it empty to "
                        "continue where this training stopped")
    is_own = Path(named).resolve().parent == output_dir.resolve()
    return Path(named) if is_own or newest is None else newest


def require_same_processes(checkpoint: Path, processes: int) -> None:
    """Refuse to continue in another number of processes, each of which takes a batch a step.

    The steps of an epoch, and so the schedule, would be others than planned.

    Raises:
        UserError: ``checkpoint`` was written by another number of processes.
    """
    then = len(list(checkpoint.glob("rng_state*.pth")))  # one of each
    if then not in (0, processes):
        raise UserError(f"{checkpoint} was written by {then} processes that trained together, now there are "
                        f"{processes}, which would take another number of steps. Train in {then} again (--ngpu, "
                        "--num-nodes), or delete the checkpoints to start anew")


def _flat(config: Config) -> dict[str, Any]:
    """The settings that change the result of a training, by dotted name."""
    decisive = {"data": dataclasses.asdict(config.data), "model": dataclasses.asdict(config.model)}
    # Not a setting that changes the result: older versions of transformers needed it for resuming.
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
