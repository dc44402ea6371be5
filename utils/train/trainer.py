"""Training: transformers' Trainer around our batches and our model; resume, logs, curve, summary."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Seq2SeqTrainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from utils.config import ModelConfig, PaddingOptions
from utils.filesystem import sync_directory
from utils.model.modeling import ShortContextEncoder
from utils.train.batching import FrameBatchSampler
from utils.train.dataset import MultitaskCollator, MultitaskDataset, split_batch
from utils.train.divergence import require_finite, require_finite_weights
from utils.train.encoder_cache import EncoderCache
from utils.train.records import write_history

_MOST_PADDING = 2  # a batch whose padding makes it more than twice its budget of frames is computed in parts


class MultitaskTrainer(Seq2SeqTrainer):
    """Frame-budget batches, and a loss averaged over text tokens however they are spread over batches.

    Args:
        tail_frames: silence after the longest utterance of a batch in evaluation, as decoding has it.
    """

    def __init__(self, *args: Any, options: ModelConfig, max_utterances: int, tail_frames: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tail_frames = tail_frames
        self.options = options
        self.max_utterances = max_utterances
        encoder = next(module for module in self.model.modules() if isinstance(module, ShortContextEncoder))
        self.encoder_cache = EncoderCache(encoder) if options.cache_encoder else None
        self.model_accepts_loss_kwargs = True  # have the trainer count labels over the accumulated batches
        self._began = time.monotonic()
        self._earlier: float | None = None  # seconds that earlier runs of a resumed training took

    def _dataloader(self, dataset: MultitaskDataset, padding: PaddingOptions, shuffle: bool) -> DataLoader:
        sampler = FrameBatchSampler(dataset.num_frames, self.options.batch.max_frames, padding,
                                    max_utterances=self.max_utterances, seed=self.args.seed, shuffle=shuffle,
                                    rank=self.args.process_index, num_ranks=self.args.world_size,
                                    fixed=self.options.cache_encoder)
        workers = self.args.dataloader_num_workers
        return DataLoader(dataset, batch_sampler=sampler, collate_fn=self.data_collator, num_workers=workers,
                          pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available())

    def get_train_dataloader(self) -> DataLoader:
        """Batches that change with the epoch; :class:`EpochSetter` tells the sampler which one it is."""
        loader = self._dataloader(self.train_dataset, self.options.padding, shuffle=True)
        self.train_sampler = loader.batch_sampler
        return loader

    def get_eval_dataloader(self, eval_dataset: Dataset | None = None) -> DataLoader:
        """The development set as it will be decoded: no padding drawn, nothing shuffled."""
        padding = PaddingOptions(policy="constant", max_frames=self.tail_frames)
        return self._dataloader(eval_dataset or self.eval_dataset, padding, shuffle=False)

    def _run_epoch(self, **state: Any) -> None:
        """An epoch; none if a training that was killed after its last checkpoint has only to be finished.

        The trainer would take one step too many: it looks whether all are done after a step, not before.
        """
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(**state)
        else:
            self.control.should_training_stop = True

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train. The seconds of the log count from here: first batches, evaluations and checkpoints included."""
        self._began = time.monotonic()
        self._earlier = None
        return super().train(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the seconds trained so far.

        Earlier runs of a resumed training count up to what they logged before the checkpoint; what was lost is done
        again and counts then.
        """
        if self._earlier is None:
            self._earlier = max((entry.get("seconds", 0.0) for entry in self.state.log_history), default=0.0)
        seconds = self._earlier + time.monotonic() - self._began
        super().log({**logs, "seconds": round(seconds, 1)}, start_time)

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any],
                      num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
        """Forward and backward. Much padding takes no more memory than little.

        The loss is a sum over tokens, so the gradients of its parts add up to its own. Several processes average them
        with the last part, however many parts each has.

        Raises:
            UserError: the loss is infinite or not a number.
        """
        parts = split_batch(inputs, _MOST_PADDING * self.options.batch.max_frames)
        losses = []
        for part in parts:
            with nullcontext() if part is parts[-1] else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        loss = sum(losses)
        require_finite(float(loss), "the loss", self.args, self.state)
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> float:
        """The gradient's norm, before the step that it would spoil.

        In fp16 a scale is tried until no gradient overflows. Those steps are left out, unless nothing is left to lower.
        """
        norm = float(super()._get_grad_norm(model, grad_norm=grad_norm))
        scaler = self.accelerator.scaler
        if scaler is None or scaler.get_scale() < 1:
            require_finite(norm, "the gradient", self.args, self.state)
        return norm

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint, of finite weights only: a training can go on from it."""
        require_finite_weights(self.model, self.args, self.state)
        super()._save_checkpoint(*args, **kwargs)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: transformers' estimate takes features for tokens."""
        return 0

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False,
                     num_items_in_batch: torch.Tensor | None = None) -> Any:
        """Cross entropy per counted token, over all batches of an optimizer step, those of other processes included.

        ``num_items_in_batch`` counts over all processes; gradients are averaged over them, so each gives its share
        times their number.
        """
        batch_id = inputs["batch_id"]
        inputs = {name: value for name, value in inputs.items() if name != "batch_id"}
        if self.encoder_cache:
            inputs["encoder_hidden_states"] = self.encoder_cache(batch_id, inputs.pop("input_features"),
                                                                 inputs["silence"])
        outputs = model(**inputs, label_smoothing=self.args.label_smoothing_factor)
        if num_items_in_batch is None:
            loss = outputs.loss / outputs.num_labels
        else:
            loss = outputs.loss * self.args.world_size / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    @torch.inference_mode()
    def evaluate(self, eval_dataset: Dataset | None = None, ignore_keys: list[str] | None = None,
                 metric_key_prefix: str = "eval") -> dict[str, float]:
        """Loss per token of the development set (every token counts the same, whatever batch it is in).

        Raises:
            UserError: it is infinite or not a number.
        """
        started = time.time()
        model = self.model.eval()
        loss, tokens = 0.0, 0
        for batch in self.get_eval_dataloader(eval_dataset):
            batch.pop("batch_id")
            with self.compute_loss_context_manager():
                outputs = model(**self._prepare_inputs(batch))
            loss += float(outputs.loss)
            tokens += int(outputs.num_labels)
        sums = torch.tensor([loss, tokens], dtype=torch.float64, device=self.args.device)
        loss, tokens = self.accelerator.reduce(sums, "sum").tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / max(tokens, 1),
                   f"{metric_key_prefix}_runtime": round(time.time() - started, 2)}
        require_finite(metrics[f"{metric_key_prefix}_loss"], "the loss on the development set", self.args, self.state)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class EpochSetter(TrainerCallback):
    """Tells the batch sampler the epoch, also when training resumes in the middle of one."""

    def __init__(self, trainer: MultitaskTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: Any) -> None:
        """Called by the trainer."""
        self.trainer.train_sampler.set_epoch(int((state.epoch or 0.0) + 1e-6))


class CheckpointSync(TrainerCallback):
    """Brings checkpoints to the disk: after a power cut one that seems complete must be."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the trainer."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and checkpoint.is_dir():
            sync_directory(checkpoint)


class LossCurve(TrainerCallback):
    """Keeps ``loss.png`` and what it shows, ``train_history.json``, up to date in the output directory."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    **kwargs: Any) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero:
            write_history(state.log_history, Path(args.output_dir))


def make_trainer(model: torch.nn.Module, train: MultitaskDataset, dev: MultitaskDataset | None, end_token: int,
                 arguments: TrainingArguments, options: ModelConfig, max_utterances: int,
                 tail_frames: int = 0) -> MultitaskTrainer:
    """A trainer with this recipe's data path and callbacks; its arguments are :class:`MultitaskTrainer`'s."""
    trainer = MultitaskTrainer(model=model, args=arguments, train_dataset=train, eval_dataset=dev,
                               data_collator=MultitaskCollator(end_token, options.padding.silence_positions),
                               options=options, max_utterances=max_utterances, tail_frames=tail_frames)
    trainer.add_callback(EpochSetter(trainer))
    trainer.add_callback(LossCurve())
    trainer.add_callback(CheckpointSync())
    return trainer
