"""Batches by frames: within the budget, complete, and the same for the same seed and epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.config import PADDING_POLICIES, PaddingOptions
from utils.features.feature_set import pack
from utils.train.batching import FrameBatchSampler, Item, draw_padding

WINDOW = 3000
LENGTHS = st.lists(st.integers(1, WINDOW), min_size=1, max_size=120) | st.lists(  # sparse, or full batches
    st.integers(90, 130), min_size=40, max_size=120)
NO_PADDING = PaddingOptions(policy="none")

quick = settings(max_examples=60, deadline=None)


def composition(batches: list[list[Item]]) -> list[list[int]]:
    return [[item.window for item in batch] for batch in batches]


@quick
@given(LENGTHS, st.integers(100, 6000), st.integers(0, 5), st.integers(0, 3), st.booleans())
def test_every_utterance_once_and_no_batch_over_budget(lengths: list[int], budget: int, most: int, epoch: int,
                                                       shuffle: bool) -> None:
    sampler = FrameBatchSampler(lengths, budget, NO_PADDING, max_utterances=most, shuffle=shuffle)
    batches = composition(sampler.batches(epoch))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert max(lengths[index] for index in batch) * len(batch) <= budget or len(batch) == 1
        assert len(batch) <= most or most == 0


@quick
@given(LENGTHS, st.integers(100, 6000), st.integers(0, 3))
def test_the_same_seed_and_epoch_give_the_same_batches(lengths: list[int], budget: int, epoch: int) -> None:
    first, second = (FrameBatchSampler(lengths, budget, PaddingOptions(full_window_share=0.3), seed=7)
                     for _ in range(2))
    first.batches(epoch + 1)  # what was asked before does not matter
    second.set_epoch(epoch)
    assert first.batches(epoch) == list(second)


@quick
@given(LENGTHS, st.integers(100, 6000), st.integers(0, 5))
def test_every_epoch_has_the_same_number_of_batches(lengths: list[int], budget: int, most: int) -> None:
    sampler = FrameBatchSampler(lengths, budget, PaddingOptions(), max_utterances=most)
    assert {len(sampler.batches(epoch)) for epoch in range(4)} == {len(sampler)}


def test_epochs_and_seeds_mix_the_utterances_anew() -> None:
    lengths = np.random.default_rng(0).integers(100, 900, 200)
    batches = [composition(FrameBatchSampler(lengths, 4000, NO_PADDING, seed=seed).batches(epoch))
               for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    sets = [{frozenset(batch) for batch in of_epoch} for of_epoch in batches]
    assert all(len(one & other) < len(one) / 4 for one, other in ((sets[0], sets[1]), (sets[0], sets[2])))
    longest = [max(lengths[index] for index in batch) for batch in batches[0]]
    assert longest != sorted(longest)  # the batches' order is shuffled, too


def test_like_lengths_are_together() -> None:
    """Over 90 % of a batch's frames are speech, not padding to its longest utterance."""
    lengths = np.random.default_rng(0).integers(100, 900, 500)
    batches = composition(FrameBatchSampler(lengths, 6000, NO_PADDING).batches(0))
    used = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches)
    assert lengths.sum() / used > 0.9


def test_the_development_set_keeps_its_order_and_length() -> None:
    sampler = FrameBatchSampler([300, 100, 200, 100], 400, NO_PADDING, shuffle=False)
    for epoch in (0, 5):
        assert [[item[:2] for item in batch] for batch in sampler.batches(epoch)] == [
            [(1, 100), (3, 100)], [(2, 200)], [(0, 300)]]


@quick
@given(st.sampled_from(PADDING_POLICIES), st.integers(1, WINDOW), st.integers(0, 5000), st.integers(0, 1000))
def test_padding_stays_within_policy_and_window(policy: str, longest: int, most: int, seed: int) -> None:
    drawn = draw_padding(PaddingOptions(policy=policy, max_frames=most), np.random.default_rng(seed), longest, WINDOW)
    room = WINDOW - longest
    assert 0 <= drawn <= {"none": 0, "full": room}.get(policy, min(most, room))
    assert policy not in ("constant", "full") or drawn == (room if policy == "full" else min(most, room))


