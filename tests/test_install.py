"""tools/install.sh and path.sh, with real pip and venv on a recipe whose requirements are three tiny wheels."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]


def make_wheel(folder: Path, name: str, version: str) -> None:
    """An empty package that pip can install."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class Recipe:
    """A copy of the recipe's installer in a directory with a space in its name, and wheels to install."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "my recipe"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        for name in ("tools/install.sh", "path.sh", "utils/parse_options.sh", "utils/log.sh"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.require("torch==2.0  # reason", "whatever==1.0")
        (self.root / "tools/requirements-dev.txt").write_text("checker==3.0  # reason\n")
        for name, version in (("torch", "2.0"), ("torch", "2.0+cpu"), ("whatever", "1.0"), ("checker", "3.0")):
            make_wheel(self.wheels, name, version)
        self.venv = self.root / "tools" / "venv"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")
                            and key not in ("PYTHON", "PYTHONPATH")}
        self.environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
                             "PIP_FIND_LINKS": str(self.wheels), "PATH": f"{folder}/bin:{os.environ['PATH']}"}
        (folder / "bin").mkdir()
        self.gpu(False)

    def gpu(self, present: bool) -> None:
        """Make nvidia-smi answer as on a machine with a GPU, or without."""
        answer = "echo 'GPU 0: Tesla (UUID: GPU-1)'" if present else "exit 9"
        program = self.root.parent / "bin" / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{answer}\n")
        program.chmod(0o755)

    def require(self, *lines: str) -> None:
        (self.root / "tools/requirements.txt").write_text("\n".join(lines) + "\n")
        (self.root / "tools/constraints.txt").write_text("# none\n")

    def install(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", self.root / "tools/install.sh", "--python", sys.executable, *options],
                              env=self.environment | environment, capture_output=True, text=True, timeout=120)

    def packages(self) -> dict[str, str]:
        lines = subprocess.run([self.venv / "bin/python", "-m", "pip", "freeze"], env=self.environment,
                               capture_output=True, text=True, check=True).stdout.split()
        return dict(line.split("==") for line in lines if "==" in line)

    def source_path(self, then: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", f". '{self.root}/path.sh' || exit 1\n{then}"], cwd="/",
                              env=self.environment | environment, capture_output=True, text=True, timeout=30)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe whose environment was made once, from nothing, without a GPU; only looked at."""
    recipe = Recipe(tmp_path_factory.mktemp("installed"))
    done = recipe.install()
    assert done.returncode == 0, done.stderr
    return recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe without an environment."""
    return Recipe(tmp_path)


def copy_environment(installed: Recipe, recipe: Recipe) -> None:
    shutil.copytree(installed.venv, recipe.venv, symlinks=True)


@pytest.fixture
def complete(recipe: Recipe, installed: Recipe) -> Recipe:
    """A recipe with a complete environment of its own, a user's."""
    copy_environment(installed, recipe)
    return recipe


@pytest.fixture
def begun(recipe: Recipe, installed: Recipe) -> Recipe:
    """A recipe whose installation was stopped before any package was in (making environments takes long)."""
    copy_environment(installed, recipe)
    (recipe.venv / ".installed").unlink()
    for package in [*recipe.venv.rglob("torch*"), *recipe.venv.rglob("whatever*")]:
        shutil.rmtree(package) if package.is_dir() else package.unlink(missing_ok=True)
    return recipe


def test_without_a_gpu_torch_is_the_cpu_build(installed):
    assert installed.packages() == {"torch": "2.0+cpu", "whatever": "1.0"}


