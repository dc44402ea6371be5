"""Decoding: batches of any mixture give what each target gives alone, from one encoder pass an audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from utils.audio.constants import FULL_WINDOW
from utils.data.prompts import prompt_ids
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import Batch, decode_set, plan_batches
from utils.decode.decoder import Decoder, Search
from utils.decode.loops import looping, token_limit
from utils.decode.transformers_decoder import TransformersDecoder
from utils.errors import UserError
from utils.features.feature_set import Utterance, stack_feats
from utils.model.checkpoints import load_base_model
from utils.model.modeling import MultitaskWhisper

# Long enough that the tiny model ends before the token limit.
UTTERANCES = [Utterance("310", 310, ["a|fr|transcribe", "a|fr|translate"]),
              Utterance("402", 402, ["b|zh|translate", "b|zh|transcribe"]),
              Utterance("300", 300, ["c|ru|transcribe", "c|de|transcribe"])]
KEYS = [key for utterance in UTTERANCES for key in utterance.keys]
LONGEST = 402


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


@pytest.fixture
def model(tiny_whisper: Path) -> MultitaskWhisper:
    return load_base_model(tiny_whisper)


def feats_of(source: str) -> np.ndarray:
    return (np.random.default_rng(int(source)).normal(size=(int(source), 80)) * 0.5).astype(np.float32)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("num_frames", [LONGEST, FULL_WINDOW])
def test_mixed_batches_give_what_single_targets_give(model: MultitaskWhisper, tokenizer: WhisperTokenizer,
                                                     beam_size: int, num_frames: int) -> None:
    decoder = TransformersDecoder(model, tokenizer, beam_size)
    together = decoder(UTTERANCES, [feats_of(utterance.source) for utterance in UTTERANCES], num_frames)
    alone: dict[str, str] = {}
    for utterance in UTTERANCES:
        for key in utterance.keys:
            alone |= decoder([Utterance(utterance.source, utterance.num_frames, [key])],
                             [feats_of(utterance.source)], num_frames)
    assert together == alone
    assert list(together) == KEYS
    assert len(set(together.values())) > 3  # audio, language and task matter: this test could fail


def test_at_the_full_window_it_is_whispers_own_greedy_search(model: MultitaskWhisper, tiny_whisper: Path,
                                                             tokenizer: WhisperTokenizer) -> None:
    stock = WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()
    feats = [feats_of(utterance.source) for utterance in UTTERANCES]
    found = TransformersDecoder(model, tokenizer)(UTTERANCES, feats, FULL_WINDOW)
    for utterance, matrix in zip(UTTERANCES, feats, strict=True):
        for key in utterance.keys:
            _, language, task = key.split("|")
            tokens = stock.generate(stack_feats([matrix], FULL_WINDOW), language=language, task=task)
            assert found[key] == tokenizer.batch_decode(tokens, skip_special_tokens=True)[0].strip()


def test_suppressed_tokens_are_never_written(model: MultitaskWhisper, tokenizer: WhisperTokenizer) -> None:
    """Neither later nor at the beginning, where Whisper suppresses the end token and the space, too."""
    first, feats = UTTERANCES[:1], [feats_of("310")]
    word = TransformersDecoder(model, tokenizer)(first, feats, 310)["a|fr|transcribe"].split()[0]
    token = tokenizer.convert_tokens_to_ids(f"Ġ{word}")
    model.generation_config.begin_suppress_tokens = [220, 50257, token]
    begun = TransformersDecoder(model, tokenizer)(first, feats, 310)["a|fr|transcribe"]
    assert begun
    assert begun.split()[0] != word
    model.generation_config.suppress_tokens = [token]
    assert word not in TransformersDecoder(model, tokenizer)(first, feats, 310)["a|fr|transcribe"].split()


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_encoder_runs_once_an_audio(model: MultitaskWhisper, tokenizer: WhisperTokenizer,
                                        beam_size: int) -> None:
    shapes: list[tuple[int, ...]] = []
    model.model.encoder.register_forward_hook(lambda _, inputs, output: shapes.append(tuple(inputs[0].shape)))
    TransformersDecoder(model, tokenizer, beam_size)(UTTERANCES, [feats_of(u.source) for u in UTTERANCES], LONGEST)
    assert shapes == [(3, 80, LONGEST)]


def test_nothing_is_said_on_the_screen(model: MultitaskWhisper, tokenizer: WhisperTokenizer,
                                       caplog: pytest.LogCaptureFixture) -> None:
    """transformers would warn about unusual generation settings, once for each batch."""
    TransformersDecoder(model, tokenizer)(UTTERANCES, [feats_of(u.source) for u in UTTERANCES], LONGEST)
    assert caplog.messages == []


def test_the_model_is_put_into_evaluation_mode(model: MultitaskWhisper, tokenizer: WhisperTokenizer) -> None:
    TransformersDecoder(model.train(), tokenizer)
    assert not model.training


def test_plans_keep_within_the_budget_and_join_equal_numbers_of_targets() -> None:
    rng = np.random.default_rng(0)
    utterances = [Utterance(str(i), int(rng.integers(20, 900)), ["k"] * int(rng.integers(1, 3))) for i in range(300)]
    for window, budget, tail in (("short", 4000, 0), ("short", 4000, 50), ("full", 12_000, 50)):
        batches = plan_batches(utterances, budget, window, tail)
        assert sorted(int(u.source) for batch in batches for u in batch.utterances) == list(range(300))
        for batch in batches:
            assert batch.num_frames * len(batch.utterances) <= budget
            assert len({len(u.keys) for u in batch.utterances}) == 1
            frames = [u.num_frames for u in batch.utterances]
            assert min(frames) + tail >= 0.7 * (max(frames) + tail)
            assert batch.num_frames == (max(frames) + tail if window == "short" else FULL_WINDOW)
    assert plan_batches([], 4000, "short") == []
    assert plan_batches([Utterance("long", 2990, ["k"])], 4000, "short", 50)[0].num_frames == FULL_WINDOW


class Fixed(Decoder):
    """A decoder that writes the number of encoded frames, in a fixed number of tokens, for any audio."""

    def __init__(self, tokenizer: WhisperTokenizer, num_tokens: int = 1) -> None:
        super().__init__(tokenizer, beam_size=1)
        self.num_tokens = num_tokens
        self.searches: list[Search] = []

    def encode(self, features: np.ndarray) -> np.ndarray:
        return features

    def generate(self, encoded: np.ndarray, prompts: list[list[list[int]]], search: Search) -> list[list[list[int]]]:
        self.searches.append(search)
        word = self.tokenizer.convert_tokens_to_ids(f"Ġ{encoded.shape[-1]}")
        said = [word, *range(1000, 1443)][:min(self.num_tokens, search.max_tokens)]
        return [[said for _ in targets] for targets in prompts]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_set_is_decoded_whole_by_any_number_of_workers(tokenizer: WhisperTokenizer, workers: int) -> None:
    decoder = Fixed(tokenizer)
    decoder.workers = workers
    hypotheses, seconds = decode_set(decoder, feats_of, plan_batches(UTTERANCES, 500, "short"))
    assert hypotheses == {key: utterance.source for utterance in UTTERANCES for key in utterance.keys}
    assert seconds > 0


def test_what_goes_wrong_in_a_worker_is_not_lost(tokenizer: WhisperTokenizer) -> None:
    def unreadable(source: str) -> np.ndarray:
        raise UserError(f"{source}: no feature matrix there")

    with pytest.raises(UserError, match="310: no feature matrix"):
        decode_set(Fixed(tokenizer), unreadable, [Batch(UTTERANCES[:1], 310)])


def test_the_token_limit_follows_the_audio_and_the_decoders_positions() -> None:
    assert token_limit(100) < token_limit(1000) <= token_limit(FULL_WINDOW) <= 444


class Endless(Fixed):
    """Goes on and on where no n-gram, or a longer one than ``ends_at`` tokens, is forbidden."""

    def __init__(self, tokenizer: WhisperTokenizer, ends_at: int) -> None:
        super().__init__(tokenizer)
        self.ends_at = ends_at

    def generate(self, encoded: np.ndarray, prompts: list[list[list[int]]], search: Search) -> list[list[list[int]]]:
        self.num_tokens = 1 if 0 < search.no_repeat_ngram <= self.ends_at else 444
        return super().generate(encoded, prompts, search)


def test_only_what_does_not_end_is_decoded_again(tokenizer: WhisperTokenizer) -> None:
    """The limit is each utterance's own, also beside a longer one."""
    pair = [Utterance("100", 100, ["a|fr|transcribe"]), Utterance("900", 900, ["b|fr|transcribe"])]
    feats = [feats_of("100"), feats_of("900")]
    between = Fixed(tokenizer, token_limit(100))
    hypotheses = between(pair, feats, 900)
    assert [search.max_tokens for search in between.searches] == [token_limit(900), *[token_limit(100)] * 2]
    assert len(hypotheses["a|fr|transcribe"].split()) == token_limit(100)
    below = Fixed(tokenizer, token_limit(100) - 1)
    below(pair, feats, 900)
    assert len(below.searches) == 1


