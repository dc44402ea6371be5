"""Every Seq2SeqTrainingArguments field in one of three lists: honoured, harmless or refused.

A field that a new version of transformers brings is in none of them, and refused as unknown until somebody has looked
what it does here (tests/train/test_argument_lists.py fails then). doc/training.md shows the lists.
"""

from __future__ import annotations

from typing import Any

# What a field is about, and the fields that do here what transformers says, or what stands in brackets.
HONOURED: dict[str, tuple[str, ...]] = {
    "where it goes (here also `out_model_path`; a checkpoint to start from)": ("output_dir", "resume_from_checkpoint"),
    "how long": ("num_train_epochs", "max_steps"),
    "batches (at most so many utterances, beside `model.batch.max_frames`; evaluation takes as many as training "
    "unless it is told)": (
        "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
    "decoding with the saved model (written to its `config.json`; whole models only)": ("use_cache",),
    "learning rate": ("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
    "optimizer (of PyTorch, Adafactor, or a quantized one of bitsandbytes or torchao)": (
        "optim", "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
    "regularization": ("label_smoothing_factor", "neftune_noise_alpha"),
    "precision": ("bf16", "fp16", "tf32"),
    "memory": ("gradient_checkpointing", "gradient_checkpointing_kwargs", "torch_empty_cache_steps"),
    "evaluation while training (`metric_for_best_model`: only `loss`, of which less is better)": (
        "eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "load_best_model_at_end",
        "metric_for_best_model", "greater_is_better"),
    "checkpoints": ("save_strategy", "save_steps", "save_total_limit"),
    "logs": ("logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter", "log_on_each_node",
             "log_level", "log_level_replica", "disable_tqdm", "report_to", "run_name", "project"),
    "random seeds (`data_seed`: which utterances come together, and when)": ("seed", "data_seed", "full_determinism"),
    "loading": ("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers",
                "dataloader_prefetch_factor"),
    "processes and devices": ("use_cpu", "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers",
                              "ddp_backend", "ddp_timeout"),
}

_NO_METRICS = "evaluation while training gathers no predictions, it computes the loss only"
_LIKE_LENGTH = "batches hold utterances of like length anyway"

# Fields that are accepted and change nothing, and why they need not. A log line says so.
HARMLESS: dict[str, str] = {
    "do_train": "stage 3 always trains",
    "do_eval": "eval_strategy decides whether there is evaluation",
    "do_predict": "stage 4 decodes",
    "generation_max_length": "nothing is decoded while training",
    "prediction_loss_only": _NO_METRICS,
    "eval_do_concat_batches": _NO_METRICS,
    "eval_accumulation_steps": _NO_METRICS,
    "eval_use_gather_object": _NO_METRICS,
    "sortish_sampler": _LIKE_LENGTH,
    "length_column_name": _LIKE_LENGTH,
    "remove_unused_columns": "the data have no columns, only what the model takes",
    "label_names": "the labels have one name",
    "local_rank": "torchrun numbers the processes",
}

_SCORES = "evaluation while training computes the loss only; stage 4 decodes and scores (WER, CER, BLEU)"
_HUB = "nothing is uploaded while training; pyscripts/push_to_hub.py uploads what was trained"
_COMPILE = "batches differ in shape, each would be compiled anew; bf16: true makes training faster on a GPU"
_SHARDING = ("weights are not sharded, run.sh --ngpu trains on several GPUs; for less memory lower "
             "model.batch.max_frames or set gradient_checkpointing: true")
_LIGER = "the pip package liger-kernel has no kernels for Whisper; model.lora is computed in fused layers already"
_TRACKIO = "Trackio is used here without a Space; give report_to: trackio only"

# Fields of which only the default is accepted, and what to use instead.
REFUSED: dict[str, str] = {
    "average_tokens_across_devices": "the loss counts the tokens of all processes; leave it true",
    "optim_target_modules": "it is for GaLore and APOLLO, which are not supported; use model.lora.target_modules",
    "bf16_full_eval": "evaluation computes as training does; set bf16: true",
    "fp16_full_eval": "evaluation computes as training does; set fp16: true",
    "torch_compile": _COMPILE,
    "torch_compile_backend": _COMPILE,
    "torch_compile_mode": _COMPILE,
    "use_liger_kernel": _LIGER,
    "liger_kernel_config": _LIGER,
    "auto_find_batch_size": "lower model.batch.max_frames if memory runs out",
    "include_num_input_tokens_seen": "the input is audio; train_summary.json has targets and utterances",
    "trackio_space_id": _TRACKIO,
    "trackio_bucket_id": _TRACKIO,
    "trackio_static_space_id": _TRACKIO,
    "include_for_metrics": _SCORES,
    "batch_eval_metrics": _SCORES,
    "predict_with_generate": _SCORES,
    "generation_num_beams": "nothing is decoded while training; set predict.beam_size for stage 4",
    "generation_config": "nothing is decoded while training; stage 4 takes the section predict",
    "save_only_model": "a training could not continue from such checkpoints; set save_total_limit: 1 to save room",
    "save_on_each_node": "all machines read the same checkpoints; put out_model_path on a disk that they share",
    "enable_jit_checkpoint": "a training that is stopped continues from its last checkpoint; lower save_steps",
    **dict.fromkeys(("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy",
                     "hub_always_push", "hub_revision"), _HUB),
    "ignore_data_skip": "a training continues exactly where it stopped, and skipping takes no time; leave it false",
    "restore_callback_states_from_checkpoint": "the callbacks here have no state; leave it false",
    "accelerator_config": "batches are made by model.batch and model.padding, processes by run.sh --ngpu",
    "parallelism_config": _SHARDING,
    "fsdp": _SHARDING,
    "fsdp_config": _SHARDING,
    "deepspeed": _SHARDING,
    "ddp_static_graph": "batches are computed in a changing number of parts; leave it unset",
    "dataloader_drop_last": "batches are filled by frames, none is incomplete and no utterance is left out",
    "dataloader_multiprocessing_context": "only fork is supported; leave it unset",
    "dataloader_in_order": "the order of batches decides the result; leave it true",
    "train_sampling_strategy": "batches hold utterances of like length in random order; leave it random",
    "debug": "set logging_steps: 1 to see loss and gradient norm of each step",
    "skip_memory_metrics": "the log of nvidia-smi shows the memory in use; leave it true",
}

# Values that refused fields may have beside their default: they mean what is done anyway.
ALLOWED: dict[str, tuple[Any, ...]] = {
    "include_num_input_tokens_seen": (False,),
    "train_sampling_strategy": ("group_by_length",),
    "dataloader_multiprocessing_context": ("fork",),
}

# Names of former versions of transformers that are no other name for one of today's, and what to use instead.
FORMER: dict[str, str] = {
    "adafactor": "set optim: adafactor",
    "logging_dir": "TensorBoard's events are in out_model_path/runs",
    "overwrite_output_dir": "run with --overwrite true",
    "warmup_ratio": "warmup_steps takes a share of all steps, too: warmup_steps: 0.1",
}

FORMER_HARMLESS = {"group_by_length": _LIKE_LENGTH}

# Names that the parent project or older transformers used.
RENAMED = {
    "out_model_path": "output_dir",
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
}

KNOWN = {*(name for names in HONOURED.values() for name in names), *HARMLESS, *REFUSED}
