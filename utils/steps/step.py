#!/usr/bin/env python3
"""Check and update the marker of a step of a recipe, and lock directories. For utils/steps/steps.sh only.

    utils/steps/step.py check data/.steps/dump_test.json --from data/test/wav.scp --to dump/test/feats.scp \\
        --code pyscripts/dump_feats.py -- dump test --compression none
    utils/steps/step.py begin ...    # the same, and record in the marker that the step runs
    utils/steps/step.py finish ...   # record that the step has ended without an error, and its outputs

check and begin print a line: why the step must run, or that it is up to date. Exit code 0: the step is up to date;
10: it must run; 11: it was interrupted and can resume, because its inputs have not changed since. status prints a row
of the table of ./run.sh --status. lock locks a directory against other runs; blocked names the run that holds a lock.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.errors import UserError
from utils.filesystem import disk_fault
from utils.masking import mask_secrets
from utils.steps.markers import State, Step, begin, finish, state_of
from utils.steps.run_lock import in_use, is_writing, lock_run

TO_RUN, TO_RESUME = 10, 11


def parse_args(words: list[str]) -> argparse.Namespace:
    """Parse ``words``; those after ``--`` become ``command``."""
    end = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    add = parser.add_argument
    add("action", choices=["check", "begin", "finish", "status", "lock", "blocked"])
    add("marker", type=Path, help="the step's marker, or the file to lock")
    add("--from", nargs="+", action="extend", default=[], dest="inputs",
        help="files and directories that the step reads; of an .scp also the files that it names")
    add("--section", nargs=2, action="append", default=[], metavar=("YAML", "NAME"), dest="sections",
        help="a top-level section of a YAML file that the step reads")
    add("--to", nargs="+", action="extend", default=[], dest="outputs", help="files and directories that it writes")
    add("--parts", nargs="+", action="extend", default=[], help="files to remove unless the step resumes")
    add("--code", nargs="+", action="extend", default=[], help="scripts that the step runs")
    add("--costly", action="store_true", help="do not run the step again only because the code changed")
    add("--force", action="store_true", help="run the step even if it is up to date")
    add("--fd", type=int, help="lock: a file descriptor on which the file is open")
    add("--mode", choices=["write", "read", "any"], help="lock: exclusive, shared, or exclusive if possible")
    add("--pid", type=int, help="lock, blocked: process id of the run")
    args = parser.parse_args(words[:end])
    args.command = words[end + 1:]
    return args


def main() -> int:
    """Do the action that the command line names and return the exit code."""
    args = parse_args(sys.argv[1:])
    if args.action == "lock":
        print(lock_run(args.marker, args.fd, args.mode, args.pid, mask_secrets(" ".join(args.command))))
        return 0
    if args.action == "blocked":
        raise UserError(in_use(args.marker, args.pid))
    step = Step(args.marker, args.command, args.inputs, args.sections, args.outputs, args.parts, args.code,
                args.costly)
    if args.action == "finish":
        finish(step)
        return 0
    made_from = step.made_from()
    state = state_of(step, made_from)
    if args.force and not state.reason:
        state = State("--force true", made=state.made)
    if args.action == "status":
        print(row(args.marker, state))
        return 0
    print(state.reason or state.remark)
    if state.reason and args.action == "begin":
        begin(step, made_from, state)
    return (TO_RESUME if state.resumable else TO_RUN) if state.reason else 0


def row(marker: Path, state: State) -> str:
    """Return a row of the table that ./run.sh --status prints."""
    words = state.remark or (f"out of date: {state.reason}" if state.made else state.reason)
    if not state.made and state.reason != "never made" and (who := is_writing(marker.parent / "lock")):
        words = f"running, {who}: {state.reason}"
    name = marker.with_suffix("").as_posix().partition(".steps/")[2]
    return f"{name:<28} {state.made or '-':<19}  {words}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: error: {error}")
    except OSError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: error: {disk_fault(error) or error}")
