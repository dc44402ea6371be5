"""The two ways of training that bench_train.py compares on the same utterances, and both as whole trainings."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch.utils.data import Dataset
from transformers import (
    Seq2SeqTrainer,
    Trainer,
    TrainerCallback,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.trainer_utils import set_seed

from tools.bench.measure import spread_audio
from tools.bench.operations import OperationsCounter, matrix_product_rate
from utils.audio.constants import FULL_WINDOW
from utils.audio.loading import load_audio
from utils.config import Config, Lists, LoraOptions, load_config
from utils.data.lists import read_list
from utils.data.prompts import prompt_ids, text_ids
from utils.data.tokenizer import load_tokenizer
from utils.features.feature_set import Utterance, open_set
from utils.features.log_mel import LogMel, pad_frames
from utils.model.checkpoints import load_base_model
from utils.model.lora import add_lora, fuse_lora
from utils.train.arguments import training_arguments
from utils.train.batching import FrameBatchSampler
from utils.train.dataset import MultitaskDataset
from utils.train.finetune import tune
from utils.train.trainer import make_trainer


class StepTimer(TrainerCallback):
    """Seconds of each optimizer step."""

    def __init__(self, device: str) -> None:
        self.seconds: list[float] = []
        self._device = device
        self._started = 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self._started = self._now()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self.seconds.append(self._now() - self._started)

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Counter:
    """Counts the targets of the batches that pass through a collator."""

    def __init__(self, collate: Callable[[list[Any]], Any], count: Callable[[list[Any]], tuple[int, float]]) -> None:
        self._collate, self._count = collate, count
        self.targets: list[int] = []
        self.audio_seconds: list[float] = []

    def __call__(self, examples: list[Any]) -> Any:
        targets, seconds = self._count(examples)
        self.targets.append(targets)
        self.audio_seconds.append(seconds)
        return self._collate(examples)


def measure_training(name: str, args: argparse.Namespace) -> dict[str, float]:
    """Train ``args.steps`` steps after one that is not counted; ours an epoch after one.

    Returns:
        seconds, targets and audio_seconds (each target's audio counts) of the counted steps, and peak_gb;
        gflop_per_target of the steps before them; gflop_per_second of matrix products of the model's width, alone.
    """
    torch.set_num_threads(args.threads)
    config = load_config(args.config, ["model.padding.full_window_share=0"] if name == "ours-short" else [])
    tokenizer = load_tokenizer(args.model)
    utterances, feats = _utterances(args)
    texts = read_list(args.data / "text")
    with tempfile.TemporaryDirectory() as directory:
        epoch = _steps_of_an_epoch(utterances, config)
        steps, before = (epoch, epoch) if name != "stock" else (args.steps, 1)
        argv = {**config.model.model_train_argv, "out_model_path": directory, "max_steps": before + steps,
                "eval_strategy": "no", "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
                "use_cpu": args.device == "cpu"}
        count: Callable[[list[Any]], tuple[int, float]]
        if name != "stock":
            dataset = MultitaskDataset(utterances, feats.__getitem__, texts, tokenizer)
            model = add_lora(load_base_model(args.model), config.model.lora)
            fuse_lora(model)
            trainer: Trainer = make_trainer(model, dataset, None, tokenizer.eos_token_id,
                                            training_arguments(argv, False), config.model, 0)
            count = _count_ours
        else:
            examples = stock_examples(utterances, feats, texts, tokenizer)
            trainer = stock_trainer(args.model, config.model.lora,
                                    {**argv, "per_device_train_batch_size": round(len(examples) / epoch)}, examples,
                                    tokenizer)
            count = _count_stock
        counter, timer = Counter(trainer.data_collator, count), StepTimer(args.device)
        trainer.data_collator = counter
        operations = OperationsCounter(before)
        trainer.add_callback(timer)
        trainer.add_callback(operations)
        trainer.train()
    counted, width = slice(before, before + steps), WhisperConfig.from_pretrained(args.model).d_model
    memory = (torch.cuda.max_memory_allocated() if args.device == "cuda"
              else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return {"seconds": sum(timer.seconds[counted]), "targets": sum(counter.targets[counted]), "steps": steps,
            "audio_seconds": sum(counter.audio_seconds[counted]), "peak_gb": memory / 1e9,
            "gflop_per_target": operations.operations / sum(counter.targets[:before]) / 1e9,
            "gflop_per_second": matrix_product_rate(2048, width, args.device) / 1e9}


def _utterances(args: argparse.Namespace) -> tuple[list[Utterance], dict[str, np.ndarray]]:
    log_mel = LogMel(args.model)
    audio = spread_audio(args.data / "wav.scp", args.utterances)
    feats = {source: log_mel(load_audio(source)) for source in audio}
    return [Utterance(source, len(feats[source]), keys) for source, keys in audio.items()], feats


def _steps_of_an_epoch(utterances: Sequence[Utterance], config: Config) -> int:
    return len(FrameBatchSampler([utterance.num_frames for utterance in utterances], config.model.batch.max_frames,
                                 config.model.padding))


def _count_ours(examples: list[dict[str, Any]]) -> tuple[int, float]:
    return (sum(len(example["targets"]) for example in examples),
            sum(len(example["targets"]) * len(example["feats"]) / 100 for example in examples))


def _count_stock(examples: list[StockExample]) -> tuple[int, float]:
    return len(examples), sum(len(example.feats) / 100 for example in examples)


@dataclass(frozen=True)
class StockExample:
    """One key: (frames, num_mels) features of its audio, and its tokens, the end token included."""

    feats: np.ndarray
    prompt: list[int]
    text: list[int]


def stock_examples(utterances: Sequence[Utterance], feats: dict[str, np.ndarray], texts: dict[str, str],
                   tokenizer: WhisperTokenizer) -> list[StockExample]:
    """An example a key, as in the usual recipes."""
    return [StockExample(feats[utterance.source], prompt_ids(tokenizer, key),
                         [*text_ids(tokenizer, key, texts[key]), tokenizer.eos_token_id])
            for utterance in utterances for key in utterance.keys]


def pad_collate(examples: list[StockExample]) -> dict[str, torch.Tensor]:
    """Input padded to 30 s, labels padded with -100; the prompt does not count, as in this recipe."""
    features = np.stack([pad_frames(example.feats, FULL_WINDOW).T for example in examples])
    tokens = [example.prompt + example.text for example in examples]
    length = max(map(len, tokens)) - 1
    inputs = torch.full((len(examples), length), examples[0].text[-1])
    labels = torch.full((len(examples), length), -100)
    for row, (example, sequence) in enumerate(zip(examples, tokens, strict=True)):
        inputs[row, :len(sequence) - 1] = torch.tensor(sequence[:-1])
        labels[row, len(example.prompt) - 1:len(sequence) - 1] = torch.tensor(example.text)
    return {"input_features": torch.from_numpy(features), "decoder_input_ids": inputs, "labels": labels}


class _Examples(Dataset[StockExample]):
    def __init__(self, examples: Sequence[StockExample]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> StockExample:
        return self.examples[index]


def stock_trainer(model_dir: Path, options: LoraOptions, argv: dict[str, Any], examples: Sequence[StockExample],
                  tokenizer: WhisperTokenizer) -> Seq2SeqTrainer:
    """transformers' Whisper, PEFT's LoRA, Seq2SeqTrainer and a padding collator: what users run today."""
    base = WhisperForConditionalGeneration.from_pretrained(model_dir, dtype=torch.float32)
    return Seq2SeqTrainer(model=add_lora(base, options), args=training_arguments(argv, False),
                          train_dataset=_Examples(examples), data_collator=pad_collate, processing_class=tokenizer)


def train_ours(model_dir: Path, config: Config, data: Path, directory: Path) -> float:
    """Stage 3 on the lists of ``data``, without evaluation; returns the seconds that training took."""
    config.data.train = Lists(wav_scp=str(data / "wav.scp"), text=str(data / "text"))
    config.data.test = Lists()
    config.model.model_path = str(model_dir)
    config.model.model_train_argv |= {"out_model_path": str(directory), "eval_strategy": "no", "use_cpu": True}
    started = time.perf_counter()
    tune(config)
    return time.perf_counter() - started


def train_stock(model_dir: Path, config: Config, data: Path, directory: Path) -> float:
    """The same the stock way, with as many targets a step on average; returns the seconds that training took."""
    tokenizer, log_mel = load_tokenizer(model_dir), LogMel(model_dir)
    utterances, read_feats = open_set(Lists(wav_scp=str(data / "wav.scp")), "train", log_mel)
    texts = read_list(data / "text")
    feats = {utterance.source: read_feats(utterance.source) for utterance in utterances}
    per_step = round(len(texts) / _steps_of_an_epoch(utterances, config))
    argv = {**config.model.model_train_argv, "out_model_path": str(directory), "eval_strategy": "no",
            "report_to": "none", "use_cpu": True, "per_device_train_batch_size": per_step}
    set_seed(argv["seed"])
    trainer = stock_trainer(model_dir, config.model.lora, argv,
                            stock_examples(utterances, feats, texts, tokenizer), tokenizer)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    assert isinstance(trainer.model, PeftModel)  # stock_trainer makes it one
    trainer.model.save_pretrained(str(directory))
    return seconds
