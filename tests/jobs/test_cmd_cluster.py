"""The cluster drivers up to the call of the scheduler; tests/test_cluster.py tests the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils import ROOT

WILD = ["", "a  b", 'say "x"', "it's", "|", "$HOME", "`id`", "语音", "a\nb", "*", "x=JOB.ark", "\\", "{JOB}"]
CONF = """\
# a comment
command {submit} -A $PROJECT   # $PROJECT is the shell's
option mem=* --mem=$0
option mem=0
option gpu=0 -p cpu
option gpu=* -p gpu --gres=gpu:$0
option num_threads=* -c $0
default gpu=0
"""
SUBMIT = {"slurm": "sbatch", "sge": "qsub"}


@pytest.fixture(params=["slurm", "sge"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(tmp_path: Path, engine: str) -> Path:
    """A working directory with a space in its name and a conf file."""
    path = tmp_path / "a recipe"
    (path / "conf").mkdir(parents=True)
    write_conf(path, engine, CONF.format(submit=SUBMIT[engine]))
    return path


def write_conf(folder: Path, engine: str, text: str) -> None:
    (folder / "conf" / {"slurm": "slurm.conf", "sge": "queue.conf"}[engine]).write_text(text)


def drive(folder: Path, engine: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """No scheduler is on this PATH."""
    driver = [sys.executable, ROOT / f"utils/jobs/cmd_{engine}.py", *map(str, arguments)]
    environment = {**os.environ, "PROJECT": "speech", "PATH": "/nowhere"}
    return subprocess.run(driver, cwd=folder, capture_output=True, text=True, encoding="utf-8", env=environment,
                          timeout=30)


def dry_run(folder: Path, engine: str, *arguments: object) -> tuple[str, str]:
    """The submit command and the job script."""
    done = drive(folder, engine, "--dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["conf"], "nothing may be written"
    command, _, script = done.stdout.partition("\n\n")
    return command, script


@pytest.mark.parametrize(("options", "flags"), [
    ([], "-p cpu"),
    (["--mem", "8G"], "-p cpu --mem=8G"),
    (["--mem", "0"], "-p cpu"),
    (["--gpu", "2", "--num-threads", "4"], "-p gpu --gres=gpu:2 -c 4"),
    (["--gpu", "2", "--gpu", "0"], "-p cpu"),
])
def test_conf_file_says_what_options_mean(folder, engine, options, flags):
    command, _ = dry_run(folder, engine, *options, "x.log", "true")
    assert command.startswith(f"{SUBMIT[engine]} -A speech {flags} -")


def test_a_schedulers_own_options_are_passed_on(folder, engine):
    command, _ = dry_run(folder, engine, "-q", "long", "-V", "-pe", "smp", 2, "-sync", "y", "-tc", 3, "JOB=1:9",
                         "x.JOB.log", "true")
    assert f"{SUBMIT[engine]} -A speech -p cpu -q long -V -pe smp 2 -" in command
    assert ("--array=1-9%3" if engine == "slurm" else "-t 1-9 -tc 3") in command


def test_an_array_and_its_running_limit(folder, engine):
    command, script = dry_run(folder, engine, "--max-jobs-run", 3, "JOB=2:9", "log/x.JOB.log", "true")
    assert ("--array=2-9%3" if engine == "slurm" else "-t 2-9 -tc 3") in command
    assert command.endswith(f"'{folder}/log/q/x.sh'")
    assert command in script, "the script tells how it was submitted"


def test_job_script_gives_the_arguments_as_they_were(folder, engine):
    """The job script also works when it is called by hand, from any directory."""
    _, script = dry_run(folder, engine, "--num-threads", 3, "JOB=1:4", "log dir/x.JOB.log", "/usr/bin/printf",
                        "<%s>", *WILD)
    (folder / "x.sh").write_text(script, "utf-8")
    task = {"slurm": "SLURM_ARRAY_TASK_ID", "sge": "SGE_TASK_ID"}[engine]
    done = subprocess.run(["bash", folder / "x.sh"], cwd="/", env={**os.environ, task: "3"}, timeout=30)
    assert done.returncode == 0
    log = (folder / "log dir/x.3.log").read_text("utf-8")
    assert "".join(f"<{text}>" for text in WILD).replace("JOB", "3") in log
    assert "threads=3\n# Ended (code 0) at " in log


@pytest.mark.parametrize(("options", "words"), [
    (["--time", "1:0:0"], "--time: conf/{conf} does not define this option; add a line 'option time=* ...'"),
    (["--config", "absent.conf"], "--config absent.conf: no such file"),
    (["--num-thread", "2"], "did you mean --num-threads?"),
    (["--max-jobs-run", "0"], "--max-jobs-run must be a whole number of at least 1"),
    (["--mem"], "--mem needs a value"),
    ([], "cannot submit: "),
])
def test_a_wrong_call_is_one_clear_line(folder, engine, options, words):
    done = drive(folder, engine, *options, *([] if options == ["--mem"] else ["JOB=1:2", "log/x.JOB.log", "true"]))
    assert done.returncode == 1
    assert words.format(conf="slurm.conf" if engine == "slurm" else "queue.conf") in done.stderr
    assert done.stderr.count("\n") == 1


FAKE_SLURM = {  # jobs are processes of this machine, named by their id; squeue lists those that live
    "sbatch": 'setsid bash "${@: -1}" >/dev/null 2>&1 & echo $!',
    "squeue": 'for a in "$@"; do [[ $a != --jobs=* ]] || ! kill -0 "${a#*=}" 2>/dev/null || echo "N/A|RUNNING|"; done',
    "scancel": 'echo "$1" >>cancelled; kill -KILL -- "-$1"',
    "scontrol": "true",
}


def test_what_a_killed_driver_had_submitted_is_cancelled_before_the_same_is_submitted_again(tmp_path):
    for name, script in FAKE_SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CMD_GRACE_SECONDS": "5"}
    job = [sys.executable, ROOT / "utils/jobs/cmd_slurm.py", "log/x.log", "sh", "-c", "test -e done || exec sleep 100"]
    driver = subprocess.Popen(job, cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log/x.log").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    orphan = (tmp_path / "log/q/x.id").read_text()
    driver.kill()
    driver.wait()
    (tmp_path / "done").touch()
    again = subprocess.run(job, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert f"cancelling job {orphan}, which a killed run left" in again.stderr
    assert (tmp_path / "cancelled").read_text() == f"{orphan}\n"
    assert not (tmp_path / "log/q/x.id").exists()


@pytest.mark.parametrize(("text", "words"), [
    ("option mem=* --mem=$0\n", "no 'command ...' line"),
    ("command x\nmem=8G\n", ":2: cannot be read: 'mem=8G'"),
    ("command x 'y\n", ":1: no closing quotation"),
    ("command x\noption mem=8G -m 8\n", "--mem 4G: {conf} allows only 8G"),
    ("command x\noption mem=* -m $0\ndefault gpu=0\n", "--gpu: {conf} does not define this option"),
])
def test_a_wrong_conf_file_is_named_with_its_line(folder, engine, text, words):
    write_conf(folder, engine, text)
    done = drive(folder, engine, "--dry-run", "--mem", "4G", "x.log", "true")
    assert done.returncode == 1
    assert words.format(conf="conf/" + ("slurm.conf" if engine == "slurm" else "queue.conf")) in done.stderr


def test_recipes_own_conf_files_take_what_the_recipe_asks_for(tmp_path, engine):
    options = ["--mem", "4G", "--gpu", "1", "--num-threads", "2", "--time", "1:0:0", "--max-jobs-run", "2"]
    done = drive(tmp_path, engine, "--dry-run", *options, "JOB=1:4", "x.JOB.log", "true")
    assert done.returncode == 0, done.stderr
    assert "gpu" in done.stdout and "4G" in done.stdout and "1:0:0" in done.stdout


@pytest.mark.parametrize(("backend", "driver"),
                         [("", "cmd_local.py"), ("slurm", "cmd_slurm.py"), ("sge", "cmd_sge.py")])
def test_one_variable_chooses_where_jobs_run(tmp_path, backend, driver):
    shell = f'. "{ROOT}/path.sh"; . "{ROOT}/cmd.sh"; for cmd in "$train_cmd" "$cuda_cmd" "$decode_cmd"; do ' \
            '$cmd --dry-run JOB=1:1 x.JOB.log echo JOB >/dev/null; echo "${cmd%% *}"; done'
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", shell], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHON": sys.executable, "cmd_backend": backend}, timeout=60)
    assert (done.stdout, done.stderr) == (f"{driver}\n" * 3, "")


def test_an_unknown_back_end_is_refused():
    shell = f'. "{ROOT}/cmd.sh"'
    done = subprocess.run(["bash", "-e", "-c", shell], capture_output=True, text=True,
                          env={**os.environ, "cmd_backend": "pbs"})
    assert done.returncode == 1
    assert "unknown cmd_backend 'pbs'; it is local, slurm, sge, or Kaldi's run.pl, slurm.pl, queue.pl" in done.stderr
