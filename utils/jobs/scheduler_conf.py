"""Reads conf/slurm.conf and conf/queue.conf: a driver's options as flags of a cluster's scheduler, in Kaldi's syntax.

::

    command sbatch --no-requeue        # how a job is submitted; required
    option mem=* --mem=$0              # --mem 8G becomes --mem=8G
    option gpu=0                       # --gpu 0 adds nothing
    option gpu=* --gres=gpu:$0         # any other value
    default gpu=0                      # used if the option is not given

``$NAME`` is replaced by the environment variable; ``#`` starts a comment. Standard library only: drivers use this.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils import ROOT
from utils.errors import UserError


@dataclass
class SchedulerConf:
    """One conf file: the submit command, and flags by option and value (``*``: any)."""

    path: Path
    command: list[str] = field(default_factory=list)
    flags: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)

    def knows(self, option: str) -> bool:
        """Whether the file has a line for this option (``-`` and ``_`` are the same)."""
        return _name(option) in self.flags

    def submit_words(self, options: Mapping[str, str]) -> list[str]:
        """Return the submit command with the flags for ``options``.

        Raises:
            UserError: the file does not define an option, or does not allow this value of it.
        """
        words = list(self.command)
        for option, value in {**self.defaults, **{_name(key): value for key, value in options.items()}}.items():
            choices = self.flags.get(option)
            given = "--" + option.replace("_", "-")
            if choices is None:
                raise UserError(f"{given}: {self.path} does not define this option; "
                                f"add a line 'option {option}=* ...' there, with $0 for the value")
            if value not in choices and "*" not in choices:
                raise UserError(f"{given} {value}: {self.path} allows only {', '.join(choices)}; "
                                f"add a line 'option {option}={value} ...' there")
            words += [word.replace("$0", value) for word in choices.get(value, choices.get("*", []))]
        return words


def _name(option: str) -> str:
    return option.replace("-", "_")


def find_conf(name: str, given: str | None) -> Path:
    """Return the file ``given`` by ``--config``, else conf/NAME in the working directory, else conf/NAME of the recipe.

    Raises:
        UserError: there is no such file.
    """
    if given is not None:
        if not Path(given).is_file():
            raise UserError(f"--config {given}: no such file")
        return Path(given)
    places = [Path("conf") / name, ROOT / "conf" / name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UserError(f"no {' and no '.join(map(str, places))}; one of them must say how jobs are submitted")
    return found


def read_conf(path: Path) -> SchedulerConf:
    """Read a conf file.

    Raises:
        UserError: a line cannot be parsed, or there is no ``command`` line.
    """
    conf = SchedulerConf(path)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = re.sub(r"(^|\s+)#.*", "", line).strip()
        if not text:
            continue
        match = re.fullmatch(r"(command) (.+)|(option) ([^\s=]+)=(\S+)\s*(.*)|(default) ([^\s=]+)=(\S+)", text)
        if not match:
            raise UserError(f"{path}:{number}: cannot be read: {text!r}; lines are 'command ...', "
                            "'option NAME=VALUE ...' and 'default NAME=VALUE'")
        if match[1]:
            conf.command = _words(match[2], path, number)
        elif match[3]:
            conf.flags.setdefault(_name(match[4]), {})[match[5]] = _words(match[6], path, number)
        else:
            conf.defaults[_name(match[8])] = match[9]
    if not conf.command:
        raise UserError(f"{path}: no 'command ...' line; it must say how jobs are submitted")
    return conf


def _words(text: str, path: Path, number: int) -> list[str]:
    try:
        return [os.path.expandvars(word) for word in shlex.split(text)]
    except ValueError as error:
        raise UserError(f"{path}:{number}: {str(error).lower()}: {text!r}") from None
