"""utils/parse_options.sh: Kaldi's option semantics, as a user of any of our shell scripts meets them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """#!/usr/bin/env bash
# Train a model on DATA.
#
#   train.sh --nj 4 DATA
set -euo pipefail

nj=2            # jobs at once
stop_stage=5    # last stage to run,
                # counted from 0
skip_bad=false  # leave bad lines out
tag=            # name of the experiment
hidden=x
. "{root}/utils/parse_options.sh"

printf '<%s>\\n' "$nj" "$stop_stage" "$skip_bad" "$tag" "$@"
"""
DEFAULTS = ["2", "5", "false", ""]


@pytest.fixture
def train(tmp_path: Path):
    """Run the script above, in a directory with a space in its name; return the finished process."""
    folder = tmp_path / "my recipes"
    folder.mkdir()
    script = folder / "train.sh"
    script.write_text(SCRIPT.format(root=ROOT), encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", script, *arguments], capture_output=True, encoding="utf-8", cwd=folder,
                              timeout=10, stdin=subprocess.DEVNULL)

    run.folder = folder
    return run


def values(process: subprocess.CompletedProcess[str]) -> list[str]:
    assert process.returncode == 0, process.stderr
    return process.stdout.removeprefix("<").removesuffix(">\n").split(">\n<")


def complaint(process: subprocess.CompletedProcess[str]) -> str:
    """The single line of the error message with which the script ended."""
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith("train.sh: error: ")
    assert process.stderr.count("\n") == 1
    return process.stderr


@pytest.mark.parametrize("arguments", [["--stop-stage", "3"], ["--stop_stage", "3"], ["--stop-stage=3"]])
def test_an_option_is_written_in_any_of_the_usual_ways(train, arguments):
    assert values(train(*arguments)) == ["2", "3", "false", ""]


@pytest.mark.parametrize("value", ["a b", "it's", 'say "x"', "$HOME `date` $(date)", "语音翻译", "a\nb", "",
                                   "*", "--beam 5", "-1", "a=b", "\\n"])
def test_a_value_arrives_unchanged(train, value):
    assert values(train("--tag", value)) == ["2", "5", "false", value]
    assert values(train(f"--tag={value}")) == ["2", "5", "false", value]


def test_what_follows_the_options_stays_in_place(train):
    assert values(train("--nj", "3", "data dir", "", "--nj", "4")) == \
        ["3", "5", "false", "", "data dir", "", "--nj", "4"]
    assert values(train("--", "--nj")) == [*DEFAULTS, "--nj"]


def test_the_command_line_wins_over_a_config_wherever_it_stands(train):
    (train.folder / "my.conf").write_text("nj=7\nstop-stage=1\n")
    assert values(train("--nj", "3", "--config", "my.conf")) == ["3", "1", "false", ""]
    assert values(train("--skip-bad", "--config", "my.conf")) == ["7", "1", "true", ""]


def test_a_config_is_read_like_a_shell_would_but_never_run(train):
    (train.folder / "my.conf").write_text(
        "# comment\n\nnj=4  # four\nskip_bad='true'\n"
        'tag="$(touch ran) `touch ran` 中文 # kept"\r\nstop_stage=3', encoding="utf-8")
    assert values(train("--config", "my.conf")) == ["4", "3", "true", "$(touch ran) `touch ran` 中文 # kept"]
    (train.folder / "bad.conf").write_text("nj=3\ntouch ran\n")
    assert "bad.conf:2: expected 'name=value', got 'touch ran'" in complaint(train("--config", "bad.conf"))
    assert not (train.folder / "ran").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--njj", "3"], "unknown option '--njj'"),
    (["--njj"], "unknown option '--njj'"),
    (["--nj[0]", "3"], "unknown option '--nj[0]'"),
    (["--nj"], "option '--nj' needs a value"),
    (["--nj", "--stop-stage", "3"], "option '--nj' needs a value"),
    (["--skip-bad", "yes"], "option '--skip-bad' is true or false, not 'yes'"),
    (["--skip-bad", "5"], "option '--skip-bad' is true or false, not '5'"),
    (["--skip-bad", ""], "option '--skip-bad' is true or false, not ''"),
    (["--config", "none.conf"], "cannot read 'none.conf'"),
])
def test_a_mistake_is_one_line_that_names_it(train, arguments, words):
    assert words in complaint(train(*arguments))


@pytest.mark.parametrize(("line", "words"), [
    ("njj=3", "my.conf:2: unknown option 'njj'"),
    ("skip_bad=1", "my.conf:2: option 'skip_bad' is true or false, not '1'"),
])
def test_a_mistake_in_a_config_is_named_with_its_line(train, line, words):
    (train.folder / "my.conf").write_text(f"nj=3\n{line}\n")
    assert words in complaint(train("--config", "my.conf"))


def test_help_shows_what_the_options_before_it_set(train):
    """As egs/*/run.sh do, which call the driver with options of their own."""
    assert "jobs at once (7)" in train("--nj", "7", "--help").stdout
    assert train("--skip-bad", "maybe", "--help").returncode == 1


def test_help_is_the_head_of_the_script_and_its_commented_options(train):
    text = train("--help").stdout
    assert train("--help").returncode == 0
    assert text.startswith("Train a model on DATA.\n\n  train.sh --nj 4 DATA\n\n")
    assert "--nj                   jobs at once (2)\n" in text
    assert "last stage to run, (5)\n                         counted from 0\n" in text
    assert "hidden" not in text
    script = train.folder / "train.sh"
    script.write_text(script.read_text().replace("nj=2 ", "help_message='Ask me.'\nnj=2 "))
    assert train("-h").stdout == "Ask me.\n"


def test_help_shows_the_headings_of_groups_of_options(train):
    script = train.folder / "train.sh"
    source = script.read_text().replace("stop_stage=5 ", "\n# Stage 3: training\nstop_stage=5 ")
    script.write_text(source.replace("hidden=x", "# Hidden\nhidden=x\n# shellcheck disable=SC1090"))
    text = train("--help").stdout
    assert "jobs at once (2)\n\nStage 3: training\n  --stop-stage " in text
    assert "counted from 0\n  --skip-bad" in text and "Hidden" not in text and "shellcheck" not in text


def test_names_cannot_lead_elsewhere(train):
    script = train.folder / "train.sh"
    script.write_text(script.read_text().replace("printf '<", 'require_names "$tag"\nprintf \'<'))
    assert values(train("--tag", "a b.c")) == ["2", "5", "false", "a b.c"]
    for tag in ("../x", "a -rf", ".hidden", "a\nb"):
        assert "Use another name" in complaint(train("--tag", tag))


# Words that a shell could take for something else.
WORDS = st.lists(st.sampled_from(["$(touch ran)", "`touch ran`", ";touch ran;", "&", "|", "\n", "'", '"', "\\", " ",
                                  "*", "~", "--", "-rf", "=", "é", "$HOME", "%s", "!!", "a", "${tag@P}"])
                 | st.characters(codec="utf-8", exclude_characters="\0\r<>"), max_size=6).map("".join)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS, WORDS)
def test_any_value_arrives_unchanged_and_nothing_of_it_runs(train, value, rest):
    assert values(train(f"--tag={value}", "--", rest)) == ["2", "5", "false", value, rest]
    if not set(value) & set("'\n\r"):
        (train.folder / "my.conf").write_text(f"tag='{value}'\n", encoding="utf-8")
        assert values(train("--config", "my.conf")) == ["2", "5", "false", value]
    done = train(f"--{value}", "x", f"--nj[$({value})]")
    assert "ran" not in {path.name for path in train.folder.iterdir()}, done
def test_an_option_that_is_true_or_false_may_stand_alone(train):
    assert values(train("--skip-bad", "--nj", "3")) == ["3", "5", "true", ""]
    assert values(train("--nj", "3", "--skip-bad")) == ["3", "5", "true", ""]


def test_saved_options_are_read_again_without_passwords(train):
    script = train.folder / "train.sh"
    script.write_text(script.read_text().replace("printf '<", 'save_options "$0" "saved.conf"\nprintf \'<'))
    for tag in ('say "x"', "it's $HOME # not a comment", "", "语音  翻译"):
        assert values(train("--nj", "7", "--tag", tag)) == values(train("--config", "saved.conf"))
    train("--tag", "https://me:secret@mirror.example/12")
    assert values(train("--config", "saved.conf"))[3] == "https://mirror.example/12"
    assert sorted(path.name for path in train.folder.iterdir()) == ["saved.conf", "train.sh"]
