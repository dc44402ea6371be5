"""What the service's page says of its model: the experiment's name and the languages that it was tuned for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from utils.data.languages import language_code


@dataclass(frozen=True)
class ServedModel:
    """A model as people see it.

    Attributes:
        name: of the export, as clients write it.
        title: with the experiment's name, if the directory lies in one.
        languages: Whisper's codes of those that it was tuned for; empty if its card does not say them.
    """

    name: str
    title: str = ""
    languages: tuple[str, ...] = ()


def describe_model(model_dir: Path) -> ServedModel:
    """The description of an exported directory, exp/TAG/ct2_TYPE or any other."""
    directory = model_dir.resolve()
    in_experiment = (directory.parent / "merged").is_dir() or (directory.parent / "train_summary.json").is_file()
    title = f"{directory.parent.name}, {directory.name.removeprefix('ct2_')}" if in_experiment else directory.name
    return ServedModel(directory.name, title, _languages(directory / "README.md"))


def _languages(card: Path) -> tuple[str, ...]:
    """The languages of a model card's header; a card that cannot be read says none."""
    try:
        _, header, _ = card.read_text(encoding="utf-8").split("---\n", 2)
        named = yaml.safe_load(header).get("language") or []
        return tuple(dict.fromkeys(language_code(str(name)) for name in ([named] if isinstance(named, str) else named)))
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return ()
