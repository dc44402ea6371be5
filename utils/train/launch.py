"""Training in several processes: torchrun on one machine, or on the machines of a Slurm job."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

import torch

from utils.cli import log
from utils.errors import UserError


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def exit_with_launcher() -> None:
    """Have the kernel kill this process when torchrun, its parent, ends (Linux). Otherwise it would keep its GPU."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def launch(ngpu: int, num_nodes: int, command: Sequence[str]) -> None:
    """Run a Python script in ``ngpu`` processes on each of ``num_nodes`` machines, and wait for them.

    If one process dies, the others are stopped. Without a GPU the processes use the CPU (gloo).

    Args:
        command: the script and its arguments.

    Raises:
        UserError: there are fewer than ``ngpu`` GPUs, several machines without Slurm, or a process failed.
    """
    offered = torch.cuda.device_count()
    if 0 < offered < ngpu:
        raise UserError(f"--ngpu {ngpu}: this machine offers {offered}")
    log(f"{ngpu} processes on each of {num_nodes} machines, {'a GPU each' if offered else 'on the CPU'}")
    torchrun = [f"--nnodes={num_nodes}", f"--nproc-per-node={ngpu}", "--max-restarts=0"]
    if num_nodes == 1:
        _run_here([*torchrun, "--standalone", *command])
    else:
        _run_through_slurm([*torchrun, *_rendezvous(), *command], num_nodes)


def _run_here(arguments: list[str]) -> None:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise UserError(f"process {rank} ended with exit code {failure.exitcode}, and the others were stopped; its "
                        "output is above. The same command again continues from the last checkpoint") from None
    except SignalException as error:
        raise UserError(f"stopped by {error.sigval.name}") from None


def _rendezvous() -> list[str]:
    """torchrun's rendezvous options: the machines of a Slurm job meet on the first one, which is this one."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        raise UserError("--num-nodes: several machines need Slurm; set cmd_backend=slurm (see cmd.sh)")
    port = 20000 + int(job) % 20000  # differs from that of another job on the same machine
    return ["--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={socket.gethostname()}:{port}"]


def _run_through_slurm(arguments: list[str], num_nodes: int) -> None:
    srun = ["srun", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    code = subprocess.run([*srun, sys.executable, "-m", "torch.distributed.run", *arguments]).returncode
    if code:
        raise UserError(f"a machine's processes ended with exit code {code}, and the others were stopped; their "
                        "output is above. The same command again continues from the last checkpoint")
