"""utils/steps/steps.sh: steps that are up to date are skipped, others run and log why; one run at a time."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from utils import ROOT
from utils.masking import mask_secrets
from utils.steps.fingerprints import of_code, of_named_files, of_section
from utils.steps.markers import State, Step, begin, finish, state_of
from utils.steps.run_lock import is_writing

# Two steps in a row, each a function, as run.sh has them; `wait_for` keeps the first at work.
SCRIPT = """#!/usr/bin/env bash
set -euo pipefail
command_line="$0 $*"
factor=1         # an option that matters
nj=1             # one that does not
costly=false     # whether the first step is
where=work/a     # where it writes
wait_for=        # a file without which the first step does not end
force=false      # run anyway
status=false     # only say
lock=write       # how
. "{root}/utils/parse_options.sh"
. "{root}/utils/steps/steps.sh"
mkdir -p "$where"
$status || lock_steps "$where" "$lock"
flags=()
! $costly || flags=(--costly)
double() {{
  echo "double, resumed $resumed"
  [[ -z $wait_for ]] || until [[ -e $wait_for ]]; do sleep 0.05; done
  cat "$1" "$1" >"$2"
}}
step "$where" double --code "{code}" "${{flags[@]}}" --section conf.yaml model --from list.scp "in put" \\
  --to "$where/twice" -- double "in put" "$where/twice" --factor "$factor"