def test_a_phrase_over_and_over_is_a_loop_and_numbers_that_are_dictated_are_none() -> None:
    phrase = [7, 8, 9, 9, 5]
    hypotheses = torch.tensor([[1, 2, 3, *(phrase * 11)], [*range(58)], [*range(30), *[4] * 28],
                               [*range(16), *[4] * 42]])
    assert looping(hypotheses).tolist() == [True, False, False, True]
    assert looping(torch.zeros(2, 40)).tolist() == [False, False]  # too short to tell


def test_a_loop_ends_long_before_the_limit_and_is_decoded_again(tokenizer: WhisperTokenizer) -> None:
    class Looping(Fixed):
        def generate(self, encoded: np.ndarray, prompts: list[list[list[int]]],
                     search: Search) -> list[list[list[int]]]:
            if search.no_repeat_ngram:
                return super().generate(encoded, prompts, search)
            self.searches.append(search)
            return [[[7] * 60 for _ in targets] for targets in prompts]

    decoder = Looping(tokenizer)
    assert token_limit(900) > 60
    hypotheses = decoder([Utterance("900", 900, ["a|fr|transcribe"])], [feats_of("900")], 900)
    assert hypotheses == {"a|fr|transcribe": str(FULL_WINDOW)}
    assert [search.no_repeat_ngram for search in decoder.searches] == [0, 40]


