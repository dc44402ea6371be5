"""The Trainer of transformers, adapted to this recipe's batches, loss, logs and resuming."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader
from transformers import Seq2SeqTrainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from utils.config import ModelConfig, PaddingOptions
from utils.filesystem import sync_directory
from utils.model.modeling import MultitaskWhisper, ShortContextEncoder
from utils.train.batching import FrameBatchSampler
from utils.train.dataset import MultitaskCollator, MultitaskDataset, split_batch
from utils.train.divergence import require_finite, require_finite_weights
from utils.train.encoder_cache import EncoderCache
from utils.train.records import output_directory, write_history
from utils.train.spare_cores import SpareCores

if TYPE_CHECKING:
    from peft import PeftModel

_MOST_PADDING = 2  # a batch with more than this multiple of max_frames, because of padding, is split


class MultitaskTrainer(Seq2SeqTrainer):
    """Trains on batches by frames, with a loss averaged over all text tokens of an optimizer step.

    Args:
        options: the model section of the configuration.
        max_utterances: limit of the utterances of a training batch; 0: no limit.
        max_eval_utterances: the same for a batch of evaluation.
        tail_frames: frames of silence after the longest utterance of a batch in evaluation, as in decoding.
    """

    model: MultitaskWhisper | PeftModel
    train_dataset: MultitaskDataset
    train_sampler: FrameBatchSampler

    def __init__(self, *args: Any, options: ModelConfig, max_utterances: int, max_eval_utterances: int,
                 tail_frames: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tail_frames = tail_frames
        self.options = options
        self.max_utterances = max_utterances
        self.max_eval_utterances = max_eval_utterances
        encoder = next(module for module in self.model.modules() if isinstance(module, ShortContextEncoder))
        self.encoder_cache = EncoderCache(encoder) if options.cache_encoder else None
        self.model_accepts_loss_kwargs = True  # makes the trainer count the labels of all accumulated batches
        self._began = time.monotonic()
        self._earlier: float | None = None  # seconds that earlier runs of a resumed training took

    def _dataloader(self, dataset: MultitaskDataset, padding: PaddingOptions, shuffle: bool) -> DataLoader:
        args = self.args
        sampler = FrameBatchSampler(dataset.num_frames, self.options.batch.max_frames, padding,
                                    max_utterances=self.max_utterances if shuffle else self.max_eval_utterances,
                                    shuffle=shuffle,
                                    seed=args.seed if args.data_seed is None else args.data_seed,
                                    rank=args.process_index, num_ranks=args.world_size,
                                    fixed=self.options.cache_encoder)
        return DataLoader(dataset, batch_sampler=sampler, collate_fn=self.data_collator,
                          num_workers=args.dataloader_num_workers, prefetch_factor=args.dataloader_prefetch_factor,
                          # Each evaluation has a loader of its own, whose workers would pile up.
                          persistent_workers=args.dataloader_persistent_workers and shuffle,
                          pin_memory=args.dataloader_pin_memory and torch.cuda.is_available())

    def get_train_dataloader(self) -> DataLoader:
        """Return the training batches, which differ between epochs; :class:`EpochSetter` sets the sampler's epoch."""
        loader = self._dataloader(self.train_dataset, self.options.padding, shuffle=True)
        assert isinstance(loader.batch_sampler, FrameBatchSampler)  # as made above
        self.train_sampler = loader.batch_sampler
        return loader

    def get_eval_dataloader(self, eval_dataset: object = None) -> DataLoader:
        """Return the batches of the development set, padded as in decoding and not shuffled."""
        padding = PaddingOptions(policy="constant", max_frames=self.tail_frames)
        dataset = eval_dataset or self.eval_dataset
        assert isinstance(dataset, MultitaskDataset)
        return self._dataloader(dataset, padding, shuffle=False)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run an epoch, or none if all steps are done: the training was killed after its last checkpoint.

        Without this, the trainer would do one step too many, because it compares with max_steps only after a step.
        """
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)
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
                      num_items_in_batch: torch.Tensor | int | None = None) -> torch.Tensor:
        """Run the forward and backward pass of a batch and return its loss. Batches with much padding are split.

        The loss is a sum over tokens, so the gradients of the parts add up to those of the batch. Several processes
        average gradients at the last part, so that they may have different numbers of parts.

        Raises:
            UserError: the loss is infinite or not a number.
        """
        parts = split_batch(inputs, _MOST_PADDING * self.options.batch.max_frames)
        losses = []
        for part in parts:
            with nullcontext() if part is parts[-1] else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        loss = sum(losses[1:], start=losses[0])
        require_finite(float(loss), "the loss", self.args, self.state)
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> float:
        """Return the gradient's norm before the optimizer step.

        In fp16 the gradient scaler skips steps whose gradients overflow, and lowers its scale each time. Such steps
        are no error until the scale is below 1.

        Raises:
            UserError: the norm is infinite or not a number.
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
        """Return 0: the estimate of transformers would count features as tokens."""
        return 0

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False,
                     num_items_in_batch: torch.Tensor | int | None = None) -> Any:
        """Return the cross entropy per token that counts, over all batches and processes of an optimizer step.

        ``num_items_in_batch`` is the count of all processes. Gradients are averaged over the processes, so the loss is
        multiplied by their number.
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
    def evaluate(self, eval_dataset: object = None, ignore_keys: list[str] | None = None,
                 metric_key_prefix: str = "eval", **gen_kwargs: Any) -> dict[str, float]:
        """Return the loss per token of the development set; every token has the same weight.

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
    """Sets the epoch of the batch sampler, also when training resumes in the middle of an epoch."""

    def __init__(self, trainer: MultitaskTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: Any) -> None:
        """Called by the trainer."""
        self.trainer.train_sampler.set_epoch(int((state.epoch or 0.0) + 1e-6))


class CheckpointSync(TrainerCallback):
    """Flushes checkpoints to the disk, so that they are complete after a power cut, too."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the trainer."""
        checkpoint = output_directory(args) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and checkpoint.is_dir():
            sync_directory(checkpoint)


class LossCurve(TrainerCallback):
    """Updates ``loss.png`` and its data, ``train_history.json``, in the output directory."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    **kwargs: Any) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero:
            write_history(state.log_history, output_directory(args))


def make_trainer(model: torch.nn.Module, train: MultitaskDataset, dev: MultitaskDataset | None, end_token: int,
                 arguments: TrainingArguments, options: ModelConfig, max_utterances: int,
                 tail_frames: int = 0, max_eval_utterances: int = 0) -> MultitaskTrainer:
    """Return a trainer with this recipe's collator and callbacks; for the arguments see :class:`MultitaskTrainer`."""
    trainer = MultitaskTrainer(model=model, args=arguments, train_dataset=train, eval_dataset=dev,
                               data_collator=MultitaskCollator(end_token, options.padding.silence_positions),
                               options=options, max_utterances=max_utterances, tail_frames=tail_frames,
                               max_eval_utterances=max_eval_utterances)
    trainer.add_callback(EpochSetter(trainer))
    trainer.add_callback(LossCurve())
    trainer.add_callback(CheckpointSync())
    if arguments.device.type == "cpu":
        trainer.add_callback(SpareCores())
    return trainer
