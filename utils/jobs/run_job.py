"""Run one job of a driver's request on a cluster's node; the job scripts that the drivers write start it.

    run_job.py ID REPORT [options] [JOB=first:last] dir/log/name.JOB.log command argument ...

ID is the job id, REPORT a directory: a file named ID with the exit code appears there when the job has ended. The
other arguments are the driver's own command line. The command runs in the scheduler's process group, so that it gets
the scheduler's signals. After SIGKILL there is no report.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.jobs.job_log import start_failure, write_footer, write_header
from utils.jobs.job_request import Request, SignalNote, parse_request, shell_code


def run_job(request: Request, job: int) -> int:
    """Run one job, write its log, and return its exit code as a shell does: 128 + N for signal N."""
    arguments = request.arguments(job)
    path = request.log_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    threads = request.threads or 1
    started = time.monotonic()
    with path.open("ab") as log:  # the driver removed an older log, and may append to this one
        write_header(log, arguments)
        try:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                       env={**os.environ, "OMP_NUM_THREADS": str(threads)})
            code = shell_code(process.wait())
        except OSError as error:
            code = start_failure(log, arguments, error)
        write_footer(log, code, time.monotonic() - started, threads)
    return code


def main(arguments: list[str]) -> int:
    """Run the job that ``arguments`` names and report its exit code; return 0 or 1."""
    if len(arguments) < 4 or not arguments[0].isdecimal():
        print(__doc__)
        return int(arguments[:1] not in (["--help"], ["-h"]))
    job, report = int(arguments[0]), Path(arguments[1])
    # The command gets these signals, too. This process survives them, to report the command's exit code.
    SignalNote(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
    code = run_job(parse_request(arguments[2:]), job)
    if report.is_dir():  # it is gone when a person runs the script by hand
        partial = report / f".{job}.partial"
        partial.write_text(f"{code}\n")
        partial.rename(report / str(job))
    return int(code != 0)  # never 99 or 100, which tell Grid Engine to run a job again or to hold it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
