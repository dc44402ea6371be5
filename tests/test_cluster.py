"""The drivers, and stages 2 to 5, on a real Slurm and a real Grid Engine (tools/cluster.sh)."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from made_corpus import write_set

from utils import ROOT

DAEMONS = {"slurm": ("munged", "slurmctld", "slurmd", "sbatch"), "sge": ("sge_qmaster", "sge_execd", "qsub")}
WILD = ["", "a  b", 'say "x"', "it's", "|", "$HOME", "`id`", "语音", "a\nb", "*", "x=JOB.ark", "\\"]

pytestmark = pytest.mark.cluster


@dataclass
class Cluster:
    """A running engine; drivers and recipes work in ``folder``."""

    engine: str
    environment: dict[str, str]
    state: Path  # where the daemons keep their files
    folder: Path = field(default_factory=Path)

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, str(ROOT / f"utils/jobs/cmd_{self.engine}.py"), *map(str, arguments)]

    def drive(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), cwd=self.folder, env={**self.environment, **environment},
                              timeout=240, capture_output=True, text=True, encoding="utf-8")

    def waits_or_runs(self) -> str:
        """The jobs that wait or run, as the engine lists them; empty if there are none."""
        query = ["squeue", "--noheader"] if self.engine == "slurm" else ["qstat"]
        return subprocess.run(query, env=self.environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", params=["slurm", "sge"])
def engine(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [program for program in DAEMONS[request.param] if not shutil.which(program, path=path)]
    if missing:
        pytest.skip(f"{request.param} is not installed (no {missing[0]}): tools/cluster.sh install {request.param}")
    script = ROOT / "tools/cluster.sh"
    directory = tempfile.mkdtemp(prefix="cluster-")  # pytest clears its own away when others run after it
    state = {**os.environ, "CLUSTER_DIR": directory}
    started = subprocess.run([script, "up", request.param], env=state, capture_output=True, text=True, timeout=300)
    try:
        assert started.returncode == 0, started.stderr
        exports = shlex.split(started.stdout.replace("export ", ""))
        variables = dict(word.split("=", 1) for word in exports)
        yield Cluster(request.param, {**os.environ, **variables, "CMD_GRACE_SECONDS": "3"},
                      Path(directory) / request.param)
    finally:
        subprocess.run([script, "down", request.param], env=state, check=True, timeout=120)
        shutil.rmtree(directory)


@pytest.fixture
def cluster(engine: Cluster, tmp_path: Path) -> Cluster:
    folder = tmp_path / "a recipe"
    folder.mkdir()
    return Cluster(engine.engine, engine.environment, engine.state, folder)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.1)


def test_an_array_gets_its_arguments_unchanged_and_keeps_its_script(cluster):
    done = cluster.drive("--max-jobs-run", 2, "JOB=2:4", "log dir/x.JOB.log", "printf", "<%s>", *WILD)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for job in (2, 3, 4):
        expected = "".join(f"<{text}>" for text in WILD).replace("JOB", str(job))
        assert expected in (cluster.folder / f"log dir/x.{job}.log").read_text("utf-8")
    assert sorted(path.name for path in (cluster.folder / "log dir/q").iterdir()) == ["x.log", "x.sh"]


def test_no_more_jobs_at_once_than_allowed(cluster):
    script = "mkdir busy && sleep 1 && rmdir busy"
    done = cluster.drive("--max-jobs-run", 1, "JOB=1:3", "x.JOB.log", "bash", "-c", script)
    assert done.returncode == 0, done.stderr


def test_a_job_that_asks_for_resources_runs(cluster):
    done = cluster.drive("--gpu", 1, "--mem", "100M", "--num-threads", 2, "--time", "0:5:0", "x.log",
                         "bash", "-c", "echo threads $OMP_NUM_THREADS")
    assert done.returncode == 0, done.stderr
    assert "threads 2\n" in (cluster.folder / "x.log").read_text()


def test_a_failure_is_counted_and_shown_with_the_end_of_its_log(cluster):
    done = cluster.drive("JOB=1:3", "log/x.JOB.log", "bash", "-c", "[ JOB = 1 ] || { echo job JOB broke; exit 99; }")
    assert done.returncode == 1
    assert "2 of 3 jobs failed (JOB=2, 3)" in done.stderr
    assert "job 2 broke" in done.stderr
    assert done.stderr.endswith("The whole log: log/x.2.log\n")


def test_a_killed_job_fails_the_step(cluster):
    done = cluster.drive("x.log", "bash", "-c", "echo began; kill -9 $PPID; sleep 60")
    assert done.returncode == 1
    assert "1 of 1 jobs failed" in done.stderr and "ended without an exit code" in done.stderr


def test_a_job_over_its_time_fails_the_step(cluster):
    """Slurm's limits are in minutes, and it checks them every half minute."""
    done = cluster.drive("--time", "0:0:5", "x.log", "bash", "-c", "echo began; sleep 200; echo ended")
    assert done.returncode == 1
    assert "1 of 1 jobs failed" in done.stderr
    assert "began" in done.stderr and "ended\n" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_what_was_submitted(cluster, number):
    driver = subprocess.Popen(cluster.command("--max-jobs-run", 1, "JOB=1:2", "x.JOB.log",
                                              "bash", "-c", "touch began; sleep 200"),
                              cwd=cluster.folder, env=cluster.environment, stderr=subprocess.PIPE, text=True)
    wait_for(cluster.folder / "began")
    driver.send_signal(number)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 128 + number
    assert f"stopped by {number.name}" in errors
    deadline = time.monotonic() + 60
    while cluster.waits_or_runs():
        assert time.monotonic() < deadline, cluster.waits_or_runs()
        time.sleep(0.5)
    assert not (cluster.folder / "x.2.log").exists(), "what waited must not start"


