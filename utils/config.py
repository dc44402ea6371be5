"""The configuration file, conf/whisper_multitask.yaml, read into typed dataclasses.

Sections and key names are those of the parent project (WhisperMultitaskFinetuning); this recipe adds keys to them.
An unknown key, a wrong type or a missing file raises a UserError of one line that names the key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from utils.errors import UserError
from utils.typed_yaml import apply_override, build, read_mapping

PADDING_POLICIES = ("none", "constant", "uniform", "log-uniform", "full")
WINDOWS = ("short", "full")
PRECISIONS = ("auto", "float32", "bf16")
BACKENDS = ("auto", "transformers", "ctranslate2")


@dataclass
class Lists:
    """Paths of a set's lists (keys ``id|language|task``). Features are computed from wav_scp if feats_scp is empty."""

    wav_scp: str = ""
    text: str = ""
    feats_scp: str = ""


@dataclass
class DataConfig:
    """``train`` is the training set; ``test`` is the parent project's name for the development set.

    ``rehearsal`` is more to train on: other speech, with what the base model writes, so that it does not forget that.
    """

    train: Lists = field(default_factory=Lists)
    rehearsal: Lists = field(default_factory=Lists)
    test: Lists = field(default_factory=Lists)


@dataclass
class PredictConfig:
    """Decoding of a checkpoint: predict.py."""

    model_path: str = ""  # an adapter directory, or a whole model
    result_file: str = ""  # lines `key text`
    eval: Lists = field(default_factory=Lists)
    beam_size: int = 1
    also_greedy: bool = False  # decode greedily, too, from the same encoder pass; not with result_file
    backend: str = "auto"  # transformers, or ctranslate2, which is faster on a CPU; auto: by device
    encoder_precision: str = "float32"  # of ctranslate2 on a CPU: float32, bf16; auto: bf16 if the CPU has it
    window: str = "short"  # short: encode only the utterance; full: pad to Whisper's native 30 s
    max_frames: int = 24000  # feature frames in a batch, with padding; CTranslate2 on a CPU uses fewer
    tail_frames: int = 50  # silence after a batch's longest utterance; without it, decoding may loop


@dataclass
class RuntimeConfig:
    """CTranslate2's device and compute type; ``auto`` selects the best that the machine has."""

    device: str = "auto"
    compute_type: str = "auto"


@dataclass
class DevEnvConfig:
    """Export to CTranslate2 and decoding with it: export_ct2.py."""

    ori_model_path: str = ""
    ctranslate_model_path: str = ""
    conf: RuntimeConfig = field(default_factory=RuntimeConfig)
    result_file: str = ""
    dev: Lists = field(default_factory=Lists)
    quantization: str = ""  # empty: weights keep their precision, as in the parent project


@dataclass
class LoraOptions:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): W + alpha / r * B A."""

    r: int = 32
    alpha: int = 64
    dropout: float = 0.0
    target_modules: list[str] = field(
        default_factory=lambda: ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"])
    encoder: bool = True  # false: adapters in the decoder only, no backward pass through the encoder


@dataclass
class PaddingOptions:
    """How many frames (10 ms) of silence training appends after a batch's longest utterance."""

    policy: str = "uniform"
    max_frames: int = 400
    full_window_share: float = 0.0  # share of utterances that are padded to Whisper's 30 s
    silence_positions: int = 0  # encoder positions that represent longer silence; 0: compute all of it


@dataclass
class WindowOptions:
    """Windows of several utterances, with times and earlier text, and of no speech; see utils/train/windows.py."""

    joined_share: float = 0.0  # of the speech that is trained in joined windows, too
    timed_share: float = 0.0  # of the single utterances: targets with times
    timed_joined_share: float = 0.0  # of the joined windows: targets with times
    earlier_text_share: float = 0.0  # of all windows that have a window before them
    word_list_share: float = 0.0  # of all windows: a list of words, said or not, as earlier text
    no_speech_share: float = 0.0  # windows of noise, as a share of the utterances
    noise_dir: str = ""  # audio without speech below it is used beside made noise


@dataclass
class BatchOptions:
    """Batches hold as many utterances as fit into ``max_frames`` (10 ms each); drawn silence is not counted."""

    max_frames: int = 6000


@dataclass
class DataCollatorOptions:
    """The parent project's key: must be false, because Whisper's encoder takes no attention mask."""

    forward_attention_mask: bool = False


