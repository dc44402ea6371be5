"""RESULTS.md and results.json: pyscripts/make_report.py on scored decode directories."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_scores import ERRORS, add_decode, references, tables

from utils import ROOT
from utils.data.lists import read_list, write_list
from utils.decode.decode_directory import read_decode_info
from utils.errors import UserError
from utils.filesystem import write_json
from utils.provenance import provenance
from utils.report.results_md import markdown_table, plain, screen_table
from utils.report.sentences import findings, significance
from utils.score.comparison import collect, compare
from utils.score.metrics import ScoringOptions, pair_texts
from utils.score.score_directory import score_directory


def run_report(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "pyscripts/make_report.py", *map(str, args)],
                          capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> tuple[Path, str]:
    """An experiment of three systems and what make_report.py printed about it."""
    exp_dir = tmp_path_factory.mktemp("with space") / "demo"
    for system in ERRORS:
        add_decode(exp_dir, system, references())
    write_json(exp_dir / "train_summary.json", {
        "trainable_parameters": 1_000_000, "total_parameters": 80_000_000, "train_seconds": 90, "epochs": 2,
        "best_step": 12, "base_model": "whisper-base", "n_train_targets": 500, "n_train_audios": 300})
    done = run_report("--command", "./run.sh --tag demo", "--bootstrap", 200, exp_dir)
    assert done.returncode == 0, done.stderr
    return exp_dir, done.stdout


def test_results_json_holds_every_row_in_order_of_systems(report):
    rows = json.loads((report[0] / "results.json").read_text())
    assert list(dict.fromkeys(row["system"] for row in rows)) == ["base", "lora", "ct2-int8"]
    keys = {"system", "set", "language", "task", "metric", "value", "ci95", "n_utts", "seconds",
            "audio_seconds", "normalizer", "signature", "form"}
    assert all(set(row) == keys for row in rows)
    scored = json.loads((report[0] / "decode_test_lora" / "scores.json").read_text())
    assert [row for row in rows if row["system"] == "lora"] == scored


def test_main_table_shows_the_normalised_figures_with_intervals(report):
    main = tables((report[0] / "RESULTS.md").read_text())[0]
    assert [*main[0]] == ["metric", "language", "utts", "base", "lora", "ct2-int8"]
    assert [(line["metric"], line["language"]) for line in main] == [
        ("WER", "en"), ("WER", "fr"), ("WER", "ru"), ("WER", "all"),
        ("BLEU", "fr"), ("BLEU", "ru"), ("BLEU", "all")]
    rows = json.loads((report[0] / "results.json").read_text())
    for line in main:
        for system in ("base", "lora", "ct2-int8"):
            row, = (row for row in rows if row["system"] == system and row["language"] == line["language"]
                    and row["metric"] == line["metric"].lower() and row["normalizer"] != "none")
            low, high = row["ci95"]
            assert line[system] == f"{row['value']:.1f} [{low:.1f}, {high:.1f}]"
            assert line["utts"] == str(row["n_utts"])


def test_columns_are_aligned_in_raw_form(report):
    for block in (report[0] / "RESULTS.md").read_text().split("\n\n"):
        if block.startswith("|"):
            assert len({len(line) for line in block.splitlines()}) == 1


def test_header_says_how_to_repeat_it(report):
    text = (report[0] / "RESULTS.md").read_text()
    for fact in ("# Results of demo", "command: `./run.sh --tag demo`", "commit: ", "torch ", "sacrebleu ",
                 " cores, ", "model: whisper-base", "trainable parameters: 1,000,000 of 80,000,000 (1.25 %)",
                 "training time: 1.5 minutes", "training audios: 300", "training targets: 500",
                 "test: 1.5 minutes; utterances: transcribe en 40, fr 40, ru 40; translate fr 40, ru 40"):
        assert fact in text
    speed = next(table for table in tables(text) if "audio s per s" in table[0])
    assert [line["system"] for line in speed] == ["base", "lora", "ct2-int8"]
    assert speed[0]["audio s per s"] == "4.5" and speed[0]["beam size"] == "5"
    assert "tok:13a" in text


def test_screen_shows_the_main_table_within_100_columns(report):
    exp_dir, printed = report
    assert tables(printed)[0] == tables((exp_dir / "RESULTS.md").read_text())[0]
    assert max(map(len, printed.splitlines())) <= 100


def test_systems_that_do_not_fit_go_below(report):
    shown = screen_table(collect(report[0]), columns=80)
    assert max(map(len, shown.splitlines())) <= 80
    assert [[*table[0]][3:] for table in tables(shown)] == [["base", "lora"], ["ct2-int8"]]


def test_says_where_the_tuned_system_is_worse_and_only_there(report):
    worse = [line for line in report[1].splitlines() if "WORSE" in line]
    assert len(worse) == 1
    assert worse[0].startswith("- WORSE: lora than base on test en WER: ") and "(p = 0.0" in worse[0]
    verdicts = {(line["systems"], line["metric"], line["language"]): line["verdict"]
                for table in tables((report[0] / "RESULTS.md").read_text()) if "verdict" in table[0]
                for line in table}
    assert verdicts["lora – base", "WER", "en"] == "worse"
    assert verdicts["lora – base", "BLEU", "fr"] == "better"
    assert verdicts["ct2-int8 – lora", "WER", "fr"] == "not clear"  # the same hypotheses


def test_warns_where_the_set_is_too_small(tmp_path, monkeypatch):
    monkeypatch.setitem(ERRORS, "base", {"en": 0.35, "fr": 0.35, "ru": 0.9})
    texts = {key: text for key, text in references(8).items() if key.endswith("transcribe")}
    for system in ("base", "lora"):
        add_decode(tmp_path, system, texts)
    found = [line for line in findings(compare(collect(tmp_path), 200)) if line.startswith("TOO SMALL")]
    assert len(found) == 1
    assert "test cannot tell lora from base" in found[0]
    assert "en WER" in found[0] and "ru WER" not in found[0]
    assert re.search(r"en WER \(less than \d+\.\d does not show\)", found[0])


def test_verdicts_are_corrected_for_all_that_are_listed(report):
    comparisons = compare(collect(report[0]), 200)
    assert {one.n_tests for one in comparisons} == {len(comparisons)} == {14}
    assert all(one.p_value >= one.test.p_value for one in comparisons)
    smallest = min(comparisons, key=lambda one: one.test.p_value)
    assert smallest.p_value == pytest.approx(14 * smallest.test.p_value) and smallest.is_clear  # resamples enough
    found = next(table for table in tables((report[0] / "RESULTS.md").read_text()) if "verdict" in table[0])
    for one, line in zip(comparisons, found, strict=True):
        assert line["clear from"] == f"{one.clear_from:.1f}" and line["significance"] == significance(one.p_value)
    assert "corrected for the 14\ncomparisons of this table (Holm)" in (report[0] / "RESULTS.md").read_text()


def test_systems_scored_differently_are_not_compared(tmp_path):
    texts = references(10)
    add_decode(tmp_path, "base", texts)
    add_decode(tmp_path, "lora", {key: text for key, text in texts.items() if not key.startswith("u3|fr")})
    with pytest.raises(UserError, match="were not scored alike: fr wer differs"):
        compare(collect(tmp_path), 100)
    scores = add_decode(tmp_path, "lora", texts) / "scores.json"
    compare(collect(tmp_path), 100)
    scores.write_text(scores.read_text().replace('"basic"', '"zh"'))
    with pytest.raises(UserError, match="were not scored alike"):
        compare(collect(tmp_path), 100)


def test_a_decode_without_scores_is_mentioned_and_two_of_one_system_refused(tmp_path, capsys):
    (add_decode(tmp_path, "base", references(3)) / "scores.json").unlink()
    with pytest.raises(UserError, match=r"no decode_\*/scores.json"):
        collect(tmp_path)
    assert "decode_test_base" in capsys.readouterr().err
    add_decode(tmp_path, "lora", references(3))
    assert [decode.system for decode in collect(tmp_path)] == ["lora"]
    add_decode(tmp_path, "lora", references(3), name="again")
    with pytest.raises(UserError, match="are both lora on test"):
        collect(tmp_path)


def test_an_empty_experiment_is_one_clear_line(tmp_path):
    done = run_report(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Decode and score first" in done.stderr


def test_a_loss_on_a_forget_set_is_said_in_words(tmp_path):
    texts = references()
    for system in ("base", "lora"):
        add_decode(tmp_path, system, {key: text for key, text in texts.items() if "|en|" not in key})
        add_decode(tmp_path, system, {key: text for key, text in texts.items() if "|en|" in key}, set_name="english")
    done = run_report("--forget-set", "english", "--bootstrap", 200, tmp_path)
    assert done.returncode == 0, done.stderr
    section = (tmp_path / "RESULTS.md").read_text().split("## What was forgotten")[1].split("##")[0]
    sentence, = (line for line in section.splitlines() if line.startswith("- "))
    assert sentence.startswith("- LOST: english en WER: ") and "LOST: english en WER" in done.stdout
    missing = run_report("--forget-set", "english german", tmp_path)
    assert missing.returncode == 1 and missing.stderr.count("\n") == 1
    assert "--forget-set german: not decoded in" in missing.stderr


def test_suspicious_outputs_are_counted(tmp_path):
    texts = references(5)
    directory = add_decode(tmp_path, "base", texts)
    write_list(directory / "text", {key: "" if key.startswith("u1|fr") else text for key, text in texts.items()})
    utterances = pair_texts(texts, read_list(directory / "text", allow_empty=True))
    score_directory(directory, read_decode_info(directory), utterances, ScoringOptions(), 100, nj=1)
    assert run_report("--bootstrap", 100, tmp_path).returncode == 0
    found = next(table for table in tables((tmp_path / "RESULTS.md").read_text()) if "empty" in table[0])
    assert found == [{"set": "test", "system": "base", "empty": "2"}]


def test_names_from_elsewhere_are_text_and_not_markup():
    """In Markdown, as in report.html."""
    table = markdown_table(["set", "a|b"], [["<img src=x onerror=alert(1)>", "line\nend"]])
    header, _, row = table.splitlines()
    assert header.split() == ["|", "set", "|", "a\\|b", "|"]
    assert "\\<img" in row and " <img" not in row and "line end" in row
    assert plain("<b> `<i>` ``<`>``\n<u>") == "\\<b> `<i>` ``<`>`` \\<u>"
    assert plain("p < 0.001, a<3") == "p < 0.001, a<3"  # no tag
    assert provenance("./run.sh --tag 'a`b'\n--stage 1")["command"] == "`` ./run.sh --tag 'a`b' --stage 1 ``"


def test_the_base_model_counts_with_its_better_search_metric_by_metric(tmp_path, monkeypatch):
    """Greedy search is better in English WER and worse in the rest; tuned systems keep the search they were given."""
    texts = references()
    for system, transcribed, translated in (("base", 0.4, 0.3), ("base-greedy", 0.2, 0.6), ("lora", 0.3, 0.1),
                                            ("lora-greedy", 0.1, 0.1)):
        monkeypatch.setitem(ERRORS, system, {"en": transcribed, "fr": transcribed, "ru": transcribed})
        directory = add_decode(tmp_path, system, {key: text for key, text in texts.items() if "transcribe" in key})
        hypotheses = read_list(directory / "text")
        monkeypatch.setitem(ERRORS, system, {"fr": translated, "ru": translated})
        directory = add_decode(tmp_path, system, {key: text for key, text in texts.items() if "translate" in key})
        hypotheses |= read_list(directory / "text")
        rows = score_directory(directory, read_decode_info(directory), pair_texts(texts, hypotheses),
                               ScoringOptions(), 100, nj=1)
        write_json(directory / "scores.json", rows)
    done = run_report("--bootstrap", 200, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {(row["system"], row["metric"]): row["value"] for row in json.loads((tmp_path / "results.json").read_text())
            if row["language"] == "all" and row["form"] == "written"}
    assert rows["base-greedy", "wer"] < rows["base", "wer"] and rows["base-greedy", "bleu"] < rows["base", "bleu"]
    text = (tmp_path / "RESULTS.md").read_text()
    main = tables(text)[0]
    assert [*main[0]] == ["metric", "language", "utts", "base", "lora"]
    shown = {line["metric"]: line for line in main if line["language"] == "all"}
    assert shown["WER"]["base"].startswith(f"{rows['base-greedy', 'wer']:.1f} ")
    assert shown["BLEU"]["base"].startswith(f"{rows['base', 'bleu']:.1f} ")
    assert shown["WER"]["lora"].startswith(f"{rows['lora', 'wer']:.1f} ")  # although greedy search is better here
    assert "greedy search for WER, beam search, beam size 5, for the rest" in " ".join(text.split())
    compared = {(one.system["metric"], one.system["language"]): one for one in compare(collect(tmp_path), 200)}
    assert {one.system["system"] for one in compared.values()} == {"lora"}
    assert compared["wer", "all"].baseline["value"] == rows["base-greedy", "wer"]
    gain = rows["lora", "wer"] - rows["base-greedy", "wer"]
    assert compared["wer", "all"].test.difference == pytest.approx(gain, abs=1e-3)
    both = next(table for table in tables(text) if "base-greedy" in table[0])
    assert [*both[0]][3:] == ["base", "base-greedy", "lora", "lora-greedy"]
