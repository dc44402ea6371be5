"""Functions for every script's command line: log lines, progress bars, common options, errors without tracebacks."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from utils.errors import UserError
from utils.filesystem import disk_fault
from utils.masking import mask_secrets

T = TypeVar("T")


def log(message: str) -> None:
    """Print one line to stderr with time and place, as ESPnet's ``log()`` does in the shell.

    Of several processes that train together only the first (RANK 0) prints. Secrets are masked.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    caller = inspect.stack()[1]
    place = f"{Path(caller.filename).name}:{caller.lineno}"
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} ({place}) {mask_secrets(message)}", file=sys.stderr, flush=True)


def progress(items: Iterable[T], desc: str, total: int | None = None, unit: str = "utt") -> Iterable[T]:
    """Wrap ``items`` in a progress bar with the time left; in a log file it is updated only every 10 s."""
    return progress_bar(desc, total, unit, items)


def progress_bar(desc: str, total: int | None, unit: str = "utt", items: Iterable[T] | None = None) -> tqdm:
    """A progress bar; without ``items`` the caller advances it with ``update``."""
    terminal = sys.stderr.isatty()
    return tqdm(items, desc=desc, total=total, unit=unit, mininterval=0.2 if terminal else 10.0,
                dynamic_ncols=terminal, ascii=not terminal)


def boolean(text: str) -> bool:
    """Convert a Kaldi-style boolean option: exactly ``true`` or ``false``.

    Give defaults as text, ``default="true"``: argparse converts them too, and ``--help`` shows what can be typed.

    Raises:
        argparse.ArgumentTypeError: ``text`` is anything else.
    """
    if text in ("true", "false"):
        return text == "true"
    raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the default after every option's help, and the module docstring without reflowing it."""


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose ``--help`` shows ``doc``, a script's docstring, and every default."""
    return argparse.ArgumentParser(description=doc, formatter_class=_Formatter, allow_abbrev=False)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and ``--set`` (``args.overrides``), for scripts that read the configuration."""
    parser.add_argument("--config", default="conf/whisper_multitask.yaml", help="YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="change a key of the configuration; may be repeated")


def add_job_options(parser: argparse.ArgumentParser, combine: str) -> None:
    """Add ``--job``, ``--num-jobs`` and ``--combine``, for scripts that run as several jobs; see :func:`check_job`.

    ``combine`` is the help text of ``--combine``.
    """
    parser.add_argument("--job", type=int, default=1, help="which part of the work, from 1")
    parser.add_argument("--num-jobs", type=int, default=1, help="how many parts")
    parser.add_argument("--combine", type=boolean, default="false", metavar="true|false", help=combine)


def check_job(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exit with the parser's error unless ``--job`` is between 1 and ``--num-jobs``."""
    if not 1 <= args.job <= args.num_jobs:
        parser.error(f"--job {args.job} is not between 1 and --num-jobs {args.num_jobs}")


def run_main(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit: 0 on success, 1 with a one-line message on a UserError or a full disk."""
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: error: {mask_secrets(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if (fault := disk_fault(error)) is None:
            raise
        print(f"{Path(sys.argv[0]).name}: error: {fault}", file=sys.stderr)
        sys.exit(1)