step "$where" copy --code "{code}" --from "$where/twice" --to "$where/copy" -- cp "$where/twice" "$where/copy"
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my recipe"
    folder.mkdir()
    (folder / "in put").write_text("1\n")
    (folder / "sound 1.wav").write_text("RIFF")
    (folder / "list.scp").write_text("a|fr|transcribe sound 1.wav\n")
    (folder / "conf.yaml").write_text("data:\n  x: 1\nmodel:\n  r: 8\n")
    (folder / "code.py").write_text("import json\n")
    (folder / "run.sh").write_text(SCRIPT.format(root=ROOT, code=folder / "code.py"))
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    """The script above; its lines of log are in ``stderr``, without time and place."""
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(["bash", "run.sh", *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
        done.stderr = "".join(line.split(") ", 1)[-1] for line in done.stderr.splitlines(keepends=True))
        return done

    return run


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


UP_TO_DATE = ["double: up to date", "copy: up to date"]


def test_the_same_command_again_does_nothing_and_says_so(run: Run, folder: Path) -> None:
    assert said(run()) == ["double: never made", "copy: never made"]
    again = run("--nj", "7")  # how it is run does not matter
    assert said(again) == UP_TO_DATE and again.stdout == ""
    assert (folder / "work/a/copy").read_text() == "1\n1\n"
    (folder / "in put").touch()
    assert said(run()) == UP_TO_DATE


def test_what_has_changed_runs_with_what_depends_on_it_and_nothing_else(run: Run, folder: Path) -> None:
    run()
    assert said(run("--factor", "2")) == ["double: --factor was 1, is 2", "copy: up to date"]  # it made the same
    changes = {
        "in put changed": lambda: (folder / "in put").write_text("2\n"),
        "list.scp changed; files that list.scp names changed": lambda: (folder / "list.scp").write_text(
            "a|fr|transcribe -> in put\n"),
        "files that list.scp names changed": lambda: os.utime(folder / "in put", ns=(0, 0)),
        "conf.yaml: model changed": lambda: (folder / "conf.yaml").write_text("data:\n  x: 1\nmodel:\n  r: 4\n"),
        "its output work/a/twice is gone": lambda: (folder / "work/a/twice").unlink(),
        "its output work/a/twice was changed": lambda: (folder / "work/a/twice").write_text("2\n"),
        "in put is gone": lambda: (folder / "in put").rename(folder / "away"),
    }
    run()
    for reason, change in changes.items():
        change()
        assert run().stderr.splitlines()[0].startswith(f"double: {reason}")
    (folder / "away").rename(folder / "in put")
    assert said(run())[0].startswith("double: begun 20") and said(run()) == UP_TO_DATE
    (folder / "conf.yaml").write_text("data:\n  x: 2\nmodel:\n  r: 4\n")
    assert said(run()) == UP_TO_DATE


def test_other_code_runs_again_what_is_cheap_and_is_told_of_what_is_costly(run: Run, folder: Path) -> None:
    run("--costly")
    (folder / "code.py").write_text("import json  # better\n")
    first, second = said(run("--costly"))
    assert first == f"double: up to date (other code now: {folder}/code.py; --force true makes it again)"
    assert second == f"copy: other code now: {folder}/code.py"
    assert said(run("--costly", "--force")) == ["double: --force true", "copy: --force true"]
    assert said(run("--costly")) == UP_TO_DATE


def test_code_is_a_script_with_all_that_it_imports_of_ours() -> None:
    names = of_code([ROOT / "pyscripts/dump_feats.py"])
    assert {"pyscripts/dump_feats.py", "utils/features/feature_dump.py", "utils/audio/loading.py", "utils/errors.py",
            "tools/requirements.txt"} <= names.keys()
    assert "utils/train/finetune.py" not in names and "utils/score/metrics.py" not in names
    assert {"local/prepare_prompts.py", "local/prompts.py"} <= of_code([ROOT / "local/prepare_prompts.py"]).keys()


def test_code_of_packages_counts(tmp_path: Path) -> None:
    package = tmp_path / "outer/inner"
    package.mkdir(parents=True)
    (tmp_path / "script.py").write_text("def main():\n    from outer.inner import handed_on\n")
    (tmp_path / "outer/__init__.py").write_text("")
    (package / "__init__.py").write_text("handed_on = 1\n")
    names = {Path(name).relative_to(tmp_path).as_posix() for name in of_code([tmp_path / "script.py"])
             if name.startswith(str(tmp_path))}
    assert names == {"script.py", "outer/__init__.py", "outer/inner/__init__.py"}
    exporting = of_code([ROOT / "pyscripts/export_ct2.py"])
    assert {"utils/__init__.py", "utils/export/__init__.py", "utils/export/convert.py"} <= exporting.keys()


def test_a_recipe_made_before_modules_moved_does_not_train_again(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Its markers name code by the paths of that time."""
    monkeypatch.chdir(tmp_path)
    for name in ("text", "adapter_model.safetensors"):
        Path(name).write_text(name)
    step = Step(Path(".steps/train.json"), ["train", "--set", "model.lora.r=8"], inputs=["text"],
                outputs=["adapter_model.safetensors"], code=[str(ROOT / "pyscripts/train.py")], costly=True)
    begin(step, step.made_from(), State("never made"))
    finish(step)
    marker = json.loads(step.marker.read_text())
    assert "utils/train/finetune.py" in marker["code"]
    marker["code"] = dict.fromkeys(["pyscripts/train.py", "utils/tuning.py", "utils/training.py", "utils/modeling.py",
                                    "utils/audio.py", "utils/errors.py"], "0" * 64)
    step.marker.write_text(json.dumps(marker))
    state = state_of(step, step.made_from())
    assert not state.reason and state.remark.startswith("up to date (other code now: ")
    cheap = replace(step, costly=False)
    assert state_of(cheap, cheap.made_from()).reason.startswith("other code now: ")


def test_a_step_that_fails_or_is_killed_runs_again(run: Run, folder: Path) -> None:
    (folder / "in put").rename(folder / "away")
    assert run().returncode != 0
    assert json.loads((folder / "work/a/.steps/double.json").read_text())["state"] == "begun"
    again = run()
    assert again.stdout == "double, resumed true\n" and "begun 20" in again.stderr and ", not finished" in again.stderr
    (folder / "away").rename(folder / "in put")
    again = run()
    assert again.returncode == 0 and again.stdout == "double, resumed false\n"
    assert "not finished; since then in put is new" in again.stderr
    assert said(run()) == UP_TO_DATE


def test_a_step_in_a_condition_that_fails_is_not_done(run: Run, folder: Path) -> None:
    script = folder / "run.sh"
    script.write_text(script.read_text() + 'step "$where" gate -- grep -q x "in put" || echo "kept out"\n')
    for _ in range(2):
        done = run()
        assert done.returncode == 0 and "kept out" in done.stdout
    (folder / "in put").write_text("x\n")
    assert "kept out" not in run().stdout
    assert said(run())[-1] == "gate: up to date"


def test_status_is_a_table_and_changes_nothing(run: Run, folder: Path) -> None:
    assert run("--status").stdout == f"{'double':<28} {'-':<19}  never made\n{'copy':<28} {'-':<19}  never made\n"
    run()
    (folder / "in put").write_text("2\n")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    first, second = run("--status").stdout.splitlines()
    assert first.startswith("double ") and first.endswith("  out of date: in put changed")
    assert second.startswith("copy ") and second.endswith("  up to date")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_marker_that_is_damaged_counts_for_nothing(run: Run, folder: Path) -> None:
    run()
    for content in ("", "{", "[]", '{"version": 1}', '{"version": 0, "state": "made"}'):
        (folder / "work/a/.steps/double.json").write_text(content)
        assert said(run()) == ["double: never made", "copy: up to date"]


class Background:
    """The script at work on its first step, until it is told to go on or killed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(["bash", "run.sh", "--wait-for", "go on", *arguments], cwd=folder,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        assert self.process.stdout.readline().startswith(b"double")

    def finish(self) -> int:
        (self.folder / "go on").touch()
        self.process.communicate()
        return self.process.returncode


def test_a_second_run_in_the_same_place_is_told_who_is_there(run: Run, folder: Path) -> None:
    first = Background(folder)
    for lock in ("write", "read", "any"):
        second = run("--lock", lock)
        assert second.returncode == 1 and second.stdout == "" and second.stderr.count("\n") == 1
        assert f"work/a/ is in use by another run (process {first.process.pid} on " in second.stderr
    assert run("--where", "work/b").returncode == 0  # another tag
    assert "running, process" in run("--status").stdout.splitlines()[0]
    assert first.finish() == 0
    assert said(run()) == UP_TO_DATE


def test_beside_one_who_reads_a_run_goes_as_far_as_nothing_is_written(run: Run, folder: Path) -> None:
    """Two tags on the same features: both run, but none may make the features again."""
    run()
    with (folder / "work/a/.steps/lock").open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert said(run("--lock", "any")) == UP_TO_DATE
        refused = run("--lock", "any", "--factor", "2")
        assert refused.returncode == 1 and "double: --factor was 1, is 2" in refused.stderr
        assert "work/a/ is in use" in refused.stderr and f"process {os.getpid()}" in refused.stderr
        assert run("--lock", "write").returncode == 1
    assert said(run("--lock", "any")) == UP_TO_DATE


def test_a_killed_run_leaves_no_lock_but_what_it_started_does(run: Run, folder: Path) -> None:
    first = Background(folder)
    first.process.kill()  # the shell alone: what it has started goes on
    first.process.wait()
    deadline = time.monotonic() + 30
    while is_writing(folder / "work/a/.steps/lock") and time.monotonic() < deadline:
        time.sleep(0.1)  # `sleep` is over soon, and nothing else was at work
    assert said(run())[0].startswith("double: begun")

    (folder / "run.sh").write_text((folder / "run.sh").read_text().replace("  cat ", "  sleep 100\n  cat "))
    (folder / "go on").touch()
    second = Background(folder, "--force")
    time.sleep(0.5)
    os.kill(second.process.pid, signal.SIGKILL)
    second.process.wait()
    told = run()
    assert told.returncode == 1
    assert "is in use: processes of an earlier run are still running (process " in told.stderr
    os.killpg(second.process.pid, signal.SIGKILL)
    while is_writing(folder / "work/a/.steps/lock") and time.monotonic() < deadline + 30:
        time.sleep(0.1)
    assert is_writing(folder / "work/a/.steps/lock") == ""


def test_a_place_that_cannot_be_written_is_named(run: Run, folder: Path) -> None:
    (folder / "work/a").mkdir(parents=True)
    (folder / "work/a/.steps").write_text("")
    refused = run()
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "work/a/ is not writable: " in refused.stderr


def test_a_tag_is_never_run(run: Run, folder: Path) -> None:
    for name in ("$(touch ran)", "a]b", "`touch ran`", "x y", "*"):
        assert said(run("--where", f"work/{name}")) == ["double: never made", "copy: never made"]
        assert said(run("--where", f"work/{name}")) == UP_TO_DATE
    assert not (folder / "ran").exists()


def test_leftovers_of_a_killed_step_are_removed(run: Run, folder: Path) -> None:
    (folder / "work/a").mkdir(parents=True)
    (folder / "work/a/.twice.123.partial").mkdir()
    (folder / "work/a/.copy.123.partial").touch()
    (folder / "work/a/mine.partial").touch()
    run()
    assert {path.name for path in (folder / "work/a").iterdir()} == {"twice", "copy", "mine.partial", ".steps"}


def test_files_that_a_list_names_in_any_form(tmp_path: Path) -> None:
    audio, list_ = tmp_path / "a b.wav", tmp_path / "wav.scp"
    audio.write_text("RIFF")
    seen = set()
    for line in (f"1|zh|transcribe {audio}", f"1 | zh | transcribe -> {audio}", f"1|zh|transcribe  {audio}:17",
                 f"1|zh|transcribe -> {audio}"):
        list_.write_text(line + "\n")
        os.utime(audio, ns=(0, 0))
        before = of_named_files(list_)
        seen.add(before)
        os.utime(audio, ns=(0, 1))
        assert of_named_files(list_) != before, line
    assert len(seen) == 1


def test_a_section_of_yaml_ends_where_the_next_begins(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"

    def of(text: str) -> str:
        path.write_text(text)
        return of_section(path, "model")

    one = of("a: 1\nmodel:  # so\n\n  r: 1\n# said\n  q: 2\n\nb: 2\n")
    assert of("a: 2\nmodel:  # so\n\n  r: 1\n# said\n  q: 2\n\nb: 3\nc: 4\n") == one
    assert of("a: 1\nmodel:  # so\n\n  r: 1\n# said\n  q: 3\n\nb: 2\n") != one
    assert of("{a: 1, model: {r: 1}}") != of("{a: 1, model: {r: 2}}")


def test_passwords_and_tokens_do_not_get_into_markers() -> None:
    text = "--url https://me:pa55@mirror.example/12?token=abc --x hf_abcdefghijklmnopqrst"
    assert mask_secrets(text) == "--url https://***@mirror.example/12?token=*** --x ***"
