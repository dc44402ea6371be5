"""The recipe killed at random moments, on a full disk, on a disk that is read-only: the same command again finishes.

The results are those of an undisturbed run, byte for byte. KILLS=100 tools/test.sh --kill kills more.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_corpus import write_set

ROOT = Path(__file__).resolve().parents[1]
EXP = Path("exp/tiny")
OPTIONS = ("--corpus-name", "", "--tag", EXP.name, "--nj", "2", "--ngpu", "0", "--audio", "none", "--tolerance", "1000",
           "--train-args", "model.lora.r=4 model.model_train_argv.max_steps=6 model.model_train_argv.eval_steps=2 "
           "model.model_train_argv.save_steps=2 model.model_train_argv.use_cpu=true predict.max_frames=1000")
KILLS = int(os.environ.get("KILLS", "12"))
SEED = int(os.environ.get("KILL_SEED", str(random.randrange(10_000))))
pytestmark = pytest.mark.kill


def start(work: Path, model: Path, screen: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with screen.open("wb") as stream:
        return subprocess.Popen([ROOT / "run.sh", *OPTIONS, "--model", model, *arguments], cwd=work, env=environment,
                                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)


def run(work: Path, model: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and screen output of an undisturbed run."""
    screen = work.parent / f"{work.name}.screen"
    code = start(work, model, screen, *arguments).wait(timeout=3600)
    return code, screen.read_text("utf-8")


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task lists of three sets, with absolute paths of audio, so that every copy of them says the same."""
    made = tmp_path_factory.mktemp("made")
    for number, (name, count) in enumerate({"train": 4, "dev": 2, "test": 2}.items()):
        write_set(made / name, count, seed=number)
    return made


def new_work(directory: Path, lists: Path) -> Path:
    for set_dir in lists.iterdir():
        for task in ("transcribe", "translate"):
            shutil.copytree(set_dir / task, directory / "data" / set_dir.name / task)
    return directory


@pytest.fixture(scope="module")
def undisturbed(lists: Path, tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = new_work(tmp_path_factory.mktemp("undisturbed") / "work", lists)
    code, screen = run(work, tiny_whisper)
    assert code == 0, screen
    return results(work)


def results(work: Path) -> dict[str, Any]:
    """All that a run makes and that does not tell the time: contents by path."""
    found: dict[str, Any] = {}
    patterns = ("data/*/*", "data/*/t*/*", "dump/*/*", *(str(EXP / name) for name in (
        "adapter*", "config.yaml", "data.json", "merged/*", "ct2_int8/*", "decode_*/*", "decode_*/score_*/*",
        "results.json")))
    for path in sorted(path for pattern in patterns for path in work.glob(pattern)
                       if path.is_file() and ".steps" not in path.parts):  # markers tell the time
        content: Any = path.read_bytes()
        if path.suffix == ".json":
            content = without_times(json.loads(content))
        elif path.name == "README.md":  # a model card
            content = re.sub(rb"\| training time \|.*", b"", content)
        found[str(path.relative_to(work))] = content
    return found


MEASURED = {"seconds", "speed", "tuned_speed", "memory_before_mb", "peak_memory_mb", "memory_mb", "tuned_memory_mb"}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in MEASURED}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def assert_same(work: Path, expected: dict[str, Any]) -> None:
    found = results(work)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    assert [path for path in work.rglob(".*") if path.name.endswith((".partial", ".old"))] == []


def test_killed_anywhere_it_finishes_with_the_same_results(
        lists: Path, tiny_whisper: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """Each kill comes at a random moment after a random line of the log, so that all steps have their share."""
    work, screen = new_work(tmp_path / "work", lists), tmp_path / "screen"
    rng = random.Random(SEED)
    places = []
    for _ in range(KILLS):
        process = start(work, tiny_whisper, screen)
        time.sleep(0.5)
        while process.poll() is None and not re.search(r": (never made|begun |its output|other )", screen.read_text()):
            time.sleep(0.05)  # what is finished is passed over first
        time.sleep(rng.uniform(0, 8) if rng.random() < 0.8 else rng.uniform(8, 30))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode == 0:
            break
        process.wait()
        text = screen.read_text("utf-8")
        assert "Traceback" not in text and "error:" not in text, text
        places.append(text.strip().splitlines()[-1].split(") ")[-1] if text.strip() else "")
    print(f"KILL_SEED={SEED}", *places, sep="\n")
    code, text = run(work, tiny_whisper)
    assert code == 0, f"KILL_SEED={SEED}\n{text}"
    assert_same(work, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 MB."""
    disk = tmp_path / "small disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def assert_one_clear_line(code: int, screen: str, words: str) -> None:
    assert code == 1 and "Traceback" not in screen, screen
    assert re.search(rf"error: .*{words}", screen), screen


def test_a_disk_that_is_full_or_read_only_is_named_and_nothing_is_lost(
        lists: Path, tiny_whisper: Path, undisturbed: dict[str, Any], small_disk: Path) -> None:
    work = new_work(small_disk / "work", lists)
    filler = small_disk / "filler"
    for room in (4_000, 60_000, 400_000, 1_500_000, 4_000_000):  # bytes: each is too few for another step
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(bytes(max(0, free - room)))
        code, screen = run_elsewhere(work, tiny_whisper, small_disk.parent)
        filler.unlink()
        if code:
            assert_one_clear_line(code, screen, "([Nn]o space left on device|is the disk full|GB free)")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert_one_clear_line(*run_elsewhere(work, tiny_whisper, small_disk.parent), "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    code, screen = run(work, tiny_whisper)
    assert code == 0, screen
    assert_same(work, undisturbed)


def run_elsewhere(work: Path, model: Path, directory: Path) -> tuple[int, str]:
    """As ``run``, with the screen on another disk."""
    screen = directory / "screen"
    return start(work, model, screen).wait(timeout=3600), screen.read_text("utf-8")


def test_an_ark_cut_short_is_noticed_and_made_again(
        lists: Path, tiny_whisper: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    work = new_work(tmp_path / "work", lists)
    assert run(work, tiny_whisper, "--stop-stage", "2")[0] == 0
    ark = work / "dump/train/feats.1.ark"
    ark.write_bytes(ark.read_bytes()[:-1000])
    code, screen = run(work, tiny_whisper, "--stage", "3", "--stop-stage", "3")
    assert_one_clear_line(code, screen, r"dump/train/feats\.1\.ark:\d+: no feature matrix there .*run stage 2 again")
    log = work / EXP / "log/train.log"
    log.unlink()
    log.mkdir()
    code, screen = run(work, tiny_whisper)
    assert "dump_train: its output files that dump/train/feats.scp names was changed" in screen
    assert_one_clear_line(code, screen, "train.log: cannot write this log")
    log.rmdir()
    code, screen = run(work, tiny_whisper)
    assert code == 0, screen
    assert_same(work, undisturbed)