@pytest.mark.parametrize("window", [100, FULL_WINDOW])
@pytest.mark.parametrize(("ends_at", "searches"), [(10, [0, 10]), (9, [0, 10, 7]), (2, [0, 10, 7])])
def test_what_does_not_end_is_tried_twice_at_the_native_window_with_phrases_forbidden(
        tokenizer: WhisperTokenizer, window: int, ends_at: int, searches: list[int]) -> None:
    """As often where the first window was the native one: the base model gets no fewer tries than the tuned one."""
    decoder = Endless(tokenizer, ends_at)
    hypotheses = decoder([Utterance("100", 100, ["a|fr|transcribe"])], [feats_of("100")], window)
    assert [search.no_repeat_ngram for search in decoder.searches] == searches
    text = hypotheses["a|fr|transcribe"]
    assert text == str(FULL_WINDOW) if ends_at > 2 else len(text.split()) == token_limit(100)


def test_a_model_that_never_ends_is_stopped(model: MultitaskWhisper, tokenizer: WhisperTokenizer) -> None:
    with torch.no_grad():
        model.proj_out.weight[50257] = 0
    decoder = TransformersDecoder(model, tokenizer)
    feats = [feats_of(utterance.source) for utterance in UTTERANCES]
    together = decoder(UTTERANCES, feats, LONGEST)
    assert 0.8 * token_limit(310) < len(together["a|fr|transcribe"].split()) <= token_limit(310)  # some tokens join
    assert together == {key: text for utterance, matrix in zip(UTTERANCES, feats, strict=True)
                        for key, text in decoder([utterance], [matrix], LONGEST).items()}


def test_a_loop_is_stopped_and_repeated_ngrams_can_be_forbidden(model: MultitaskWhisper,
                                                                tokenizer: WhisperTokenizer) -> None:
    with torch.no_grad():
        model.proj_out.weight[50257] = 0
    decoder = TransformersDecoder(model, tokenizer)
    encoded = decoder.encode(stack_feats([feats_of("310")], 310).numpy())
    prompts = [[prompt_ids(tokenizer, "a|fr|translate")]]
    free, bound = (decoder.generate(encoded, prompts, Search(1, 200, ngram))[0][0] for ngram in (0, 3))
    assert len(free) < 200 == len(bound)
    assert looping(torch.tensor([free])) and not looping(torch.tensor([bound]))
    assert len({tuple(bound[first:first + 3]) for first in range(198)}) == 198
