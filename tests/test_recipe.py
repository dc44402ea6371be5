"""The whole recipe, stages 0 to 5, on a tiny model and made speech, from a directory with a space in its name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_corpus import write_set
from tiny_whisper import make_tiny_whisper

from utils.data.lists import read_list

ROOT = Path(__file__).resolve().parents[1]
SETS = {"train": 4, "dev": 2, "test": 3}
SYSTEMS = ("base", "base-greedy", "lora", "lora-greedy", "ct2-int8", "ct2-int8-greedy")
EXP = Path("exp/made up")  # a tag may have spaces too
# The hypotheses of a random model tuned for three steps mean nothing, so the tolerance of the export is large.
OPTIONS = ("--corpus-name", "", "--tag", EXP.name, "--nj", "2", "--ngpu", "0", "--tolerance", "1000", "--train-args",
           "model.lora.r=4 model.model_train_argv.max_steps=3 model.model_train_argv.eval_steps=3 "
           "model.model_train_argv.use_cpu=true predict.max_frames=1000")


def run(work: Path, model: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The repository's run.sh, called from ``work``."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([ROOT / "run.sh", *OPTIONS, "--model", model, *arguments], cwd=work, env=environment,
                          capture_output=True, text=True, encoding="utf-8", timeout=600)


def write_lists(work: Path) -> Path:
    for number, (name, count) in enumerate(SETS.items()):
        write_set(work / "data" / name, count, seed=number)
    return work


@pytest.fixture(scope="module")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with the proportions of OpenAI's, for whisper.cpp."""
    return make_tiny_whisper(tmp_path_factory.mktemp("model") / "tiny whisper", encoder_ffn_dim=256,
                             decoder_ffn_dim=256)