def test_padding_is_drawn_over_the_whole_range() -> None:
    rng = np.random.default_rng(0)
    drawn = {policy: [draw_padding(PaddingOptions(policy, 400), rng, 500, WINDOW) for _ in range(10_000)]
             for policy in ("uniform", "log-uniform")}
    assert (min(drawn["uniform"]), max(drawn["uniform"])) == (0, 400)
    assert 190 < np.mean(drawn["uniform"]) < 210
    assert min(drawn["log-uniform"]) == 0
    assert 350 < max(drawn["log-uniform"]) <= 400
    assert 15 < np.median(drawn["log-uniform"]) < 25  # sqrt(401) - 1 = 19


def test_a_share_of_utterances_comes_at_the_full_window_evenly_over_the_epoch() -> None:
    lengths = np.random.default_rng(0).integers(100, 900, 2000)
    sampler = FrameBatchSampler(lengths, 2500, PaddingOptions("none", full_window_share=0.05))
    at_full_window = [[(place, index) for place, batch in enumerate(sampler.batches(epoch))
                       for index, frames, _ in batch if frames == WINDOW] for epoch in (0, 1)]
    assert all(abs(len(found) - 100) < 10 for found in at_full_window)
    halves = [sum(place < len(sampler) / 2 for place, _ in found) for found in at_full_window]
    assert all(abs(half - 50) < 10 for half in halves)
    assert {index for _, index in at_full_window[0]} != {index for _, index in at_full_window[1]}


@quick
@given(LENGTHS, st.integers(100, 9000), st.integers(0, 5), st.integers(1, 3), st.floats(0, 1))
def test_batches_of_a_step_are_padded_alike(lengths: list[int], budget: int, most: int, ranks: int,
                                            share: float) -> None:
    """Whatever the share at the full window; all batches are if it is 1, and none is lost."""
    options = PaddingOptions(full_window_share=share)
    batches = FrameBatchSampler(lengths, budget, options, max_utterances=most, num_ranks=ranks).batches(0)
    plain = FrameBatchSampler(lengths, budget, PaddingOptions(), max_utterances=most, num_ranks=ranks).batches(0)
    assert len(batches) == len(plain)
    assert {index for batch in batches for index, _, _ in batch} == set(range(len(lengths)))
    for step in zip(*(batches[rank::ranks] for rank in range(ranks)), strict=True):
        assert len({frames for batch in step for _, frames, _ in batch}) == 1
    assert share < 1 or {frames for batch in batches for _, frames, _ in batch} == {WINDOW}


def test_an_items_frames_are_the_batchs_longest_plus_its_padding() -> None:
    lengths = np.random.default_rng(0).integers(100, 900, 100)
    for batch in FrameBatchSampler(lengths, 4000, PaddingOptions(max_frames=50)).batches(0):
        padded = {frames for _, frames, _ in batch}
        assert len(padded) == 1
        assert 0 <= padded.pop() - max(lengths[index] for index, _, _ in batch) <= 50


@pytest.mark.parametrize(("order", "max_utterances", "batches"), [
    ([0, 1, 2], 0, [[0, 1], [2]]),
    ([2, 0, 1], 0, [[2], [0, 1]]),
    ([0, 1, 2], 1, [[0], [1], [2]]),
    ([], 0, []),
])
def test_pack(order: list[int], max_utterances: int, batches: list[list[int]]) -> None:
    assert pack(order, [10, 10, 30], 20, max_utterances) == batches  # the last is longer than the budget


def test_fixed_batches_change_their_order_only() -> None:
    lengths = np.random.default_rng(5).integers(50, 900, 300)
    sampler = FrameBatchSampler(lengths, 4000, PaddingOptions(max_frames=300), fixed=True, num_ranks=2)
    first, second = sampler.batches(0), sampler.batches(1)
    assert first != second and sorted(first) == sorted(second) and sampler.batches(1) == second
    assert sorted(first[::2]) == sorted(second[::2])  # each process keeps its own
