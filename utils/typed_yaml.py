"""YAML files as typed dataclasses: an unknown key or a wrong type is one line that names the key."""

from __future__ import annotations

import dataclasses
import difflib
import reprlib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from utils.errors import UserError

T = TypeVar("T")

# Errors of PyYAML: its own, ValueError for an impossible date (2001-99-99), RecursionError for deep nesting.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file.

    Raises:
        UserError: the file is missing or no YAML mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"no configuration file {path}; conf/whisper_multitask.yaml is one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except _NOT_YAML as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must be a mapping of keys, not {_shown(raw)}")
    return raw


def _shown(value: Any) -> str:
    """A value for an error message: one short line, however large the value (YAML aliases can expand to gigabytes)."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 80
    shortener.maxlevel, shortener.maxlist, shortener.maxdict = 3, 4, 4
    return shortener.repr(value)


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Change ``raw`` by ``section.key=value`` with a YAML value.

    Raises:
        UserError: it is not of this form.
    """
    name, equals, value = override.partition("=")
    if not equals or not name:
        raise UserError(f"--set {override}: expected section.key=value")
    *sections, key = name.split(".")
    target = raw
    for section in sections:
        if target.get(section) is None:
            target[section] = {}
        target = target[section]
        if not isinstance(target, dict):
            raise UserError(f"--set {override}: {section} is not a section")
    try:
        target[key] = yaml.safe_load(value) if value else ""
    except _NOT_YAML:
        target[key] = value


def build(cls: type[T], raw: Any, where: str, prefix: str = "") -> T:
    """Return a dataclass from a mapping of its fields; keys that are left out keep their defaults.

    Args:
        where: the file, for messages.
        prefix: of the keys' names in messages: ``model.lora.``.

    Raises:
        UserError: a key is unknown, or a value has the wrong type.
    """
    if not isinstance(raw, dict):
        raise UserError(f"{where}: {prefix.rstrip('.') or 'the file'} must be a mapping of keys, not {_shown(raw)}")
    hints = typing.get_type_hints(cls)
    unknown = [key for key in raw if key not in hints]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), hints, n=1, cutoff=0.5)
        meant = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(hints)}"
        name = str(unknown[0]) if str(unknown[0]).isprintable() else repr(unknown[0])
        raise UserError(f"{where}: unknown key {prefix}{name[:80]}; {meant}")
    values = {}
    for key, value in raw.items():
        if value is not None:  # an empty YAML value means the default
            values[key] = _convert(hints[key], value, where, prefix + key)
    return cls(**values)


def _convert(hint: Any, value: Any, where: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where, name + ".")
    origin = typing.get_origin(hint)
    if origin is list and isinstance(value, list):
        kind = typing.get_origin(typing.get_args(hint)[0]) or typing.get_args(hint)[0]
        if all(isinstance(item, kind) for item in value):
            return value
    if origin is dict and isinstance(value, dict):
        return value
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-4 as text
        except (TypeError, ValueError, OverflowError):
            pass
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    wanted = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise UserError(f"{where}: {name} must be {wanted}, not {_shown(value)}")
