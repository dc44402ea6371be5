"""Markers record the inputs and outputs of a recipe's steps, so that a repeated command skips complete steps.

A marker is a JSON file. It is written when its step begins, with fingerprints of the inputs, and again when the step
has ended, with fingerprints of the outputs. The marker of a step that was killed says that it has begun. Standard
library only, because checking a step should take milliseconds.
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
    """A step of a recipe: its command, inputs and outputs.

    Attributes:
        marker: path of the JSON file.
        command: the words that change the result; the number of jobs and where they run do not belong here.
        inputs: files and directories; of a name.scp also the files that it names.
        sections: more inputs, as pairs (YAML file, top-level section).
        outputs: files and directories, as inputs.
        parts: intermediate files of jobs; they are removed when the step does not resume.
        code: scripts that the command runs.
        costly: the step takes hours, so that a change of the code alone does not make it run again.
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
        """Return what the marker has before the step runs: the command, and fingerprints of inputs and code."""
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
    """The state of a step.

    Attributes:
        reason: why the step must run, on one line; empty if it is up to date.
        remark: what the log says about a step that is up to date.
        made: when the step last ended; empty if never.
        resumable: it was interrupted, and its inputs have not changed since.
    """

    reason: str = ""
    remark: str = ""
    made: str = ""
    resumable: bool = False


def state_of(step: Step, made_from: Mapping[str, Any]) -> State:
    """Return the state of a step: its marker compared with ``made_from``, its present inputs."""
    marker = _read(step.marker)
    if not marker:
        return State("never made")
    changes = _changes(marker, made_from)
    if marker["state"] != "made":
        changed = f"; since then {_first_items(changes, '; ')}" if changes else ""
        return State(f"begun {marker['begun']}, not finished{changed}", resumable=not changes)
    for name, found in _fingerprints(step.outputs).items():
        if found != marker["outputs"].get(name, found):
            changes.append(f"its output {name} {'is gone' if found == fingerprints.ABSENT else 'was changed'}")
    code = ""
    if newer := _different(marker["code"], made_from["code"]):
        code = f"other code now: {_first_items(newer, ', ')}"
    if code and not step.costly:
        changes.append(code)
    if changes:
        return State(_first_items(changes, "; "), made=marker["made"])
    remark = f" ({code}; --force true makes it again)" if code else ""
    return State(remark=f"up to date{remark}", made=marker["made"])


def _first_items(items: Sequence[str], comma: str, most: int = 2) -> str:
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
    """Differences of two command lines, as a text for each option or argument."""
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
    """Values of a command line by option, of ``--set key=value`` by key, of other words by ``argument N``."""
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
    """Write the marker of a step that begins; remove temporary files that a killed run left.

    Raises:
        UserError: the marker cannot be written.
    """
    places = {Path(name).parent for name in step.outputs} | {Path(name) for name in step.outputs}
    # Outside the working directory, other recipes may be writing, which this run's lock does not keep out.
    remove_leftovers(place for place in places if place.is_dir() and place.resolve().is_relative_to(Path.cwd()))
    if not state.resumable:
        for part in step.parts:  # before the marker names the new inputs
            Path(part).unlink(missing_ok=True)
    _write(step.marker, {**made_from, "state": "begun", "reason": state.reason, "begun": _now(),
                         "host": socket.gethostname()})


def finish(step: Step) -> None:
    """Write the marker of a step that has ended without an error, with fingerprints of its outputs.

    Raises:
        UserError: the marker of ``begin`` is gone, or the marker cannot be written.
    """
    marker = _read(step.marker)
    if not marker:
        raise UserError(f"{step.marker}: is gone or damaged; give the same command again")
    _write(step.marker, {**marker, "state": "made", "made": _now(), "outputs": _fingerprints(step.outputs)})


def _read(path: Path) -> dict[str, Any] | None:
    """The marker, or None if it is missing, damaged or of another version."""
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
