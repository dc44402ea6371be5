"""Code that the job drivers (cmd_local.py, ...) share: Kaldi's command line, signals and exit codes.

The contract is that of Kaldi's ``run.pl``::

    driver [--option value ...] [JOB=first:last] dir/log/name.JOB.log command argument ...

Standard library only: a driver must run before any environment is active.
"""

from __future__ import annotations

import difflib
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

# Options of the recipe. A driver ignores those that do not apply to it, so that one cmd.sh works for several drivers.
RESOURCES = ("mem", "gpu", "num-threads", "num-nodes", "max-jobs-run", "time", "config", "dry-run", "shell")
FLAGS = ("dry-run", "shell")  # may be given without a value
_OPERATORS = {"|", "||", "&&", ";", ">", ">>", "<", "2>&1"}


@dataclass(frozen=True)
class Request:
    """One call of a driver: a command to run once for every job id, each with its own log."""

    options: dict[str, str]  # as given; names without dashes: {"num-threads": "4"}
    variable: str | None  # the placeholder of the job id, usually "JOB"; None: one job without an id
    jobs: range
    log: str
    command: tuple[str, ...]
    native: tuple[str, ...] = ()  # the scheduler's own options, with one dash, ("-q", "all.q"); passed on unchanged

    def count(self, option: str, default: int, minimum: int = 0) -> int:
        """Return the value of an option that is a number.

        Raises:
            UserError: the value is not a whole number, or is below ``minimum``.
        """
        text = self.options.get(option, str(default))
        if not re.fullmatch(r"[0-9]+", text) or int(text) < minimum:
            raise UserError(f"--{option} must be a whole number of at least {minimum}, not {text!r}")
        return int(text)

    @property
    def dry_run(self) -> bool:
        """Whether to print the commands instead of running them."""
        return self.options.get("dry-run") == "true"

    @property
    def threads(self) -> int | None:
        """Threads of a job, from --num-threads or Grid Engine's -pe NAME N; None if neither is given."""
        if "num-threads" not in self.options and "-pe" not in self.native:
            return None
        given = self.native[self.native.index("-pe") + 2] if "-pe" in self.native else "1"
        return self.count("num-threads", int(given) if given.isdecimal() else 1, minimum=1)

    @property
    def lacks_shell(self) -> bool:
        """Whether an argument is a shell operator, but no shell interprets the arguments."""
        return self.options.get("shell") != "true" and len(self.command) > 1 and not _OPERATORS.isdisjoint(self.command)

    def log_path(self, job: int) -> Path:
        """Return the log file of one job."""
        return Path(self._fill(self.log, job))

    def arguments(self, job: int) -> list[str]:
        """Return the command of one job as an argument vector.

        Arguments are passed to the program unchanged. bash runs only a command given as ONE argument with white
        space in it (``"a | b"``), and every command with ``--shell``, as Kaldi's recipes expect. With bash, the
        job fails if any part of a pipe fails.
        """
        command = [self._fill(argument, job) for argument in self.command]
        if self.options.get("shell") == "true":
            command = [" ".join(map(_shell_word, command))]
        elif len(command) > 1 or not re.search(r"\s", command[0]):
            return command
        return ["bash", "-o", "pipefail", "-c", command[0]]

    def _fill(self, text: str, job: int) -> str:
        return text.replace(self.variable, str(job)) if self.variable else text


def parse_request(arguments: Sequence[str]) -> Request:
    """Parse a driver's command line (without the program's name).

    Raises:
        UserError: an option without a value or misspelt, a bad job range, no log file or no command, or a
            log name without ``JOB`` where several jobs would write to it.
    """
    rest = list(arguments)
    options: dict[str, str] = {}
    native: list[str] = []
    variable, jobs = None, range(1, 2)
    while rest:
        word = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", rest[0], re.DOTALL)
        if re.match(r"-[A-Za-z]", rest[0]):
            _take_native_option(rest, options, native)
        elif rest[0].startswith("-"):
            _take_option(rest, options)
        elif word and variable is None:
            variable, jobs = word[1], _job_range(rest.pop(0), word[2])
        else:
            break
    if len(rest) < 2:
        raise UserError("a log file and a command are needed: [JOB=1:8] dir/log/name.JOB.log command ...")
    log, *command = rest
    if variable and len(jobs) > 1 and variable not in log:
        raise UserError(f"{log}: {len(jobs)} jobs cannot write one log; put {variable} into its name")
    return Request(options, variable, jobs, log, tuple(command), tuple(native))


def _shell_word(argument: str) -> str:
    """Quote an argument as Kaldi's run.pl, slurm.pl and queue.pl do: only if it has white space in it."""
    if re.fullmatch(r"\S+", argument):
        return argument
    return f"'{argument}'" if '"' in argument else f'"{argument}"'


def _take_native_option(rest: list[str], options: dict[str, str], native: list[str]) -> None:
    """Move ``-q all.q``, ``-pe smp 4`` or ``-V`` to ``native``. ``-tc 4`` is --max-jobs-run, ``-sync y`` is ignored."""
    option = rest[0]
    values = rest[1:1 + {"-V": 0, "-pe": 2}.get(option, 1)]
    del rest[:1 + len(values)]
    if option == "-tc" and values:
        options["max-jobs-run"] = values[0]
    elif option != "-sync":
        native += [option, *values]


def _take_option(rest: list[str], options: dict[str, str]) -> None:
    option, equals, value = rest.pop(0).partition("=")
    if not re.fullmatch(r"--[A-Za-z][\w-]*", option):
        known = ", --".join(RESOURCES)
        raise UserError(f"{option}: options are written --name value; the usual ones are --{known}")
    name = option.removeprefix("--").replace("_", "-")
    near = difflib.get_close_matches(name, RESOURCES, n=1, cutoff=0.8)
    if near and name not in RESOURCES:
        raise UserError(f"{option}: no such option; did you mean --{near[0]}?")
    if name in FLAGS and not equals:
        value = rest.pop(0) if rest and rest[0] in ("true", "false") else "true"
    elif not equals:
        if not rest or rest[0].startswith("--"):
            raise UserError(f"{option} needs a value")
        value = rest.pop(0)
    options[name] = value


def _job_range(word: str, text: str) -> range:
    match = re.fullmatch(r"([0-9]+)(?::([0-9]+))?", text)
    if not match:
        raise UserError(f"{word}: a job range looks like JOB=1:8 or JOB=3")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last:
        raise UserError(f"{word}: job ids start at 1, and the last is not below the first")
    return range(first, last + 1)


class SignalNote:
    """Records the first of some signals instead of ending the process."""

    def __init__(self, *signals: signal.Signals) -> None:
        self.received: signal.Signals | None = None
        for number in signals:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.received = self.received or signal.Signals(number)


def shell_code(code: int) -> int:
    """Convert a return code of ``subprocess`` to a shell's: 128 + N for signal N, which is -N in Python."""
    return code if code >= 0 else 128 - code
