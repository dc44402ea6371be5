"""From lists to a batch: one row an utterance, all of its targets in it, and every mistake named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import WhisperTokenizer

from utils.audio.loading import load_audio
from utils.config import Lists
from utils.data.lists import write_list
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError
from utils.features.feature_set import Utterance, open_set, stack_feats
from utils.features.log_mel import LogMel, silence_level
from utils.model.modeling import IGNORED
from utils.model.sampled_silence import SampledSilence
from utils.train.batching import Item
from utils.train.dataset import MultitaskCollator, MultitaskDataset, describe, split_batch

MakeWav = Callable[..., Path]
END = 50257


@pytest.fixture
def log_mel(tiny_whisper: Path) -> LogMel:
    return LogMel(tiny_whisper)


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


def feats_of(num_frames: int) -> np.ndarray:
    return np.random.default_rng(num_frames).random((num_frames, 80), np.float32)


def make_dataset(tokenizer: WhisperTokenizer, texts: dict[str, str],
                 utterances: list[Utterance]) -> MultitaskDataset:
    return MultitaskDataset(utterances, lambda source: feats_of(int(source)), texts, tokenizer, "data/text")


def test_audio_lists_are_grouped_by_file(log_mel: LogMel, make_wav: MakeWav, tmp_path: Path) -> None:
    one, two = str(make_wav("one.wav", 0.5)), str(make_wav("two.mp3", 1.2, rate=44_100))
    write_list(tmp_path / "wav.scp", {"a|zh|transcribe": one, "a|zh|translate": one, "b|fr|translate": two})
    utterances, read_feats = open_set(Lists(wav_scp=str(tmp_path / "wav.scp")), "predict.eval", log_mel)
    assert [(utterance.source, utterance.keys) for utterance in utterances] == [
        (one, ["a|zh|transcribe", "a|zh|translate"]), (two, ["b|fr|translate"])]
    assert np.array_equal(read_feats(one), log_mel(load_audio(one)))
    assert utterances[0].num_frames == len(read_feats(one))


def test_feature_lists_go_before_audio_lists(log_mel: LogMel, tmp_path: Path) -> None:
    write_list(tmp_path / "feats.scp", {"a|zh|transcribe": "x.ark:5", "a|zh|translate": "x.ark:5"})
    write_list(tmp_path / "utt2num_frames", {"a|zh|transcribe": "7", "a|zh|translate": "7"})
    lists = Lists(wav_scp="not looked at", feats_scp=str(tmp_path / "feats.scp"))
    assert open_set(lists, "data.train", log_mel)[0] == [Utterance("x.ark:5", 7, ["a|zh|transcribe", "a|zh|translate"])]


def test_lists_that_are_missing_or_do_not_fit_are_named(log_mel: LogMel, tmp_path: Path, make_wav: MakeWav) -> None:
    scp = tmp_path / "feats.scp"
    write_list(scp, {"a|zh|transcribe": "x.ark:5"})
    with pytest.raises(UserError, match=r"data\.train\.wav_scp is empty"):
        open_set(Lists(), "data.train", log_mel)
    with pytest.raises(UserError, match="utt2num_frames: cannot be read"):
        open_set(Lists(feats_scp=str(scp)), "data.train", log_mel)
    for frames in ({"b|zh|transcribe": "7"}, {"a|zh|transcribe": "many"}):
        write_list(tmp_path / "utt2num_frames", frames)
        with pytest.raises(UserError, match=r"utt2num_frames: no number for a\|zh\|transcribe"):
            open_set(Lists(feats_scp=str(scp)), "data.train", log_mel)
    write_list(tmp_path / "wav.scp", {"a|zh|transcribe": str(make_wav("long.wav", 30.1))})
    with pytest.raises(UserError, match=r"wav.scp: .*long.wav: 30.10 s; Whisper takes at most 30 s"):
        open_set(Lists(wav_scp=str(tmp_path / "wav.scp")), "data.train", log_mel)


def test_a_command_in_an_audio_list_leads_to_an_option_that_exists(log_mel: LogMel, tmp_path: Path) -> None:
    """train.py and predict.py have no --allow-pipes."""
    write_list(tmp_path / "wav.scp", {"a|zh|transcribe": "cat a.wav |"}, verbatim=True)
    with pytest.raises(UserError, match=r"wav.scp: cat a.wav \|: is a command, .*dump_feats.py --allow-pipes true"):
        open_set(Lists(wav_scp=str(tmp_path / "wav.scp")), "data.train", log_mel)


def test_an_example_is_an_utterance_with_all_its_targets(tokenizer: WhisperTokenizer) -> None:
    texts = {"a|zh|transcribe": "你好", "a|chinese|translate": "hello", "c|fr|translate": "unused"}
    dataset = make_dataset(tokenizer, texts, [Utterance("30", 30, ["a|zh|transcribe", "a|chinese|translate"])])
    example = dataset[Item(0, 42)]
    assert example["padded_frames"] == 42
    assert np.array_equal(example["feats"], feats_of(30))
    prompts, answers = zip(*((inputs[:4], labels[3:]) for inputs, labels in example["targets"]), strict=True)
    assert prompts == ([50258, 50260, 50359, 50363], [50258, 50260, 50358, 50363])
    assert [tokenizer.decode(answer) for answer in answers] == ["你好<|endoftext|>", " hello<|endoftext|>"]
    assert all(labels == [-100] * 3 + inputs[4:] + [END] for inputs, labels in example["targets"])
    assert (len(dataset), dataset.num_targets) == (1, 2)
    assert describe(dataset) == "2 targets of 1 utterances, 0.0 minutes"


def test_a_key_without_text_and_a_text_without_room_are_named(tokenizer: WhisperTokenizer) -> None:
    utterances = [Utterance("30", 30, ["a|fr|translate"])]
    with pytest.raises(UserError, match=r"data/text: no line for a\|fr\|translate \(1 keys"):
        make_dataset(tokenizer, {"b|fr|translate": "x"}, utterances)
    assert len(make_dataset(tokenizer, {"a|fr|translate": "x" * 442}, utterances)[Item(0, 30)]["targets"][0][0]) == 447
    with pytest.raises(UserError, match=r"data/text: a\|fr\|translate: the text has 444 tokens, .* room for 443"):
        make_dataset(tokenizer, {"a|fr|translate": "x" * 443}, utterances)[Item(0, 30)]


def test_feats_are_padded_with_their_own_silence_and_nothing_else() -> None:
    """There are no more frames than requested; in particular, nothing is padded to 30 s."""
    loud, quiet = feats_of(5), feats_of(8) - 3
    batch = stack_feats([loud, quiet], 10).numpy()
    assert batch.shape == (2, 80, 10)
    assert np.array_equal(batch[0, :, :5], loud.T)
    assert (batch[0, :, 5:] == np.float32(silence_level(loud))).all()
    assert (batch[1, :, 8:] == -1.5).all()


def test_a_header_that_promised_too_few_frames_does_no_harm() -> None:
    assert stack_feats([feats_of(5), feats_of(8)], 7).shape == (2, 80, 8)


def test_rows_hold_targets_one_after_the_other() -> None:
    """Prompts are inputs only; labels are the next tokens and end with the end token; nothing starts twice."""
    collate = MultitaskCollator(end_token=END)
    prompt, ignored = [50258, 50259, 50359, 50363], [IGNORED] * 3
    batch = collate([
        {"index": 7, "feats": feats_of(5), "padded_frames": 9, "targets": [
            ([*prompt, 1, 2], [*ignored, 1, 2, END]), ([*prompt, 3], [*ignored, 3, END])]},
        {"index": 3, "feats": feats_of(9), "padded_frames": 9, "targets": [(prompt, [*ignored, END])]},
    ])
    assert batch["batch_id"] == 7
    assert batch["input_features"].shape == (2, 80, 9)
    assert batch["decoder_input_ids"].tolist() == [[*prompt, 1, 2, *prompt, 3], [*prompt, *[END] * 7]]
    assert batch["decoder_position_ids"].tolist() == [[*range(6), *range(5)], [*range(4), *[0] * 7]]
    assert batch["decoder_segments"].tolist() == [[*[0] * 6, *[1] * 5], [*[0] * 4, *[-1] * 7]]
    assert batch["labels"].tolist() == [[*ignored, 1, 2, END, *ignored, 3, END], [*ignored, END, *[IGNORED] * 7]]
    counted = batch["labels"] != IGNORED
    assert not np.isin(batch["labels"][counted], prompt).any()


def examples_of(*lengths: int, padded_frames: int) -> list[dict[str, Any]]:
    return [{"index": index, "feats": feats_of(frames), "padded_frames": padded_frames,
             "targets": [([50258, 50259, 50359, 50363, *range(index + 1)], [IGNORED] * 3 + [*range(index + 1), END])]}
            for index, frames in enumerate(lengths)]


@pytest.mark.parametrize(("padded_frames", "count", "frames", "sampled"), [
    (90, 0, 90, None), (90, 20, 90, None), (90, 9, 52, SampledSilence(45, 9)), (45, 10, 45, None)])
def test_long_silence_comes_as_a_sample(padded_frames: int, count: int, frames: int,
                                        sampled: SampledSilence | None) -> None:
    """The sample is large enough to represent the silence; short silence is kept whole."""
    batch = MultitaskCollator(END, silence_positions=count)(examples_of(20, 43, 30, padded_frames=padded_frames))
    assert batch["input_features"].shape == (3, 80, frames)
    assert batch["silence"] == sampled


@pytest.mark.parametrize(("first", "count"), [(130, 64), (1200, 64), (10, 1), (0, 1000)])
def test_a_sample_of_the_silence_is_closest_near_the_speech(first: int, count: int) -> None:
    sample = SampledSilence(1500, count)
    positions, stretches = sample.positions(first), sample.stretches(first).diff()
    assert len(positions) == len(stretches) == count
    assert first <= positions.min()
    assert positions.max() < 1500
    assert (positions.diff() >= 0).all()
    assert (stretches.diff() > 0).all()
    assert float(stretches.sum()) == pytest.approx(1500 - first)


@pytest.mark.parametrize(("count", "max_frames", "sizes"), [(0, 200, [2, 2, 1]), (0, 60, [1] * 5), (0, 500, [5]),
                                                            (9, 200, [2, 2, 1])])
def test_a_batch_that_is_too_large_for_the_memory_comes_in_parts(count: int, max_frames: int,
                                                                 sizes: list[int]) -> None:
    examples = examples_of(5, 6, 43, 30, 9, padded_frames=90)
    collate = MultitaskCollator(END, silence_positions=count)
    batch = collate(examples)
    parts = split_batch(batch, max_frames)
    assert [len(part["input_features"]) for part in parts] == sizes
    assert len({part["batch_id"] for part in parts}) == len(parts)
    members = iter(examples)
    for part in parts:
        alone = collate([next(members) for _ in part["input_features"]])
        assert part["silence"] == batch["silence"]
        frames = alone["input_features"].shape[2]
        assert part["input_features"][..., :frames].equal(alone["input_features"])
        length = alone["labels"].shape[1]
        for name in ("labels", "decoder_input_ids", "decoder_position_ids", "decoder_segments"):
            assert part[name][:, :length].equal(alone[name])
    assert sum((part["labels"] != IGNORED).sum() for part in parts) == (batch["labels"] != IGNORED).sum()