def test_an_installed_environment_is_left_alone_at_once(installed):
    before = installed.venv.stat().st_mtime_ns
    done = installed.install(PATH="/usr/bin:/bin", PIP_FIND_LINKS="/none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert installed.venv.stat().st_mtime_ns == before


def test_a_users_environment_becomes_a_developers_and_serves_both(complete):
    """The users' packages stay as they are; only the developers' wheel can be installed."""
    for wheel in (*complete.wheels.glob("torch*"), *complete.wheels.glob("whatever*")):
        wheel.unlink()
    done = complete.install("--dev", "true")
    assert done.returncode == 0, done.stderr
    assert "the developers' packages" in done.stderr and "torch" not in done.stderr
    assert complete.packages() == {"torch": "2.0+cpu", "whatever": "1.0", "checker": "3.0"}
    for options in ((), ("--dev", "true"), ("--dev", "false")):
        again = complete.install(*options, PATH="/usr/bin:/bin", PIP_FIND_LINKS="/none")
        assert (again.returncode, again.stderr) == (0, ""), options


def test_a_failed_completion_leaves_the_users_environment_usable(complete):
    (complete.root / "tools/requirements-dev.txt").write_text("checker==4\n")
    failed = complete.install("--dev", "true")
    assert failed.returncode == 1
    assert "No matching distribution found for checker==4" in failed.stderr
    assert complete.install().stderr == ""
    assert complete.source_path("true").returncode == 0
    make_wheel(complete.wheels, "checker", "4")
    assert complete.install("--dev", "true").returncode == 0
    assert complete.packages()["checker"] == "4"


def test_new_pins_of_users_keep_the_developers_packages_and_those_of_developers_ask_users_for_nothing(complete):
    make_wheel(complete.wheels, "whatever", "1.1")
    assert complete.install("--dev", "true").returncode == 0
    complete.require("torch==2.0", "whatever==1.1")
    assert complete.install().returncode == 0
    assert complete.packages() == {"torch": "2.0+cpu", "whatever": "1.1", "checker": "3.0"}
    assert complete.install("--dev", "true", PIP_FIND_LINKS="/none").stderr == ""
    (complete.root / "tools/requirements-dev.txt").write_text("checker==4\n")
    assert complete.install(PIP_FIND_LINKS="/none").stderr == ""


def test_one_command_makes_a_developers_environment_from_nothing_and_force_makes_it_again(recipe):
    done = recipe.install("--dev", "true")
    assert done.returncode == 0, done.stderr
    assert recipe.packages() == {"torch": "2.0+cpu", "whatever": "1.0", "checker": "3.0"}
    assert recipe.install("--force", "true").returncode == 0
    assert recipe.packages() == {"torch": "2.0+cpu", "whatever": "1.0"}
    assert recipe.install("--dev", "true").returncode == 0
    assert recipe.packages()["checker"] == "3.0"


def test_the_index_that_torch_came_from_outlives_the_completion(complete):
    stamp = complete.venv / ".installed"
    stamp.write_text(stamp.read_text().splitlines()[0] + "\nfile:///wheels\n\n")
    assert complete.install("--dev", "true").returncode == 0
    assert complete.install("--torch-index", "file:///wheels", PIP_FIND_LINKS="/none").stderr == ""


def test_path_finds_the_environment_from_any_directory(installed):
    show = 'echo "$PYTHONPATH|$LC_ALL|$PYTHONUTF8"; command -v python3; . "$PYTHONPATH/path.sh"; echo "$PATH"'
    values, python, path = installed.source_path(show).stdout.splitlines()
    assert values == f"{installed.root}|C|1"
    assert python == f"{installed.venv}/bin/python3"
    assert path.count(f"{installed.venv}/bin") == 1, "sourced twice"


def test_python_names_an_environment_of_ones_own(installed, recipe):
    own = str(installed.venv / "bin/python")
    assert recipe.install(PYTHON=own).returncode == 0, "2.0+cpu is a build of torch 2.0"
    assert recipe.source_path("command -v python3", PYTHON=own).stdout.strip() == f"{own}3"
    done = recipe.install("--dev", "true", PYTHON=own)
    assert done.returncode == 1 and "  checker: 3.0 wanted, found none\n" in done.stderr
    recipe.require("torch==2.0", "whatever==7", "missing==1")
    done = recipe.install(PYTHON=own)
    assert done.returncode == 1
    assert "  whatever: 7 wanted, found 1.0\n  missing: 1 wanted, found none\n" in done.stderr
    assert recipe.source_path("true", PYTHON="/no/python").returncode == 1


def test_a_failed_installation_is_not_used_and_goes_on_when_given_again(begun):
    begun.require("torch==2.0", "whatever==1.1")
    failed = begun.install("--news-every", "0")
    assert failed.returncode == 1
    assert "No matching distribution found for whatever==1.1" in failed.stderr
    assert "the packages could not be installed" in failed.stderr
    assert "  ... " in failed.stderr, "a long step tells how far it is"
    unusable = begun.source_path("true")
    assert unusable.returncode == 1
    assert f"run {begun.root}/tools/install.sh" in unusable.stderr
    make_wheel(begun.wheels, "whatever", "1.1")
    assert begun.install().returncode == 0
    assert begun.packages()["whatever"] == "1.1"
    assert begun.source_path("true").returncode == 0


def test_with_a_gpu_torch_is_the_cuda_build_and_a_useless_one_is_reported(begun):
    begun.gpu(True)
    done = begun.install()
    assert done.returncode == 0, done.stderr
    assert begun.packages()["torch"] == "2.0"
    assert "WARNING: there is a GPU, but this torch cannot use it" in done.stderr


def test_where_no_cpu_build_is_offered_the_plain_one_is_taken_with_a_word_about_it(begun):
    (begun.wheels / "torch-2.0+cpu-py3-none-any.whl").unlink()
    done = begun.install()
    assert done.returncode == 0, done.stderr
    assert begun.packages()["torch"] == "2.0"
    assert "no torch==2.0+cpu" in done.stderr and "--torch-index" in done.stderr


def test_two_at_a_time_wait_for_each_other_and_a_stopped_one_leaves_no_lock(begun):
    command = ["bash", begun.root / "tools/install.sh", "--python", sys.executable]
    first = subprocess.Popen(command, env=begun.environment, stderr=subprocess.PIPE, text=True)
    assert "torch==2.0+cpu" in first.stderr.readline()
    second = subprocess.Popen(command, env=begun.environment, stderr=subprocess.PIPE, text=True)
    assert "waiting for another install.sh" in second.stderr.readline()
    first.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert first.wait(timeout=20) == 130
    assert time.monotonic() - started < 5
    assert second.wait(timeout=60) == 0, second.stderr.read()
    assert begun.packages() == {"torch": "2.0+cpu", "whatever": "1.0"}
    first.stderr.close()
    second.stderr.close()


def test_what_is_missing_is_one_clear_line(recipe, tmp_path):
    no_venv = tmp_path / "bin" / "python-without-venv"
    no_venv.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n')
    no_venv.chmod(0o755)
    for options, words in ((["--python", "no-such-python"], "there is no 'no-such-python'"),
                           (["--python", str(no_venv)], "apt-get install python3-venv"),
                           (["--venv", str(recipe.wheels)], "is not empty and no environment either"),
                           (["--forse", "true"], "unknown option '--forse'")):
        done = recipe.install(*options)
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    assert not recipe.venv.exists()
    assert (recipe.wheels / "whatever-1.0-py3-none-any.whl").exists()
