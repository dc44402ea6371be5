"""Stage 3 as one function: trains an adapter (or a whole model) from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import WhisperTokenizer
from transformers.trainer_utils import set_seed

from utils.augment.chain import AugmentationChain, read_chain
from utils.cli import log
from utils.config import Config, Lists, ModelConfig, require_file, save_config
from utils.data.lists import read_list
from utils.data.machine_made import read_machine_made
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError
from utils.features.feature_set import Utterance, open_set
from utils.features.log_mel import LogMel
from utils.filesystem import atomic_files, sha256_of, write_json
from utils.model.checkpoints import load_base_model, save_whole_model
from utils.model.lora import add_lora, cast_frozen, count_parameters, fuse_lora
from utils.model.modeling import MultitaskWhisper, require_no_layerdrop
from utils.provenance import ENVIRONMENT, record_environment
from utils.train.arguments import precision_note, training_arguments, utterance_limits
from utils.train.augmenter import plan_augmentation
from utils.train.dataset import MultitaskDataset, describe, describe_epoch
from utils.train.divergence import rate_warning, require_finite_weights
from utils.train.encoder_cache import require_frozen_encoder, require_same_outputs
from utils.train.records import CONFIG, DATA, SUMMARY, WEIGHTS, output_directory, write_history
from utils.train.resume import already_trained, checkpoint_to_continue, data_checksums, require_same_processes
from utils.train.trainer import MultitaskTrainer, make_trainer
from utils.train.window_plan import plan_windows
from utils.train.windows import describe_windows


def tune(config: Config, overwrite: bool = False) -> None:
    """Train with ``config``; resume an interrupted training; do nothing if this training is complete.

    Writes to ``model_train_argv.out_model_path``: the adapter (or the whole model), config.yaml,
    data.json (checksums of the data), environment.json (machine and versions), loss.png, train_history.json,
    TensorBoard events in runs/, directories checkpoint-N, and finally train_summary.json.

    Args:
        overwrite: delete another training, or a complete one, in the directory.

    Raises:
        UserError: the configuration or the data are invalid, the directory has another training, or this training
            diverged: then no model is written.
    """
    base_dir = require_file(config.model.model_path, "model.model_path")
    has_dev_set = bool(config.data.test.wav_scp or config.data.test.feats_scp)
    arguments = training_arguments(config.model.model_train_argv, has_dev_set)
    output_dir = output_directory(arguments)
    tokenizer = load_tokenizer(base_dir)
    # Of several processes the first deletes an old training; the others wait before they check the directory.
    with arguments.main_process_first(desc="look at the output directory"):
        complete = already_trained(config, output_dir, tokenizer, overwrite and arguments.process_index == 0)
    if complete:
        log(f"{output_dir} holds this training, complete; nothing to do (--overwrite true trains again)")
        return
    checkpoint = checkpoint_to_continue(config.model.model_train_argv.get("resume_from_checkpoint"), output_dir)
    if checkpoint:
        require_same_processes(checkpoint, arguments.world_size)
    _check_settings(config, arguments.learning_rate)
    set_seed(arguments.seed)
    log_mel = LogMel(base_dir)
    data_seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
    chain = _check_augmentation(config.model)
    train = _dataset(config.data.train, "data.train", log_mel, tokenizer, config.model, data_seed,
                     config.data.rehearsal, chain)
    dev = _dataset(config.data.test, "data.test", log_mel, tokenizer) if has_dev_set else None
    log(f"training on {describe(train)}" + (f"; evaluating on {describe(dev)}" if dev else ""))
    log(describe_windows(train.windows, train.utterances))
    log(describe_epoch(train))
    if chain.named:
        log("augmentation: " + ", ".join(f"{name} of {100 * one.share:.0f} %" for name, one in chain.named)
            + " of the windows")
    log(precision_note(arguments))
    model, summary = _trainable_model(config, base_dir, torch.bfloat16 if arguments.bf16 else torch.float32)
    summary["machine_made"] = _machine_made(config.data.train, config.data.test)

    train_limit, dev_limit = utterance_limits(config.model.model_train_argv)
    trainer = make_trainer(model, train, dev, tokenizer.eos_token_id, arguments, config.model, train_limit,
                           config.predict.tail_frames, dev_limit)
    if trainer.is_world_process_zero():
        write_json(output_dir / DATA, data_checksums(config, tokenizer))
        save_config(config, output_dir / CONFIG)
        record_environment(output_dir / ENVIRONMENT)
    if checkpoint:
        log(f"continuing from {checkpoint}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.is_world_process_zero():
        _finish(trainer, base_dir, tokenizer, summary)


def _check_settings(config: Config, learning_rate: float) -> None:
    if config.model.cache_encoder:
        require_frozen_encoder(config.model)
    if warning := rate_warning(learning_rate, full_tuning=not config.model.is_large_model):
        log(warning)


def _check_augmentation(options: ModelConfig) -> AugmentationChain:
    if options.augment and options.cache_encoder:
        raise UserError("model.augment changes what the encoder hears in each epoch, and model.cache_encoder keeps its "
                        "outputs. Leave one of them out")
    return read_chain(options.augment)


def _dataset(lists: Lists, section: str, log_mel: LogMel, tokenizer: WhisperTokenizer,
             model: ModelConfig | None = None, seed: int = 0, rehearsal: Lists | None = None,
             chain: AugmentationChain | None = None) -> MultitaskDataset:
    text = require_file(lists.text, f"{section}.text")
    utterances, read_feats = open_set(lists, section, log_mel)
    texts = read_list(text)
    silent = texts.keys() - {key for utterance in utterances for key in utterance.keys}
    if silent:
        raise UserError(f"{text}: {min(silent)} is not in {lists.feats_scp or lists.wav_scp} ({len(silent)} keys have "
                        "text but no audio). Add it there or delete it here")
    augmenter = plan_augmentation(chain, seed, lists, utterances, log_mel) if chain and chain.named else None
    if rehearsal and rehearsal.text:
        more, read_more, their_texts = _rehearsal(rehearsal, log_mel)
        log(f"data.rehearsal: {len(more)} utterances of other speech, with the base model's output")
        of_rehearsal, read_own = {utterance.source for utterance in more}, read_feats
        utterances, texts = utterances + more, texts | their_texts

        def read_feats(source: str) -> np.ndarray:
            return read_more(source) if source in of_rehearsal else read_own(source)

    plan = plan_windows(model.windows, seed, utterances, text, log_mel, model.balance) if model else None
    return MultitaskDataset(utterances, read_feats, texts, tokenizer, text, plan, augmenter)


def _rehearsal(lists: Lists, log_mel: LogMel) -> tuple[list[Utterance], Callable[[str], np.ndarray], dict[str, str]]:
    """Utterances for which the base model wrote something, the function that reads their features, and their texts."""
    text = require_file(lists.text, "data.rehearsal.text")
    written = {key: value for key, value in read_list(text, allow_empty=True).items() if value}
    utterances, read_feats = open_set(lists, "data.rehearsal", log_mel)
    kept = [replace(utterance, keys=[key for key in utterance.keys if key in written]) for utterance in utterances]
    return [utterance for utterance in kept if utterance.keys], read_feats, written


def _machine_made(*sets: Lists) -> dict[str, Any]:
    """The records of machine-made translations, by the name of the set's directory."""
    directories = [Path(lists.text).resolve().parent for lists in sets if lists.text]
    return {directory.name: record for directory in directories if (record := read_machine_made(directory))}