def test_what_the_engine_refuses_is_said(cluster):
    asked = {"slurm": ["--gpu", 77], "sge": ["-l", "no_such_resource=1"]}[cluster.engine]
    done = cluster.drive(*asked, "x.log", "true")
    assert done.returncode == 1
    assert "cannot submit: " in done.stderr and done.stderr.count("\n") == 1


OPTIONS = ["--corpus-name", "", "--nj", "2", "--inference-nj", "2", "--tag", "tiny", "--tolerance", "1000",
           "--train-args", "model.model_train_argv.max_steps=2 model.lora.r=2"]


def run_recipe(recipe: Path, *options: object, timeout: float = 900, **environment: str) -> None:
    """run.sh with a random model. Its timeout is generous: a machine with two cores may have other things to do."""
    done = subprocess.run([ROOT / "run.sh", *OPTIONS, *map(str, options)], cwd=recipe, capture_output=True, text=True,
                          env={**os.environ, **environment, "PYTHON": sys.executable}, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prepared(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of a made corpus after stages 0 and 1, which need no cluster."""
    recipe = tmp_path_factory.mktemp("prepared")
    for name, count in (("train", 4), ("dev", 2), ("test", 2)):
        write_set(recipe / "data" / name, count)
    run_recipe(recipe, "--stop-stage", 1, "--model", tiny_whisper)
    return recipe


def test_stages_two_to_five(cluster, prepared, tiny_whisper):
    """Features, training, decoding and export, each part on a node; training on two of Slurm's."""
    recipe = cluster.folder
    shutil.copytree(prepared, recipe, dirs_exist_ok=True)
    num_nodes = 2 if cluster.engine == "slurm" else 1
    run_recipe(recipe, "--stage", 2, "--model", tiny_whisper, "--num-nodes", num_nodes, **cluster.environment,
               cmd_backend=cluster.engine)
    assert json.loads((recipe / "exp/tiny/train_summary.json").read_text())["processes"] == num_nodes
    if num_nodes == 2:
        assert "--nodes=2" in (recipe / "exp/tiny/log/q/train.sh").read_text()
    systems = {result["system"] for result in json.loads((recipe / "exp/tiny/results.json").read_text())}
    assert systems == {name + search for name in ("base", "lora", "ct2-int8") for search in ("", "-greedy")}
    for system in ("lora", "ct2-int8"):
        assert len((recipe / f"exp/tiny/decode_test_{system}/text").read_text("utf-8").splitlines()) == 8
        assert (recipe / f"exp/tiny/log/q/decode_test_{system}.sh").is_file()
        assert (recipe / f"exp/tiny/log/decode_test_{system}.2.log").is_file()
    assert (recipe / "exp/log/q/dump_test.sh").is_file()


def test_kaldis_own_script_runs_features(engine, prepared, tiny_whisper, tmp_path):
    """slurm.pl or queue.pl, named in cmd.sh; they want a directory without spaces."""
    scripts = Path(os.environ.get("KALDI_ROOT", "/nowhere"), "egs/wsj/s5/utils/parallel")
    script = {"slurm": "slurm.pl", "sge": "queue.pl"}[engine.engine]
    if not (scripts / script).is_file():
        pytest.skip(f"no {script}: KALDI_ROOT does not name a Kaldi directory")
    shutil.copytree(prepared, tmp_path / "recipe")
    # Their job scripts source the path.sh of the directory, and hand over no more than PATH.
    (tmp_path / "recipe/path.sh").write_text(f"export PYTHON='{sys.executable}'\n. '{ROOT}/path.sh'\n")
    environment = {**engine.environment, "cmd_backend": script, "PATH": f"{scripts}:{engine.environment['PATH']}"}
    run_recipe(tmp_path / "recipe", "--stage", 2, "--stop-stage", 2, "--model", tiny_whisper, **environment)
    assert len((tmp_path / "recipe/dump/train/feats.scp").read_text("utf-8").splitlines()) == 16
    assert "with status 0" in (tmp_path / "recipe/exp/log/dump_train.2.log").read_text("utf-8")


def test_a_job_whose_node_vanishes_fails_the_step(cluster):
    """This test runs last, because the cluster cannot run jobs afterwards."""
    driver = subprocess.Popen(cluster.command("x.log", "bash", "-c", "touch began; sleep 200"), cwd=cluster.folder,
                              env=cluster.environment, stderr=subprocess.PIPE, text=True)
    wait_for(cluster.folder / "began")
    for file in cluster.state.glob({"slurm": "slurmd-node*.pid", "sge": "spool/execd/*/execd.pid"}[cluster.engine]):
        os.kill(int(file.read_text()), signal.SIGKILL)
    _, errors = driver.communicate(timeout=180)
    assert driver.returncode == 1
    assert "1 of 1 jobs failed" in errors and "ended without an exit code" in errors