@dataclass
class ModelConfig:
    """Training options; ``model_train_argv``: see utils/train/argument_lists.py."""

    model_path: str = ""
    is_large_model: bool = True  # true: LoRA; false: all weights
    data_collator: DataCollatorOptions = field(default_factory=DataCollatorOptions)
    lora: LoraOptions = field(default_factory=LoraOptions)
    padding: PaddingOptions = field(default_factory=PaddingOptions)
    windows: WindowOptions = field(default_factory=WindowOptions)
    balance: float = 1.0  # temperature over languages and tasks; 1: as often as there are utterances
    augment: list[dict[str, Any]] = field(default_factory=list)  # [{speed: {…}}, …]: see utils/augment/chain.py
    batch: BatchOptions = field(default_factory=BatchOptions)
    cache_encoder: bool = False  # keep a frozen encoder's outputs between epochs; fixes the batches
    model_train_argv: dict[str, Any] = field(default_factory=dict)


@dataclass
class Config:
    """All sections of the file."""

    data: DataConfig = field(default_factory=DataConfig)
    predict: PredictConfig = field(default_factory=PredictConfig)
    dev_env: DevEnvConfig = field(default_factory=DevEnvConfig)
    model: ModelConfig = field(default_factory=ModelConfig)


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Read the configuration ``path`` and apply ``overrides``, each ``section.key=value`` with a YAML value.

    Raises:
        UserError: the file is missing or no YAML mapping, or a key or value does not fit.
    """
    path = Path(path)
    raw = read_mapping(path)
    for override in overrides or []:
        apply_override(raw, override)
    config = build(Config, raw, str(path), "")
    _check_values(config, path)
    return config


def written_values(path: str | Path, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values that a configuration file itself sets, for those of ``keys`` (``predict.beam_size``) it has.

    Raises:
        UserError: the file is missing or no YAML mapping.
    """
    raw = read_mapping(Path(path))
    values = {}
    for key in keys:
        value: Any = raw
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            values[key] = value
    return values


def save_config(config: Config, path: str | Path) -> None:
    """Write ``config`` to ``path`` as YAML, for :func:`load_config`."""
    from utils.filesystem import atomic_open

    with atomic_open(path) as stream:
        yaml.safe_dump(dataclasses.asdict(config), stream, sort_keys=False, allow_unicode=True)


def require_file(value: str, key: str) -> Path:
    """Return ``value``, the path that the configuration has under ``key``, if it exists.

    Raises:
        UserError: ``value`` is empty, or no file or directory has this path.
    """
    if not value:
        raise UserError(f"{key} is empty; give it in the configuration file or as --set {key}=PATH")
    if not Path(value).exists():
        raise UserError(f"{key}: no file or directory {value}")
    return Path(value)


def _check_values(config: Config, path: Path) -> None:
    def choice(value: str, allowed: tuple[str, ...], name: str) -> None:
        if value not in allowed:
            raise UserError(f"{path}: {name} must be one of {', '.join(allowed)}, not {value!r}")

    def positive(value: float, name: str, least: float = 1) -> None:
        if not value >= least:  # NaN, too
            raise UserError(f"{path}: {name} must be at least {least}, not {value}")

    model = config.model
    choice(model.padding.policy, PADDING_POLICIES, "model.padding.policy")
    choice(config.predict.window, WINDOWS, "predict.window")
    choice(config.predict.backend, BACKENDS, "predict.backend")
    choice(config.predict.encoder_precision, PRECISIONS, "predict.encoder_precision")
    positive(model.padding.max_frames, "model.padding.max_frames", 0)
    positive(model.padding.silence_positions, "model.padding.silence_positions", 0)
    positive(model.lora.r, "model.lora.r")
    positive(model.lora.alpha, "model.lora.alpha")
    positive(model.balance, "model.balance")
    positive(model.batch.max_frames, "model.batch.max_frames", 100)
    positive(config.predict.max_frames, "predict.max_frames", 100)
    positive(config.predict.tail_frames, "predict.tail_frames", 0)
    positive(config.predict.beam_size, "predict.beam_size")
    if not 0 <= model.lora.dropout < 1 or not 0 <= model.padding.full_window_share <= 1:
        raise UserError(f"{path}: model.lora.dropout and model.padding.full_window_share must lie between 0 and 1")
    for name, share in vars(model.windows).items():
        if name != "noise_dir" and not 0 <= share <= 1:
            raise UserError(f"{path}: model.windows.{name} must lie between 0 and 1, not {share}")
    if model.data_collator.forward_attention_mask:
        raise UserError(f"{path}: model.data_collator.forward_attention_mask must be false: the encoder has no mask")
