"""utils/jobs/cmd_local.py keeps the contract of Kaldi's run.pl."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils import ROOT

DRIVER = ROOT / "utils/jobs/cmd_local.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a space in its name."""
    path = tmp_path / "a recipe"
    path.mkdir()
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(DRIVER), *map(str, arguments)]


def drive(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=folder, env={**os.environ, **environment}, timeout=30,
                          capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL)


def body(log: Path) -> str:
    """What the job itself wrote: the log without header and footer."""
    return "".join(line for line in log.read_text("utf-8").splitlines(True) if not line.startswith("#"))


def test_each_job_gets_its_id_its_arguments_unchanged_and_its_log(folder):
    wild = ["", "a  b", 'say "x"', "it's", "|", "$HOME", "语音", "a\nb", "*", "x=JOB.ark"]
    done = drive(folder, "--mem", "8G", "JOB=2:3", "log dir/x.JOB.log", "printf", "<%s>", *wild)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for job in (2, 3):
        expected = "".join(f"<{text}>" for text in wild).replace("JOB", str(job))
        assert expected in (folder / f"log dir/x.{job}.log").read_text("utf-8")
    assert sorted(path.name for path in (folder / "log dir").iterdir()) == ["x.2.log", "x.3.log"]


def test_any_name_stands_for_the_job_id_and_one_id_needs_no_range(folder):
    assert drive(folder, "--time=4:0:0", "fold=7", "fold.log", "echo", "part-fold").returncode == 0
    assert body(folder / "7.log") == "part-7\n"


def test_one_argument_with_spaces_is_a_shell_command(folder):
    assert drive(folder, "JOB=1:2", "JOB.log", "printf 'b JOB\\na JOB\\n' | sort").returncode == 0
    assert body(folder / "2.log") == "a 2\nb 2\n"
    assert drive(folder, "pipe.log", "false | cat").returncode == 1, "a pipe must not hide a failure"


@pytest.mark.parametrize(("call", "output"), [  # as Kaldi's steps/ write them
    (["cat", "in.JOB", r"\|", "sort", "-r", r"\|", "head", "-n1"], "b JOB\n"),
    (["cat", "in.JOB", ">", "out.JOB", r"\&\&", "echo", "$(cat out.JOB | wc -l)", r"\;", "echo", "end"], "2\nend\n"),
    (["printf", "[%s]", "ark:gunzip -c x.gz|", "ark,t:say \"x\" y", "$HOME", "$HOME is", r"\;", "echo"],
     "[ark:gunzip -c x.gz|][ark,t:say \"x\" y][/home/k][/home/k is]\n"),
])
def test_kaldi_recipes_calls_work_with_a_shell(folder, call, output):
    for job in (1, 2):
        (folder / f"in.{job}").write_text(f"a {job}\nb {job}\n")
    words = [word.replace("\\", "") for word in call]  # the recipe's shell takes the backslashes away
    options = ["-l", "hostname=b*", "-q", "all.q", "-V", "-sync", "y", "-tc", 1, "--shell", "true"]
    done = drive(folder, *options, "JOB=1:2", "JOB.log", *words, HOME="/home/k")
    assert done.returncode == 0, done.stderr
    assert body(folder / "2.log") == output.replace("JOB", "2")


def test_a_shells_words_without_a_shell_are_pointed_out_when_the_job_fails(folder):
    assert "put --shell true" in drive(folder, "x.log", "false", "|", "cat").stderr
    assert "--shell" not in drive(folder, "x.log", "false", "a|b").stderr


def test_threads_and_limits_in_grid_engines_words(folder):
    script = "mkdir busy && sleep 0.1 && rmdir busy; echo $OMP_NUM_THREADS"
    assert drive(folder, "-tc", 1, "-pe", "smp", 3, "JOB=1:3", "JOB.log", "bash", "-c", script).returncode == 0
    assert body(folder / "3.log") == "3\n"


def test_a_log_tells_what_ran_where_and_how_it_ended(folder):
    drive(folder, "x.log", "bash", "-c", "echo out; echo err >&2; exit 3")
    head, *_, accounting, end = (folder / "x.log").read_text().splitlines()
    assert head == "# bash -c 'echo out; echo err >&2; exit 3'"
    assert body(folder / "x.log") == "out\nerr\n"
    assert accounting.startswith("# Accounting: time=")
    assert end.startswith("# Ended (code 3) at ")


def test_a_failure_is_counted_and_shown_with_the_end_of_its_log(folder):
    script = "for i in {1..50}; do echo line $i; done; [ JOB = 1 ] || { echo job JOB broke; exit 2; }"
    done = drive(folder, "JOB=1:4", "log/x.JOB.log", "bash", "-c", script)
    assert done.returncode == 1
    assert "3 of 4 jobs failed (JOB=2, 3, 4)" in done.stderr
    assert "job 2 broke" in done.stderr
    assert "line 49" in done.stderr
    assert "line 9\n" not in done.stderr
    assert done.stderr.endswith("The whole log: log/x.2.log\n")
    assert "Ended (code 0)" in (folder / "log/x.1.log").read_text()


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("./not-executable", 126)])
def test_a_command_that_cannot_start_is_a_failed_job(folder, program, code):
    (folder / "not-executable").write_text("text")
    done = drive(folder, "x.log", program)
    assert done.returncode == 1
    assert f"{program}: cannot be run" in done.stderr
    assert f"# Ended (code {code})" in (folder / "x.log").read_text()


def test_a_job_killed_by_a_signal_failed(folder):
    assert drive(folder, "x.log", "bash", "-c", "kill -9 $$").returncode == 1
    assert "# Ended (code 137)" in (folder / "x.log").read_text()