def _trainable_model(config: Config, base_dir: Path, dtype: torch.dtype) -> tuple[nn.Module, dict[str, Any]]:
    """The model with what trains in float32, and what is frozen in ``dtype``; and its part of the summary."""
    base = load_base_model(base_dir)
    require_no_layerdrop(base.config, base_dir)
    if config.model.cache_encoder:
        require_same_outputs(base.config, base_dir)
    model: nn.Module = base
    if config.model.is_large_model:
        model = add_lora(base, config.model.lora)
        fuse_lora(model)
        cast_frozen(model, dtype)
    trainable, total = count_parameters(model)
    log(f"{trainable:,} of {total:,} parameters train ({100 * trainable / total:.2f} %)")
    if trainable == 0 or (config.model.is_large_model and trainable == total):
        raise UserError(f"{trainable:,} of {total:,} parameters would train: model.lora or is_large_model is wrong")
    return model, {"trainable_parameters": trainable, "total_parameters": total, "base_model": str(base_dir)}


def _finish(trainer: MultitaskTrainer, base_dir: Path, tokenizer: WhisperTokenizer,
            summary: dict[str, Any]) -> None:
    output_dir = output_directory(trainer.args)
    require_finite_weights(trainer.model, trainer.args, trainer.state)
    with atomic_files(output_dir) as partial:
        if isinstance(trainer.model, MultitaskWhisper):
            save_whole_model(trainer.model, base_dir, tokenizer, partial)
        else:
            trainer.model.save_pretrained(str(partial))
    history = trainer.state.log_history
    write_history(history, output_dir)
    best = trainer.state.best_model_checkpoint
    summary |= {
        "train_seconds": max((entry.get("seconds", 0.0) for entry in history), default=0.0),
        "epochs": round(trainer.state.epoch or 0.0, 3),
        "steps": trainer.state.global_step,
        "best_step": int(best.rpartition("-")[2]) if best else trainer.state.global_step,
        "best_dev_loss": trainer.state.best_metric,
        "n_train_targets": trainer.train_dataset.num_targets,
        "n_train_audios": len(trainer.train_dataset.utterances),
        "torch_threads": torch.get_num_threads(),
        "processes": trainer.args.world_size,
        "checksums": {name: sha256_of(output_dir / name) for name in WEIGHTS if (output_dir / name).exists()},
    }
    write_json(output_dir / SUMMARY, summary)
    kept = f"best on the development set: step {summary['best_step']}" if best else "the last one is kept"
    log(f"{summary['steps']} steps in {summary['train_seconds']:.0f} s; {kept}; written to {output_dir}")