@pytest.fixture(scope="module")
def finished(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which all stages ran, with own lists."""
    work = write_lists(tmp_path_factory.mktemp("recipe") / "my recipe")
    result = run(work, tiny_whisper)
    assert result.returncode == 0, result.stderr
    (work / "screen").write_text(result.stdout + result.stderr, encoding="utf-8")
    return work


@pytest.mark.slow
def test_every_stage_says_what_it_does(finished: Path) -> None:
    screen = (finished / "screen").read_text(encoding="utf-8")
    for stage in range(6):
        assert re.search(rf"^20\d\d-\S+ \(run\.sh:\d+\) Stage {stage}: ", screen, re.MULTILINE)
    assert "Done: exp/made up/RESULTS.md has the scores" in screen
    assert "Traceback" not in screen


@pytest.mark.slow
def test_without_a_development_set_no_step_asks_for_one(tiny_whisper: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("train", "test")):
        write_set(tmp_path / "data" / name, 2, seed=number)
    result = run(tmp_path, tiny_whisper, "--dev-set", "", "--stop-stage", "3")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "data/dev").exists() and not (tmp_path / "dump/dev").exists()
    summary = json.loads((tmp_path / EXP / "train_summary.json").read_text())
    assert (summary["best_dev_loss"], summary["steps"]) == (None, 3)
    status = run(tmp_path, tiny_whisper, "--dev-set", "", "--status")
    assert status.returncode == 0, status.stderr
    state = {line.split()[0]: line for line in status.stdout.splitlines()[1:]}
    assert {"merge_train", "merge_test", "dump_train", "train", "decode_test_lora", "word_times"} <= state.keys()
    assert "up to date" in state["train"] and not any(name.endswith("_dev") for name in state)


@pytest.mark.slow
def test_files_between_the_stages(finished: Path, tiny_whisper: Path) -> None:
    assert (finished / "download" / tiny_whisper.name / "config.json").is_file()
    for name, count in SETS.items():
        lists = {path: read_list(finished / path / file, verbatim=True) for path, file in (
            (f"data/{name}", "wav.scp"), (f"data/{name}", "text"), (f"dump/{name}", "feats.scp"),
            (f"dump/{name}", "utt2num_frames"))}
        assert all(len(items) == 4 * count for items in lists.values())  # two languages, two tasks
        for file in ("utt2spk", "spk2utt", "utt2dur"):
            assert (finished / "data" / name / file).is_file()
    places = set(read_list(finished / "dump/test/feats.scp", verbatim=True).values())
    assert len(places) == 6  # one matrix serves both tasks
    exp = finished / EXP
    for path in ("adapter_model.safetensors", "adapter_config.json", "config.yaml", "loss.png", "train_summary.json",
                 "log/train.log", "merged/model.safetensors", "ct2_int8/model.bin", "ct2_int8/tokenizer.json",
                 "ct2_int8/preprocessor_config.json", "ct2_int8/generation_config.json", "ct2_int8/README.md",
                 "merged/README.md", "README.md", "decode_test_ct2-int8/parity.json"):
        assert (exp / path).is_file(), path
    for system in ("base", "lora", "ct2-int8"):
        assert sorted(read_list(exp / f"decode_test_{system}/text", allow_empty=True)) == \
            sorted(read_list(finished / "data/test/text"))


def stale(finished: Path, model: Path, *arguments: str) -> dict[str, str]:
    """The lines of --status on the steps that are not up to date."""
    shown = run(finished, model, "--status", *arguments)
    assert shown.returncode == 0 and shown.stderr == "", shown.stderr
    rows = {line[:28].strip(): line[50:] for line in shown.stdout.splitlines()[1:]}
    assert {"merge_train", "train_bpe", "dump_test", "train", "decode_test_base", "score_test_lora", "export_int8",
            "report"} <= rows.keys()
    return {name: state for name, state in rows.items() if state != "up to date"}


@pytest.mark.slow
def test_the_same_command_again_has_nothing_to_do(finished: Path, tiny_whisper: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file() and path.name != "lock"}
    result = run(finished, tiny_whisper)
    assert result.returncode == 0, result.stderr
    steps = re.findall(r"\(steps\.sh:\d+\) (\S+): (.*)", result.stderr)
    assert len(steps) > 15 and {state for _, state in steps} == {"up to date"}
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [str(path) for path in before if before[path] != after[path]] == []


@pytest.mark.slow
def test_an_option_makes_out_of_date_what_depends_on_it(finished: Path, tiny_whisper: Path) -> None:
    assert stale(finished, tiny_whisper, "--nj", "1", "--inference-nj", "2") == {}
    assert stale(finished, tiny_whisper, "--beam-size", "4") == {
        f"decode_test_{name}": "out of date: predict.beam_size was 5, is 4" for name in ("base", "lora", "ct2-int8")}
    assert stale(finished, tiny_whisper, "--normalizer", "basic") == {
        f"score_test_{system}": "out of date: --normalizer was auto, is basic" for system in SYSTEMS}
    assert stale(finished, tiny_whisper, "--compression", "auto") == {
        f"dump_{name}": "out of date: --compression was none, is auto" for name in SETS}
    options = finished / EXP / "options.conf"
    assert stale(finished, tiny_whisper, "--config", str(options)) == {}
    assert 'tasks="transcribe translate"' in options.read_text(encoding="utf-8")


# What the markers of steps that take hours are made of: with other words, recipes made before would train and decode
# again. Change these lines only on purpose.
COSTLY = {
    "dump_test": "dump_feats test --model download/MODEL --compression none --allow-pipes false",
    "train": "train --set data.train.feats_scp=dump/train/feats.scp --set data.train.text=data/train/text "
             "--set data.test.feats_scp=dump/dev/feats.scp --set data.test.text=data/dev/text "
             "--set model.model_path=download/MODEL --set model.model_train_argv.out_model_path=EXP",
    "decode_test_base": "decode base test --set model.model_path=download/MODEL --set predict.beam_size=5 "
                        "--set predict.also_greedy=true --set predict.backend=auto "
                        "--set predict.eval.feats_scp=dump/test/feats.scp --set predict.eval.text=data/test/text "
                        "--set predict.model_path=download/MODEL --set predict.window=full",
    "decode_test_lora": "decode lora test --set model.model_path=download/MODEL --set predict.beam_size=5 "
                        "--set predict.also_greedy=true --set predict.backend=auto "
                        "--set predict.eval.feats_scp=dump/test/feats.scp --set predict.eval.text=data/test/text "
                        "--set predict.model_path=EXP",
    "decode_test_ct2-int8": "decode ct2-int8 test --set model.model_path=download/MODEL --set predict.beam_size=5 "
                            "--set predict.also_greedy=true --set predict.backend=auto "
                            "--backend ctranslate2 --set dev_env.dev.feats_scp=dump/test/feats.scp "
                            "--set dev_env.dev.text=data/test/text --set dev_env.ctranslate_model_path=EXP/ct2_int8",
    "export_int8": "export_ct2 int8 --set predict.model_path=EXP --set dev_env.ori_model_path=download/MODEL",
    "compare_exports_test": "compare test EXP/decode_test_lora EXP/decode_test_ct2-int8",
    "word_times": "check_word_times --test data/test --dev data/dev EXP/ct2_int8",
}


@pytest.mark.slow
def test_markers_of_costly_steps_keep_their_words(finished: Path, tiny_whisper: Path) -> None:
    for name, words in COSTLY.items():
        place = finished / ("data" if name == "dump_test" else EXP)
        command = json.loads((place / f".steps/{name}.json").read_text("utf-8"))["command"]
        found = " ".join(word for word in command if not word.startswith("--set="))  # those are --train-args
        assert found == words.replace("MODEL", tiny_whisper.name).replace("EXP", str(EXP)), name


@pytest.mark.slow
def test_beam_size_and_quantization_of_the_configuration_hold_unless_options_are_given(
        finished: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    config = tmp_path / "whisper_multitask.yaml"
    shipped = (ROOT / "conf/whisper_multitask.yaml").read_text("utf-8")
    for old, new in (("beam_size: 5", "beam_size: 3"), ("quantization: int8", "quantization: float32")):
        shipped = shipped.replace(old, new)
    config.write_text(shipped, encoding="utf-8")
    shown = run(finished, tiny_whisper, "--train-config", str(config), "--status")
    assert shown.returncode == 0 and shown.stderr == ""
    rows = {line[:28].strip(): line[50:] for line in shown.stdout.splitlines()[1:]}
    assert rows["decode_test_lora"].startswith("out of date: predict.beam_size was 5, is 3")
    assert rows["export_float32"] == "never made" and "export_int8" not in rows
    result = run(tmp_path, tiny_whisper, "--train-config", str(config), "--beam-size", "1", "--stage", "6",
                 "--stop-stage", "5")
    assert result.returncode == 0, result.stderr
    assert f"{config}: predict.beam_size: 3 is not used; run.sh gives 1" in result.stderr
    assert result.stderr.splitlines()[-1].endswith(" Done: nothing to do from --stage 6 to --stop-stage 5")


@pytest.mark.slow
def test_results_have_every_figure_for_every_system(finished: Path) -> None:
    rows = json.loads((finished / EXP / "results.json").read_text(encoding="utf-8"))
    for system in SYSTEMS:
        figures = {(row["task"], row["language"], row["metric"]): row for row in rows
                   if row["system"] == system and row["form"] == "spoken" and "subset" not in row}
        # Chinese is scored in characters, French in words.
        assert {("transcribe", "zh", "cer"), ("transcribe", "fr", "wer"), ("translate", "zh", "bleu"),
                ("translate", "fr", "chrf"), ("translate", "all", "bleu")} <= figures.keys()
        assert ("transcribe", "zh", "wer") not in figures
        for row in figures.values():
            low, high = row["ci95"]
            assert row["set"] == "test" and low <= row["value"] <= high
            both_languages = row["language"] == "all" and row["metric"] in ("bleu", "chrf", "ter")
            assert row["n_utts"] == (6 if both_languages else 3)
            assert row["seconds"] > 0 and row["audio_seconds"] == pytest.approx(6 * 0.26, abs=0.2)
        assert ("transcribe", "all", "ter") in figures
        assert "CONFUSION PAIRS" in (finished / EXP / f"decode_test_{system}/score_ter/result.txt").read_text("utf-8")
    page = (finished / EXP / "report.html").read_text("utf-8")
    assert 'class="play"' in page and "Loss on training and development set by step" in page
    report = (finished / EXP / "RESULTS.md").read_text(encoding="utf-8")
    assert report.startswith("# ")
    for words in ("base", "lora", "ct2-int8", "CER", "WER", "BLEU", "run.sh --corpus-name", "trainable parameters"):
        assert words in report
    screen = (finished / "screen").read_text(encoding="utf-8")
    assert re.search(r"\| CER +\| zh .*\| BLEU +\| fr ", screen, re.DOTALL)


@pytest.mark.slow
def test_exported_model_loads_in_faster_whisper(finished: Path) -> None:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(finished / EXP / "ct2_int8"), device="cpu", cpu_threads=1)
    audio = next(iter(read_list(finished / "data/test/wav.scp", verbatim=True).values()))
    _, info = model.transcribe(audio, language="zh", beam_size=1, temperature=0.0)
    assert info.language == "zh"


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["0 0", "1 1", "2 2", "3 3", "4 4", "3 5"])
def test_stages_run_alone(finished: Path, tiny_whisper: Path, stages: str) -> None:
    """The outputs of the earlier run are enough for each stage, and a complete training is not done again."""
    adapter = finished / EXP / "adapter_model.safetensors"
    before = adapter.stat().st_mtime_ns
    first, last = stages.split()
    result = run(finished, tiny_whisper, "--stage", first, "--stop-stage", last)
    assert result.returncode == 0, result.stderr
    done = [int(number) for number in dict.fromkeys(re.findall(r"Stage (\d):", result.stderr))]
    assert done == list(range(int(first), int(last) + 1))
    made = {0: "download/ has the base model", 1: "data/ has the checked and merged lists", 2: "dump/ has the features",
            3: "exp/made up/ has the tuned model"}
    wanted = made.get(int(last), "exp/made up/RESULTS.md has the scores, report.html shows them")
    assert result.stderr.splitlines()[-1].endswith(f" Done: {wanted}")
    assert adapter.stat().st_mtime_ns == before


@pytest.mark.slow
def test_other_scores_in_stage_four_are_those_of_earlier_exports_too(finished: Path, tiny_whisper: Path,
                                                                     tmp_path: Path) -> None:
    work = shutil.copytree(finished, tmp_path / "work", symlinks=True)
    result = run(work, tiny_whisper, "--stage", "4", "--stop-stage", "4", "--normalizer", "none")
    assert result.returncode == 0, result.stderr
    rows = json.loads((work / EXP / "results.json").read_text())
    assert {row["system"] for row in rows} == {*SYSTEMS}
    assert {row["normalizer"] for row in rows} == {"none"}


@pytest.mark.slow
def test_stage_five_alone_with_two_quantizations_and_a_gate_that_closes(finished: Path, tiny_whisper: Path) -> None:
    exp = finished / EXP
    result = run(finished, tiny_whisper, "--stage", "5", "--quantization", "int8 float16", "--export", "ggml-f16",
                 "--push-to-hub", "me/tiny")
    assert result.returncode == 0, result.stderr
    assert re.search(r"compare_exports_test: .*decode_test_ct2-float16 is given now", result.stderr)
    # No CPU here has float16: that is said, and the export is there.
    assert re.search(r"^\| ct2-float16 +\| float32 \(!\) ", result.stdout, re.MULTILINE)
    assert "(!) ct2-float16 was written and checked as files" in result.stdout
    assert "me/tiny-ct2-float16: 7 files" in result.stdout and "nothing was sent" in result.stderr
    for report in ("RESULTS.md", "report.html"):
        assert "the machine that decoded has no float16" in (exp / report).read_text(encoding="utf-8")
    systems = {row["system"] for row in json.loads((exp / "results.json").read_text())}
    assert systems == {*SYSTEMS, "ct2-float16", "ct2-float16-greedy", "ggml-f16"}
    assert re.search(r"^\| ggml-f16 ", result.stdout, re.MULTILINE)
    refused = run(finished, tiny_whisper, "--stage", "5", "--export", "ggml-q3")
    assert refused.returncode == 1 and "--export ggml-q3: there are ggml-f16, ggml-q8_0" in refused.stderr
    # An export that gets worse: the tuned model's figures are made better than any model's.
    good = read_list(finished / "data/test/text")
    shutil.copytree(exp / "decode_test_lora", finished / "kept")
    try:
        (exp / "decode_test_lora/text").write_text("".join(f"{key} {text}\n" for key, text in sorted(good.items())))
        subprocess.run([ROOT / "pyscripts/score.py", "--ref", "data/test/text", exp / "decode_test_lora"],
                       cwd=finished, check=True, capture_output=True)
        result = run(finished, tiny_whisper, "--stage", "5", "--tolerance", "1")
    finally:
        shutil.rmtree(exp / "decode_test_lora")
        (finished / "kept").rename(exp / "decode_test_lora")
    assert result.returncode == 1
    assert (exp / "RESULTS.md").is_file()
    assert re.search(r"is worse than .*decode_test_lora by more than 1\.0: .*WER 0\.00 -> ", result.stderr)


@pytest.mark.slow
def test_languages_and_tasks_narrow_the_data(tiny_whisper: Path, tmp_path: Path) -> None:
    work = write_lists(tmp_path / "narrow")
    result = run(work, tiny_whisper, "--stop-stage", "2", "--languages", "french", "--tasks", "translate")
    assert result.returncode == 0, result.stderr
    keys = list(read_list(work / "dump/train/feats.scp", verbatim=True))
    assert keys == [f"train-fr-{number:02}|fr|translate" for number in range(SETS["train"])]


@pytest.mark.slow
def test_bad_lists_stop_the_recipe_with_file_and_line(tiny_whisper: Path, tmp_path: Path) -> None:
    work = write_lists(tmp_path / "bad")
    text = work / "data/dev/transcribe/text"
    lines = text.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace("|chinese|", "|chinesse|")
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = run(work, tiny_whisper)
    assert result.returncode == 1
    assert "data/dev/transcribe/text:2: unknown language 'chinesse'. Did you mean chinese" in result.stderr
    assert "Stage 2" not in result.stderr and "Traceback" not in result.stderr
    assert not (work / "data/dev/text").exists() and not (work / "dump").exists()


@pytest.mark.slow
def test_failing_training_shows_the_end_of_its_log(finished: Path, tiny_whisper: Path) -> None:
    result = run(finished, tiny_whisper, "--stage", "3", "--tag", "fails", "--train-args", "model.lora.rank=4")
    assert result.returncode == 1
    assert "unknown key model.lora.rank; known here: r, alpha" in result.stderr
    assert "The whole log: exp/fails/log/train.log" in result.stderr
    assert "Stage 4" not in result.stderr
    assert "model.lora.rank" in (finished / "exp/fails/log/train.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_forget_set_is_decoded_by_base_and_tuned_model(finished: Path, tiny_whisper: Path) -> None:
    result = run(finished, tiny_whisper, "--stage", "4", "--stop-stage", "4", "--forget-set", "dev")
    assert result.returncode == 0, result.stderr
    report = (finished / EXP / "RESULTS.md").read_text(encoding="utf-8")
    sentences = report.split("## What was forgotten")[1].split("##")[0]
    assert "dev fr WER: " in sentences and "with base" in sentences and "with lora" in sentences
    assert "it shows what was forgotten" in (finished / EXP / "report.html").read_text(encoding="utf-8")


def test_unknown_options_are_named(tiny_whisper: Path, tmp_path: Path) -> None:
    for arguments, complaint in ((("--stgae", "3"), "unknown option '--stgae'"), (("--stage",), "needs a value"),
                                 (("--overwrite", "yes"), "'--overwrite' is true or false, not 'yes'"),
                                 (("train",), "unexpected argument 'train'")):
        result = run(tmp_path, tiny_whisper, *arguments)
        assert result.returncode == 1
        assert complaint in result.stderr and len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [
    ("--tag", "../../owned"), ("--tag", "-rf"), ("--tag", "a\nb"), ("--train-set", "/tmp/x"),
    ("--test-sets", "test ../x"), ("--model", ".."), ("--corpus-name", "../x"), ("--forget-set", ".hidden"),
    ("--teacher-sets", "$(touch ran)/x")])
def test_names_cannot_lead_out_of_the_recipes_directories(tmp_path: Path, arguments: tuple[str, str]) -> None:
    result = run(tmp_path, Path("model"), *arguments)
    assert result.returncode == 1 and "Use another name" in result.stderr and len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_corpus_are_words_in_quotes_and_never_run(tmp_path: Path) -> None:
    script = tmp_path / "my local/prepare_fake.py"
    script.parent.mkdir()
    script.write_text("#!/usr/bin/env python3\nimport sys\nsys.exit(repr(sys.argv[1:]))\n")
    script.chmod(0o755)
    for name in ("fake", "model"):
        (tmp_path / "download" / name).mkdir(parents=True)
    given, places = ["--languages", "fr es"], ["download/fake", "data"]
    split = ["--sets", "a b", "$(touch x)", "*"]
    for words, complaint in (("--sets 'a b' \"$(touch x)\" *", repr([*given, *split, *places])),
                             ("", repr([*given, *places])),
                             ("--sets 'a", "run.sh: error: prepare: its options have an open quote")):
        result = run(tmp_path, Path("model"), "--stage", "1", "--corpus", str(script.parent), "--corpus-name", "fake",
                     "--languages", "fr es", "--prepare-args", words)
        assert result.returncode == 1 and complaint in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "download", "exp", "my local"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".steps"]


def test_help_explains_every_option() -> None:
    source = (ROOT / "run.sh").read_text(encoding="utf-8")
    options = re.findall(r"^(\w+)=", source.split("# shellcheck source=utils/parse_options.sh")[0], re.MULTILINE)
    options = [name for name in options if name not in ("command_line", "recipe")]
    assert {"stage", "stop_stage", "nj", "ngpu", "model", "tag", "train_config", "languages", "tasks"} <= set(options)
    shown = subprocess.run([ROOT / "run.sh", "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0
    for name in options:
        assert re.search(rf"^  --{name.replace('_', '-')} +\w.{{10,}}", shown.stdout, re.MULTILINE), name