def test_no_more_jobs_at_once_than_allowed(folder):
    script = "mkdir busy && sleep 0.1 && rmdir busy"
    assert drive(folder, "--max-jobs-run", 1, "JOB=1:4", "x.JOB.log", "bash", "-c", script).returncode == 0


def test_jobs_run_side_by_side(folder):
    meet = "touch JOB; for i in {1..200}; do [ -e 1 -a -e 2 ] && exit 0; sleep 0.05; done; exit 1"
    assert drive(folder, "--max-jobs-run", 2, "JOB=1:2", "x.JOB.log", "bash", "-c", meet).returncode == 0


def test_jobs_share_out_the_gpus_and_wait_for_a_free_one(folder):
    script = "mkdir gpu$CUDA_VISIBLE_DEVICES && sleep 0.1 && rmdir gpu* && echo $CUDA_VISIBLE_DEVICES"
    done = drive(folder, "--gpu", 2, "--max-jobs-run", 3, "JOB=1:3", "x.JOB.log", "bash", "-c", script,
                 CUDA_VISIBLE_DEVICES="4,6")
    assert done.returncode == 0, done.stderr
    assert {body(folder / f"x.{job}.log") for job in (1, 2, 3)} == {"4,6\n"}
    drive(folder, "--gpu", 1, "--max-jobs-run", 2, "JOB=1:2", "x.JOB.log",
          "bash", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 0.2", CUDA_VISIBLE_DEVICES="4,6")
    assert {body(folder / f"x.{job}.log") for job in (1, 2)} == {"4\n", "6\n"}
    too_many = drive(folder, "--gpu", 3, "x.log", "true", CUDA_VISIBLE_DEVICES="4,6")
    assert too_many.returncode == 1
    assert "--gpu 3: this machine offers 2 (4, 6)" in too_many.stderr


def test_gpu_jobs_run_without_one_where_there_is_none(folder):
    assert drive(folder, "--gpu", 1, "x.log", "echo", "ran", CUDA_VISIBLE_DEVICES="").returncode == 0
    assert body(folder / "x.log") == "ran\n"


def test_threads_of_a_job(folder):
    def threads(*options: object) -> str:
        drive(folder, *options, "JOB.log", "bash", "-c", "echo ${OMP_NUM_THREADS:-all}", OMP_NUM_THREADS="")
        return body(folder / "1.log")

    assert threads("JOB=1:2") == "1\n", "jobs side by side must not fight for the cores"
    assert threads("JOB=1:1") == "all\n"
    assert threads("--num-threads", 3, "JOB=1:2") == "3\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_job_with_all_it_started(folder, number):
    script = "sleep 300 & echo $! >pid.JOB.new; mv pid.JOB.new pid.JOB; wait"
    driver = subprocess.Popen(command("--max-jobs-run", 2, "JOB=1:3", "x.JOB.log", "bash", "-c", script),
                              cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while len(list(folder.glob("pid.[12]"))) < 2:
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(number)
    _, errors = driver.communicate(timeout=20)
    assert driver.returncode == 128 + number
    assert f"stopped by {number.name}" in errors
    for job in (1, 2):
        pid = int((folder / f"pid.{job}").read_text())
        assert not _alive(pid), "the job's own child must be gone"
        assert "# Ended (code 143)" in (folder / f"x.{job}.log").read_text()
    assert not (folder / "x.3.log").exists(), "what waited must not start"


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(("arguments", "words"), [
    (["JOB=1:3", "x.log", "true"], "3 jobs cannot write one log; put JOB into its name"),
    (["JOB=3:1", "x.JOB.log", "true"], "JOB=3:1: "),
    (["JOB=0:1", "x.JOB.log", "true"], "JOB=0:1: "),
    (["JOB=1:n", "x.JOB.log", "true"], "JOB=1:n: a job range looks like JOB=1:8"),
    (["x.log"], "a log file and a command are needed"),
    (["--gpu", "one", "x.log", "true"], "--gpu must be a whole number"),
    (["--max-jobs-run", "0", "x.log", "true"], "--max-jobs-run must be a whole number of at least 1"),
    (["--max-job-run", "2", "x.log", "true"], "did you mean --max-jobs-run?"),
    (["--gpu"], "--gpu needs a value"),
    (["-l", "x.log", "true"], "a log file and a command are needed"),
])
def test_a_wrong_call_is_one_clear_line(folder, arguments, words):
    done = drive(folder, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(folder.iterdir())


def test_the_job_drivers_need_no_environment(folder):
    """The drivers use the standard library only, because cmd.sh must work without an environment."""
    bare = [sys.executable, "-S", "-I", str(DRIVER), "x.log", "echo", "ran"]
    assert subprocess.run(bare, cwd=folder, timeout=30).returncode == 0
    assert body(folder / "x.log") == "ran\n"


def test_a_dry_run_shows_what_would_run(folder):
    done = drive(folder, "--dry-run", "JOB=1:2", "log/x.JOB.log", "echo", "a b", "JOB")
    assert done.stdout == "echo 'a b' 1 >log/x.1.log 2>&1\necho 'a b' 2 >log/x.2.log 2>&1\n"
    assert not list(folder.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux feature")
def test_jobs_end_with_a_driver_that_is_killed_for_good(folder):
    """Otherwise they would write the same files as the jobs of a second call."""
    driver = subprocess.Popen(command("JOB=1:2", "JOB.log", "sh", "-c", "echo $$ >pid.JOB; exec sleep 100"), cwd=folder)
    pids = [folder / "pid.1", folder / "pid.2"]
    deadline = time.monotonic() + 60
    while not all(path.exists() and path.read_text().strip() for path in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    jobs = [int(path.read_text()) for path in pids]
    driver.kill()
    driver.wait()

    def alive(pid):
        try:
            return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False

    while any(map(alive, jobs)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, jobs))
