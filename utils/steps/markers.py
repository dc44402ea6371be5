"""Markers: what each step of a recipe was made from, so that the same command again does only what is left to do.

A marker is a JSON file. It is written when its step begins, with what the step is made from at that moment, and again
when it has ended, with what it made; whatever kills the step between leaves a marker that says so. Standard library
only: a step that is up to date should cost milliseconds.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.filesystem import atomic_open, remove_leftovers
from utils.masking import mask_secrets
from utils.steps import fingerprints

VERSION = 1


@dataclass(frozen=True)
class Step:
    """What a step is made from and makes.

    Attributes:
        marker: the JSON file.
        command: words that the result depends on; how jobs are run is not among them.
        inputs: files and directories; a name.scp counts with the files that it names.
        sections: (YAML file, top-level section) pairs, inputs, too.
        outputs: files and directories, as inputs.
        parts: what jobs leave for each other; not worth keeping when the step begins anew.
        code: scripts that do the work.
        costly: hours of work, which another version of the code alone does not throw away.
    """

    marker: Path
    command: Sequence[str]
    inputs: Sequence[str] = ()
    sections: Sequence[tuple[str, str]] = ()
    outputs: Sequence[str] = ()
    parts: Sequence[str] = ()
    code: Sequence[str] = ()
    costly: bool = False

    def made_from(self) -> dict[str, Any]:
        """What of a marker is known before the step runs."""
        inputs = _fingerprints(self.inputs)
        inputs |= {f"{name}: {section}": fingerprints.of_section(Path(name), section)
                   for name, section in self.sections}
        return {"version": VERSION, "command": [mask_secrets(fingerprints.short(word)) for word in self.command],
                "inputs": {fingerprints.short(name): value for name, value in inputs.items()},
                "code": fingerprints.of_code(Path(name) for name in self.code)}


def _fingerprints(names: Sequence[str]) -> dict[str, str]:
    found = {name: fingerprints.of_path(Path(name)) for name in names}
    found |= {f"files that {name} names": fingerprints.of_named_files(Path(name))
              for name in names if name.endswith(".scp")}
    return found


@dataclass(frozen=True)
class State:
    """Whether a step is to run (``reason``, one line) or what is to be said of one that is up to date."""

    reason: str = ""
    remark: str = ""
    made: str = ""
    resumable: bool = False  # it was interrupted, and nothing that it is made from has changed since


def state_of(step: Step, made_from: Mapping[str, Any]) -> State:
    """Compare a step's marker with what the step would be made from now."""
    marker = _read(step.marker)
    if not marker:
        return State("never made")
    changes = _changes(marker, made_from)
    if marker["state"] != "made":
        changed = f"; since then {_in_short(changes, '; ')}" if changes else ""
        return State(f"begun {marker['begun']}, not finished{changed}", resumable=not changes)
    for name, found in _fingerprints(step.outputs).items():
        if found != marker["outputs"].get(name, found):
            changes.append(f"its output {name} {'is gone' if found == fingerprints.ABSENT else 'was changed'}")
    code = ""
    if newer := _different(marker["code"], made_from["code"]):
        code = f"other code now: {_in_short(newer, ', ')}"
    if code and not step.costly:
        changes.append(code)
    if changes:
        return State(_in_short(changes, "; "), made=marker["made"])
    remark = f" ({code}; --force true makes it again)" if code else ""
    return State(remark=f"up to date{remark}", made=marker["made"])


def _in_short(items: Sequence[str], comma: str, most: int = 2) -> str:
    return comma.join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _changes(marker: Mapping[str, Any], made_from: Mapping[str, Any]) -> list[str]:
    changes = _changed_words(marker["command"], made_from["command"])
    for name in _different(marker["inputs"], made_from["inputs"]):
        old, new = (record["inputs"].get(name) for record in (marker, made_from))
        verb = ("is read now" if old is None else "is not read now" if new is None else
                "is gone" if new == fingerprints.ABSENT else "is new" if old == fingerprints.ABSENT else "changed")
        changes.append(f"{name} {verb}")
    return changes


def _different(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]


def _changed_words(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Differences of two command lines, in the terms of their options."""
    before, now = _options(old), _options(new)
    changes = []
    for name in _different(before, now):
        was, is_now = before.get(name), now.get(name)
        if name.startswith("argument ") and None in (was, is_now):
            changes.append(f"{is_now} is given now" if was is None else f"{was} is not given now")
        else:
            changes.append(f"{name} was {was or 'not given'}, is {is_now or 'not given'}")
    return changes


def _options(words: Sequence[str]) -> dict[str, str]:
    """Options of a command line and their values, ``--set key=value`` by key; other words by their number."""
    options: dict[str, str] = {}
    number = 0
    pairs = zip_longest(words, words[1:], fillvalue="")
    for word, following in pairs:
        if word == "--set" or word.startswith("--set="):
            key, _, value = (following if word == "--set" else word.removeprefix("--set=")).partition("=")
            name, used = key, word == "--set"
        elif word.startswith("--"):
            name, value, used = word, following, True
        else:
            number += 1
            name, value, used = f"argument {number}", word, False
        options[name] = f"{options[name]} {value}" if name in options else value or "empty"
        if used:
            next(pairs, None)
    return options


def begin(step: Step, made_from: Mapping[str, Any], state: State) -> None:
    """Note that the step runs from now on; remove what was left half-written by one that was killed.

    Raises:
        UserError: the marker cannot be written.
    """
    places = {Path(name).parent for name in step.outputs} | {Path(name) for name in step.outputs}
    # A download directory may be shared with recipes that this one's lock does not hold off.
    remove_leftovers(place for place in places if place.is_dir() and place.resolve().is_relative_to(Path.cwd()))
    if not state.resumable:
        for part in step.parts:  # before the marker says that it was made from other things
            Path(part).unlink(missing_ok=True)
    _write(step.marker, {**made_from, "state": "begun", "reason": state.reason, "begun": _now(),
                         "host": socket.gethostname()})


def finish(step: Step) -> None:
    """Note that the step has ended well, and what it made.

    Raises:
        UserError: it had not begun, or the marker cannot be written.
    """
    marker = _read(step.marker)
    if not marker:
        raise UserError(f"{step.marker}: is gone or damaged; give the same command again")
    _write(step.marker, {**marker, "state": "made", "made": _now(), "outputs": _fingerprints(step.outputs)})


def _read(path: Path) -> dict[str, Any] | None:
    """A marker, or None if there is none that can be used."""
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        return marker if marker["version"] == VERSION and marker["state"] in ("begun", "made") else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, marker: Mapping[str, Any]) -> None:
    try:
        with atomic_open(path) as stream:
            stream.write(json.dumps(marker, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}. Make room or give permission, then give the "
                        "same command again") from None


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
