"""The benchmarks run on a random model and made speech, and all programs do the same work; times are not tested."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from made_corpus import write_set

from tools.bench import bench_scale, bench_silence, contestants, measure_scale, quality
from tools.bench.measure import Timing, report, spread, spread_audio, take_turns
from tools.bench.operations import OperationsCounter
from tools.bench.trainers import measure_training, train_ours, train_stock
from utils.config import load_config
from utils.data.data_directory import MergeOptions, merge_task_lists, write_data_directory
from utils.export import convert, merge

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "conf/whisper_multitask.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_set(tmp_path_factory.mktemp("bench") / "set", 2)
    write_data_directory(directory, merge_task_lists(directory, MergeOptions()))
    return directory


def test_contestants_take_turns_and_the_report_has_their_medians(tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []
    timings = take_turns({"ours": lambda: calls.append("ours"), "theirs": lambda: calls.append("theirs")}, 3)
    assert calls == ["ours", "theirs"] * 3
    assert [len(timing.seconds) for timing in timings] == [3, 3]
    report("A title", {"threads": 2}, ["", "seconds"], [["ours", 1.5]], tmp_path / "a.json",
           [Timing("ours", [2.0, 1.0, 9.0], {"wer": 7})])
    assert "A title" in capsys.readouterr().out
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["figures"] == [{"name": "ours", "seconds": [2.0, 1.0, 9.0], "median": 2.0, "wer": 7}]
    assert written["settings"] == {"threads": 2} and written["machine"]


def test_audio_is_taken_from_all_of_a_set_with_all_of_its_tasks(data: Path) -> None:
    assert spread(range(10), 4) == [0, 3, 6, 9] and spread([1], 4) == [1]
    audio = spread_audio(data / "wav.scp", 3)
    assert len(audio) == 3 and all(len(keys) == 2 for keys in audio.values())
    assert {key.split("|")[1] for keys in audio.values() for key in keys} == {"chinese", "fr"}


def test_every_way_of_decoding_decodes_every_key(data: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    merge(tiny_whisper, tiny_whisper, tmp_path / "merged")
    convert(tmp_path / "merged", tmp_path / "ct2", "float32")
    args = Namespace(merged=tmp_path / "merged", ct2=tmp_path / "ct2", device="cpu", threads=1, batch_size=2)
    audio = spread_audio(data / "wav.scp", 2)
    keys = {key for keys in audio.values() for key in keys}
    references = dict.fromkeys(keys, "a b")
    for make in (contestants.ours_ct2, contestants.ours_transformers, contestants.faster_whisper_batched):
        found = make(args, audio, 1)()
        assert found.keys() == keys
        assert contestants.figures(references, found).keys() == {"wer", "bleu"} or not any(found.values())


def test_both_trainers_train_on_the_same_targets(data: Path, tiny_whisper: Path) -> None:
    args = Namespace(model=tiny_whisper, data=data, config=CONFIG, utterances=4, threads=1, steps=1, device="cpu")
    gflop = {}
    for name in ("ours", "ours-short", "stock"):
        found = measure_training(name, args)
        gflop[name] = found["gflop_per_target"]
        assert found["targets"] > 0 and found["seconds"] > 0 and found["peak_gb"] > 0
        assert found["audio_seconds"] == pytest.approx(found["targets"] * 0.26, rel=0.6)
    assert gflop["ours-short"] <= gflop["ours"] < gflop["stock"] / 5


def test_operations_of_attention_and_of_matrix_products_are_counted() -> None:
    counter = OperationsCounter(steps=1)
    query = torch.randn(1, 2, 30, 8, requires_grad=True)
    for _ in range(2):  # the second step is not counted
        counter.on_step_begin()
        torch.nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()
        counter.on_step_end()
    product = 2 * 2 * 30 * 30 * 8
    assert counter.operations == product * (2 + 5)  # backward makes the scores again, and the gradients of four factors


def test_both_ways_of_training_leave_an_adapter(data: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    for name, train in (("shipped", train_ours), ("stock", train_stock)):
        config = load_config(CONFIG, quality.WAYS[name])
        assert train(tiny_whisper, config, data, tmp_path / name) > 0
        assert (tmp_path / name / "adapter_model.safetensors").is_file()


def test_samples_of_silence_are_compared_with_the_whole_window(data: Path, tiny_whisper: Path) -> None:
    found = bench_silence.compare(tiny_whisper, data, 2, [8, 700])
    assert found["whole"]["positions"] == pytest.approx(1500)
    assert found["whole"]["cosine"] == pytest.approx(1) and found["whole"]["same"] == 100
    assert found["sample of 8"]["positions"] < found["sample of 700"]["positions"] - 600
    assert 0 < found["sample of 700"]["divergence"] < found["cut"]["divergence"]


def test_what_a_list_costs_is_measured_on_lists_that_merge_and_train(tiny_whisper: Path, tmp_path: Path) -> None:
    args = Namespace(model=tiny_whisper, config=CONFIG, threads=1)
    assert bench_scale._merge(400)["seconds"] > 0
    found = bench_scale._train(400, args)  # two arks
    assert min(found.values()) > 0
    bench_scale._plot([1000, 2000], [["1,000", *range(1, 7)], ["2,000", *range(2, 8)]], tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")


def test_a_made_set_of_any_size_is_scored(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    measure_scale.scoring(300, data / "text", nj=2)
    shown = capfd.readouterr()
    assert "300 references = 300 hypotheses scored" in shown.err and "scoring 300 keys, 2 jobs: " in shown.out
