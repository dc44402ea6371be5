"""Windows of training: which utterances stand where, and the tokens of their targets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from transformers import WhisperTokenizer

from utils.audio.constants import FULL_WINDOW
from utils.config import WindowOptions
from utils.data.lists import write_list
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.features.log_mel import LogMel
from utils.model.modeling import IGNORED
from utils.train.balance import describe_balance, repeated_windows
from utils.train.batching import Item
from utils.train.dataset import MultitaskDataset, describe
from utils.train.targets import TargetWriter
from utils.train.window_plan import plan_windows
from utils.train.windows import Window, compose, describe_windows, recorded_chains, single_windows

START, END = 50258, 50257
ALL = WindowOptions(joined_share=1.0, timed_joined_share=0.5, no_speech_share=0.1)
FEATS = np.full((300, 80), 0.5, np.float32)


def make_utterances(count: int, frames: int = 300) -> list[Utterance]:
    """Of two languages; every third has no translation."""
    found = []
    for number in range(count):
        language = "fr" if number % 2 else "ru"
        tasks = ["transcribe"] if number % 3 == 0 else ["transcribe", "translate"]
        found.append(Utterance(str(number), frames + number, [f"u{number}|{language}|{task}" for task in tasks]))
    return found


UTTERANCES = make_utterances(120)
TEXTS = {key: f"text {key.split('|')[0]} {key[-5:]}" for utterance in UTTERANCES for key in utterance.keys}


@pytest.fixture
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


def windows_of(options: WindowOptions = ALL, seed: int = 1, tokens: int = 10, speaker: str = "") -> list[Window]:
    return compose(UTTERANCES, [tokens] * len(UTTERANCES), options, seed, [speaker] * len(UTTERANCES))


def test_without_options_there_is_a_window_for_each_utterance() -> None:
    assert [(window.members, window.starts, window.num_frames) for window in windows_of(WindowOptions())] == [
        ((number,), (0,), utterance.num_frames) for number, utterance in enumerate(UTTERANCES)]


def test_joined_windows_hold_utterances_that_agree_in_language_and_tasks() -> None:
    joined = [window for window in windows_of() if window.is_joined]
    assert len(joined) > 5
    for window in joined:
        kinds = {tuple(key.split("|", 1)[1] for key in UTTERANCES[member].keys) for member in window.members}
        assert len(kinds) == 1
        assert window.num_frames <= FULL_WINDOW
        ends = [start + UTTERANCES[member].num_frames
                for start, member in zip(window.starts, window.members, strict=True)]
        pauses = [start - end for end, start in zip(ends, window.starts[1:], strict=False)]
        assert all(20 <= pause <= 160 for pause in pauses)
        assert window.is_cut == (ends[-1] > window.num_frames)
        assert not window.is_cut or (window.timed and window.num_frames == FULL_WINDOW)
    assert any(window.is_cut for window in joined) and any(not window.timed for window in joined)


def test_a_cut_utterance_comes_again_at_the_start_of_the_next_window() -> None:
    """Unless that window would have had no other: utterances alone are windows already."""
    windows = windows_of()
    cut = [number for number, window in enumerate(windows) if window.is_cut and windows[number + 1].earlier == number]
    assert any(windows[number].members[-1] == windows[number + 1].members[0] for number in cut)
    assert not any(windows[number].members[-1] in windows[number + 1].members[1:] for number in cut)


def test_the_seed_decides_and_the_share_limits() -> None:
    assert windows_of(seed=3) == windows_of(seed=3) != windows_of(seed=4)
    speech = sum(UTTERANCES[member].num_frames for window in windows_of(WindowOptions(joined_share=0.3))
                 if window.is_joined for member in window.members)
    total = sum(utterance.num_frames for utterance in UTTERANCES)
    assert 0.3 * total <= speech < 0.3 * total + FULL_WINDOW


def test_no_window_has_more_tokens_than_whisper_takes() -> None:
    assert all(len(window.members) <= 2 for window in windows_of(tokens=200))


def test_speakers_are_not_mixed() -> None:
    speakers = ["a" if number < 60 else "b" for number in range(len(UTTERANCES))]
    joined = [window for window in compose(UTTERANCES, [10] * len(UTTERANCES), ALL, 1, speakers) if window.is_joined]
    assert joined and all(len({speakers[member] for member in window.members}) == 1 for window in joined)


def test_neighbours_of_a_recording_keep_their_pauses() -> None:
    places = {f"u{number}": ("talk", 5.0 * number, 5.0 * number + 3) for number in range(5)} | {"u5": ("other", 0, 3)}
    utterances = [Utterance(str(number), 302, [f"u{number}|fr|transcribe"]) for number in (2, 0, 1, 5, 3, 4)]
    chains = recorded_chains(utterances, lambda key: places[key.split("|")[0]])
    assert [(list(chain.members), list(chain.pauses or ())) for chain in chains] == [
        ([1, 2, 0, 4, 5], [200] * 4), ([3], [])]
    joined = [window for window in compose(utterances, [5] * 6, ALL, 0, [""] * 6, chains) if window.is_joined]
    assert joined and all(set(np.diff(window.starts)) <= {502} for window in joined)


def test_earlier_text_in_a_recording_is_what_was_said_before() -> None:
    utterances = [Utterance(str(number), 500, [f"u{number}|fr|transcribe"]) for number in range(12)]
    begins = {f"u{number}|fr|transcribe": 6.0 * number for number in range(12)}
    chains = recorded_chains(utterances, lambda key: ("talk", begins[key], begins[key] + 5))
    joined = [window for window in compose(utterances, [5] * 12, ALL, 0, [""] * 12, chains) if window.is_joined]
    assert len(joined) > 1
    assert all(window.earlier == (window.members[0] - 1 if window.members[0] else None) for window in joined)


def test_segments_of_two_tasks_may_differ() -> None:
    utterances = [Utterance(str(number), 200, [f"u{number}|fr|{'translate' if number % 2 else 'transcribe'}"])
                  for number in range(8)]
    chains = recorded_chains(utterances, lambda key: ("talk", 3.0 * int(key[1]), 3.0 * int(key[1]) + 2))
    assert sorted(list(chain.members) for chain in chains) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_segments_beside_the_text_are_used(tiny_whisper: Path, tmp_path: Path) -> None:
    write_list(tmp_path / "text", TEXTS)
    keys = [key for utterance in UTTERANCES for key in utterance.keys]
    lines = {key: f"talk {4 * int(key[1:].split('|')[0])} {4 * int(key[1:].split('|')[0]) + 3.5}" for key in keys}
    write_list(tmp_path / "segments", lines)
    plan = plan_windows(ALL, 1, UTTERANCES, tmp_path / "text", LogMel(tiny_whisper))
    assert sorted(member for chain in plan.recorded for member in chain.members) == list(range(len(UTTERANCES)))
    write_list(tmp_path / "segments", dict(list(lines.items())[:10]))
    with pytest.raises(UserError, match=r"segments: .* utterances are not in it"):
        plan_windows(ALL, 1, UTTERANCES, tmp_path / "text", LogMel(tiny_whisper))


def test_the_log_says_what_share_each_kind_makes() -> None:
    line = describe_windows(windows_of(), UTTERANCES)
    assert "single: " in line and "joined: " in line and "no speech: " in line and line.count("% of frames") == 3


def writer(tokenizer: WhisperTokenizer, **options: float) -> TargetWriter:
    return TargetWriter(UTTERANCES, TEXTS, tokenizer, WindowOptions(**options), "text")


def shown(tokenizer: WhisperTokenizer, tokens: list[int]) -> str:
    return "".join(f"<|{0.02 * (token - 50364):.2f}|>" if token >= 50364 else tokenizer.decode([token])
                   for token in tokens)


def test_targets_with_times_name_start_and_end_of_each_utterance(tokenizer: WhisperTokenizer) -> None:
    window = Window((1, 5, 7), (0, 400, 2800), FULL_WINDOW, timed=True, is_cut=True)
    said, translated = writer(tokenizer).targets(window, None, np.random.default_rng(0))
    assert shown(tokenizer, said[0]) == (
        "<|startoftranscript|><|fr|><|transcribe|><|0.00|> text u1 cribe<|2.99|>".replace("2.99", "3.00")
        + "<|4.00|> text u5 cribe<|7.04|><|28.00|>")
    assert said[1] == [IGNORED, IGNORED, *said[0][3:], END]
    assert shown(tokenizer, translated[0]).startswith("<|startoftranscript|><|fr|><|translate|><|0.00|> text u1 slate")


def test_targets_without_times_are_the_texts_one_after_the_other(tokenizer: WhisperTokenizer) -> None:
    window = Window((1, 5), (0, 400), 800, timed=False)
    said, _ = writer(tokenizer).targets(window, None, np.random.default_rng(0))
    assert shown(tokenizer, said[0]) == ("<|startoftranscript|><|fr|><|transcribe|><|notimestamps|> text u1 cribe"
                                         " text u5 cribe")
    assert said[1] == [IGNORED] * 3 + said[0][4:] + [END]


def test_earlier_text_comes_before_the_prompt_and_is_not_learned(tokenizer: WhisperTokenizer) -> None:
    singles = single_windows(UTTERANCES)
    said, translated = writer(tokenizer, earlier_text_share=1.0).targets(singles[5], singles[1],
                                                                         np.random.default_rng(0))
    assert shown(tokenizer, said[0]).startswith("<|startofprev|> text u1 cribe<|startoftranscript|>")
    assert shown(tokenizer, translated[0]).startswith("<|startofprev|> text u1 slate<|startoftranscript|>")
    first = said[0].index(START) + 3
    assert said[1] == [IGNORED] * first + said[0][first + 1:] + [END]


def test_long_earlier_text_is_cut_from_the_left(tokenizer: WhisperTokenizer) -> None:
    texts = TEXTS | {"u1|fr|transcribe": " ".join(map(str, range(300)))}
    singles = single_windows(UTTERANCES)
    long = TargetWriter(UTTERANCES, texts, tokenizer, WindowOptions(earlier_text_share=1.0), "text")
    tokens = long.targets(singles[5], singles[1], np.random.default_rng(0))[0][0]
    assert tokens.index(START) == 224
    assert shown(tokenizer, tokens).split("<|startoftranscript|>")[0].endswith(" 299")


def test_a_list_of_words_has_said_ones_and_others(tokenizer: WhisperTokenizer) -> None:
    singles, found = single_windows(UTTERANCES), set()
    texts = {key: text.replace("text", f"word{key.split('|')[0]}") for key, text in TEXTS.items()}
    words = TargetWriter(UTTERANCES, texts, tokenizer, WindowOptions(word_list_share=1.0), "text")
    for seed in range(20):
        tokens = words.targets(singles[5], None, np.random.default_rng(seed))[0][0]
        found |= set(shown(tokenizer, tokens).split("<|startoftranscript|>")[0].removeprefix("<|startofprev|>")
                     .strip().split(", "))
    assert "wordu5" in found and len(found) > 10


def word_lists_before(tokenizer: WhisperTokenizer, texts: dict[str, str]) -> set[str]:
    """What comes before the prompt of the first of some texts."""
    utterances = [Utterance(key, 300, [key]) for key in texts]
    words = TargetWriter(utterances, texts, tokenizer, WindowOptions(word_list_share=1.0), "text")
    single = single_windows(utterances)[0]
    drawn = (words.targets(single, None, np.random.default_rng(seed))[0][0] for seed in range(20))
    return {tokenizer.decode(tokens[:tokens.index(START)]).removeprefix("<|startofprev|>") for tokens in drawn}


def test_texts_of_short_words_alone_have_no_list(tokenizer: WhisperTokenizer) -> None:
    assert word_lists_before(tokenizer, {"a|en|transcribe": "one two six", "b|en|transcribe": "ten"}) == {""}


def test_a_list_in_a_language_without_spaces_is_not_the_answer(tokenizer: WhisperTokenizer) -> None:
    texts = {"a|zh|transcribe": "一二线城市虽然也处于调整中", "b|zh|transcribe": "甚至出现交易几乎停滞的情况",
             "c|zh|transcribe": "好"}
    words = {word for drawn in word_lists_before(tokenizer, texts) for word in drawn.strip().split(", ") if word}
    assert all(2 <= len(word) <= 4 for word in words)
    assert all(any(word in text for word in words) for text in list(texts.values())[:2])


def test_where_nobody_speaks_the_target_is_empty(tokenizer: WhisperTokenizer) -> None:
    noise, seen = Window((), (), 500, noise=0), set()
    for seed in range(10):
        empty, no_speech = writer(tokenizer).targets(noise, None, np.random.default_rng(seed))
        assert [token for token in empty[1] if token != IGNORED] in ([END], [50364, END])
        assert no_speech == ([START, 50362], [50362, END])
        seen.add(len(empty[0]))
    assert len(seen) == 1  # three tokens of the prompt, then <|notimestamps|> or a time


def test_examples_depend_on_seed_epoch_and_window_alone(tokenizer: WhisperTokenizer, tiny_whisper: Path,
                                                        tmp_path: Path) -> None:
    write_list(tmp_path / "text", TEXTS)
    options = WindowOptions(joined_share=0.5, timed_share=0.5, timed_joined_share=0.5, earlier_text_share=0.3,
                            word_list_share=0.2, no_speech_share=0.1)

    def dataset(seed: int) -> MultitaskDataset:
        plan = plan_windows(options, seed, UTTERANCES, tmp_path / "text", LogMel(tiny_whisper))
        return MultitaskDataset(UTTERANCES, lambda _: FEATS, TEXTS, tokenizer, "text", plan)

    def examples(seed: int, epoch: int) -> list:
        made = dataset(seed)
        return [(made[Item(number, 3000, epoch)]["targets"], made[Item(number, 3000, epoch)]["feats"].sum())
                for number in range(len(made))]

    assert examples(1, 0) == examples(1, 0) != examples(1, 1)
    assert len(examples(1, 0)) == len(examples(1, 1)) > len(UTTERANCES)
    assert examples(1, 0) != examples(2, 0)
    assert describe(dataset(1)) == "200 targets of 120 utterances, 7.2 minutes"  # joined ones are no new data


@pytest.mark.parametrize(("temperature", "scarce"), [(1.0, 4), (2.0, 20), (1e9, 100)])
def test_scarce_languages_are_repeated(temperature: float, scarce: int) -> None:
    utterances = [Utterance(str(number), 300, [f"u{number}|{'cy' if number < 4 else 'fr'}|transcribe"])
                  for number in range(104)]
    windows = [*single_windows(utterances), Window((), (), 100, noise=0)]
    more = repeated_windows(windows, utterances, temperature, np.random.default_rng(0))
    counts = Counter(utterances[window.members[0]].keys[0].split("|")[1] for window in [*windows[:-1], *more])
    assert counts == {"fr": 100, "cy": scarce}
    each = Counter(window.members[0] for window in more)
    assert not each or max(each.values()) - min(each.values()) <= 1
    line = describe_balance([*windows, *more], utterances, lambda _: 10)
    assert f"cy transcribe {scarce} targets, {10 * scarce} tokens" in line


def test_a_balanced_training_set_is_longer(tokenizer: WhisperTokenizer, tiny_whisper: Path, tmp_path: Path) -> None:
    russian, french = ([one for one in UTTERANCES if f"|{code}|" in one.keys[0]] for code in ("ru", "fr"))
    few = russian[:5] + french
    texts = {key: TEXTS[key] for one in few for key in one.keys}
    write_list(tmp_path / "text", texts)
    sizes = []
    for balance in (1.0, 5.0):
        plan = plan_windows(WindowOptions(), 1, few, tmp_path / "text", LogMel(tiny_whisper), balance)
        dataset = MultitaskDataset(few, lambda _: FEATS, texts, tokenizer, plan=plan)
        sizes.append(len(dataset))
        assert dataset[Item(len(dataset) - 1, 300)]["targets"]
    assert sizes[0] == len(few) and sizes[1] > 1.2 * len(few)
