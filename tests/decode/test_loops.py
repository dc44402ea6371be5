"""What is a loop, what is too long and what may not be repeated, in scripts that take several tokens a character."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from script_texts import LOOPED, PARAGRAPHS, REPEATED
from tiny_whisper import make_tiny_whisper
from transformers import NoRepeatNGramLogitsProcessor, WhisperForConditionalGeneration, WhisperTokenizer

from utils.audio.constants import FULL_WINDOW
from utils.data.languages import language_code, tokens_per_character
from utils.data.prompts import prompt_ids
from utils.data.tokenizer import load_tokenizer
from utils.decode.ct2_decoder import Ct2Decoder
from utils.decode.decoder import Decoder, Search
from utils.decode.loops import has_loop, is_endless, looping, ngram_size, token_limit, tokens_a_character
from utils.decode.transformers_decoder import TransformersDecoder
from utils.features.feature_set import Utterance
from utils.model.checkpoints import load_base_model

KNOWN = json.loads((Path(__file__).parents[1] / "openai_token_ids.json").read_text(encoding="utf-8"))
NAMES = {"my": "Burmese", "lo": "Lao", "ka": "Georgian", "gu": "Gujarati", "km": "Khmer", "bo": "Tibetan"}
FAST = 20  # characters a second
COMMA = [11]


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


class Speaker(Decoder):
    """Says given tokens, as far as the search lets it; where phrases must not be repeated, one token."""

    def __init__(self, tokenizer: WhisperTokenizer, tokens: list[int]) -> None:
        super().__init__(tokenizer, beam_size=1)
        self.tokens = tokens
        self.searches: list[Search] = []

    def encode(self, features: np.ndarray) -> np.ndarray:
        return features

    def generate(self, encoded: np.ndarray, prompts: list[list[list[int]]], search: Search) -> list[list[list[int]]]:
        self.searches.append(search)
        tokens = self.tokens[:1] if search.no_repeat_ngram else self.tokens[:search.max_tokens]
        return [[tokens for _ in targets] for targets in prompts]


def ids_of(tokenizer: WhisperTokenizer, text: str) -> list[int]:
    """One token a byte: the most that Whisper's own tokenizer may take."""
    return tokenizer(text, add_special_tokens=False).input_ids


def first_words(text: str, tokens: int) -> str:
    """As many whole characters of a text as fit into so many bytes."""
    return text.encode()[:tokens].decode(errors="ignore")


def said_in(text: str) -> int:
    """Frames of 10 ms in which a fast speaker says a text."""
    return round(len(text) / FAST * 100)


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("digits", "white space", "punctuation")])
def test_every_script_has_the_tokens_that_its_language_allows(name: str) -> None:
    code = language_code(name.partition(",")[0])
    share = len(KNOWN[name]["ids"]) / len(KNOWN[name]["text"])
    assert (share > 1.3) == (tokens_per_character(code) == 3)
    assert share <= tokens_per_character(code) * 1.2


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_ordinary_text_said_fast_is_written_whole_at_the_first_try(tokenizer: WhisperTokenizer,
                                                                   language: str) -> None:
    text = first_words(PARAGRAPHS[language], 444).strip()
    for said in (text, REPEATED[language]):
        decoder = Speaker(tokenizer, ids_of(tokenizer, said))
        frames, key = said_in(said), f"a|{language}|transcribe"
        assert decoder([Utterance("a", frames, [key])], [np.zeros((frames, 80), np.float32)], frames) == {key: said}
        assert len(decoder.searches) == 1


@pytest.mark.parametrize(("language", "name"), NAMES.items())
def test_whispers_own_tokens_of_ordinary_sentences_are_no_loop(language: str, name: str) -> None:
    text, ids = KNOWN[name]["text"], KNOWN[name]["ids"]
    for said, tokens in ((text, ids), (f"{text},{text}", [*ids, *COMMA, *ids])):
        assert not is_endless(tokens, token_limit(said_in(said), 3), tokens_a_character(f"a|{language}|transcribe"))


@pytest.mark.parametrize("language", PARAGRAPHS)
@pytest.mark.parametrize("characters", [25, 40])
def test_what_must_not_be_repeated_leaves_ordinary_text_as_it_is(tokenizer: WhisperTokenizer, language: str,
                                                                 characters: int) -> None:
    text = PARAGRAPHS[language]
    ids = ids_of(tokenizer, text)
    assert forbidden(ids, 3)  # what was forbidden before
    assert not forbidden(ids, ngram_size(40, tokenizer.decode(ids[:40]), characters))


@pytest.mark.parametrize("name", NAMES.values())
def test_what_must_not_be_repeated_leaves_whispers_own_tokens_as_they_are(name: str) -> None:
    text, ids = KNOWN[name]["text"], KNOWN[name]["ids"]
    assert not forbidden(ids, ngram_size(len(ids), text, 25))


def forbidden(ids: list[int], ngram: int) -> int:
    """How many tokens of a text transformers would not let a model write."""
    processor, logits = NoRepeatNGramLogitsProcessor(ngram), torch.zeros(1, 51865)
    return sum(bool(processor(torch.tensor([ids[:index]]), logits.clone())[0, ids[index]] == -torch.inf)
               for index in range(1, len(ids)))


@pytest.mark.parametrize(("text", "num_tokens", "expected"), [
    ("This is a test of it all", 6, 7), ("გამარჯობა, როგორ", 40, 63), ("今天天气很好，我们去", 10, 13), ("", 40, 75),
    ("999", 3, 25), ("incomprehensibilities!!!", 2, 3)])
def test_tokens_of_a_phrase_are_counted_by_its_characters(text: str, num_tokens: int, expected: int) -> None:
    assert ngram_size(num_tokens, text, 25) == expected


@pytest.mark.parametrize("language", LOOPED)
@pytest.mark.parametrize("after", ["", "!?"])
def test_a_loop_is_recognised_in_every_script(tokenizer: WhisperTokenizer, language: str, after: str) -> None:
    """It is one, too, if it ends: a search that was stopped would not have got there."""
    tokens = [*ids_of(tokenizer, LOOPED[language] * 12), *ids_of(tokenizer, after)][-444:]
    assert has_loop(tokens, 3)
    assert looping(torch.tensor([tokens]), 3).tolist() == [not after]
    decoder = Speaker(tokenizer, tokens)
    decoder([Utterance("a", 1000, [f"a|{language}|transcribe"])], [np.zeros((1000, 80), np.float32)], 1000)
    assert [bool(search.no_repeat_ngram) for search in decoder.searches] == [False, True]


@pytest.mark.parametrize("language", LOOPED)
def test_a_short_phrase_is_said_three_times_and_more_before_it_is_a_loop(tokenizer: WhisperTokenizer,
                                                                        language: str) -> None:
    assert not has_loop(ids_of(tokenizer, LOOPED[language] * 3), 3)


def test_translations_are_english_whatever_is_spoken(tokenizer: WhisperTokenizer) -> None:
    decoder = Speaker(tokenizer, list(range(1000, 1400)))
    keys = ["a|my|transcribe", "a|my|translate"]
    decoder([Utterance("a", 400, keys)], [np.zeros((400, 80), np.float32)], 400)
    assert [tokens_a_character(key) for key in keys] == [3, 1]
    assert decoder.searches[0] == Search(1, 420, 0, (3, 1))
    assert decoder.searches[1].max_tokens == 140  # only the translation was too long


def test_text_that_fills_the_decoder_is_no_loop(tokenizer: WhisperTokenizer) -> None:
    text = "".join(PARAGRAPHS[language] for language in ("my", "bo"))
    decoder = Speaker(tokenizer, ids_of(tokenizer, text))
    decoder([Utterance("a", 2900, ["a|my|transcribe"])], [np.zeros((2900, 80), np.float32)], FULL_WINDOW)
    assert len(decoder.searches) == 1


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that never end: one pads with its end token, one with another, as large-v3; and CTranslate2's form."""
    directories = {name: tmp_path_factory.mktemp(name) for name in ("end", "other", "ct2")}
    for name, pad in (("end", 50257), ("other", 50256)):
        make_tiny_whisper(directories[name], pad_token_id=pad)
        model = WhisperForConditionalGeneration.from_pretrained(directories[name])
        with torch.no_grad():
            model.proj_out.weight[50257] = 0
        model.save_pretrained(directories[name])
    TransformersConverter(str(directories["end"])).convert(str(directories["ct2"]), force=True)
    load_tokenizer(directories["end"]).save_pretrained(directories["ct2"])
    return directories


def feats_of(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(400, 80)) * 0.5).astype(np.float32)


def keep_searches(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of every search, how many targets it had, and whether repeated phrases were forbidden."""
    searches: list[tuple[int, int]] = []
    generate = decoder.generate

    def kept(encoded: object, prompts: list[list[list[int]]], search: Search) -> list[list[list[int]]]:
        searches.append((sum(map(len, prompts)), search.no_repeat_ngram))
        return generate(encoded, prompts, search)

    monkeypatch.setattr(decoder, "generate", kept)
    return searches


def test_a_stopped_loop_is_one_whatever_the_model_pads_with(endless: dict[str, Path]) -> None:
    """Eight utterances in a batch: what has stopped waits for the others, and is padded meanwhile."""
    found: dict[str, list[list[int]]] = {}
    for name in ("end", "other"):
        tokenizer = load_tokenizer(endless[name])
        decoder = TransformersDecoder(load_base_model(endless[name]), tokenizer)
        encoded = decoder.encode(np.stack([feats_of(seed).T for seed in range(8)]))
        prompts = [[prompt_ids(tokenizer, f"{seed}|fr|translate")] for seed in range(8)]
        found[name] = [tokens for tokens, in decoder.generate(encoded, prompts, Search(1, 200))]
    assert found["other"] == found["end"]
    stopped = [tokens for tokens in found["other"] if len(tokens) < 200]
    assert len(stopped) >= 2
    assert all(looping(torch.tensor([tokens]))[0] for tokens in stopped)


@pytest.mark.parametrize("num_frames", [400, FULL_WINDOW])
@pytest.mark.parametrize("backend", ["transformers", "ctranslate2"])
def test_every_system_tries_again_twice(endless: dict[str, Path], backend: str, num_frames: int,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """At a short window and at the native one, which the base model and the teacher have from the first."""
    if backend == "transformers":
        decoder: Decoder = TransformersDecoder(load_base_model(endless["end"]), load_tokenizer(endless["end"]))
    else:
        decoder = Ct2Decoder(endless["ct2"], load_tokenizer(endless["ct2"]), device="cpu", compute_type="float32")
    searches = keep_searches(decoder, monkeypatch)
    decoder([Utterance("0", 400, ["0|fr|transcribe"])], [feats_of(0)], num_frames)
    assert len(searches) == 3
    assert searches[0][1] == 0 < searches[2][1] < searches[1][1]


def said_with_pauses(times: int) -> np.ndarray:
    """Features of a sentence of two seconds, said several times with pauses of half a second."""
    random = np.random.default_rng(0)
    sentence = random.normal(0.5, 0.2, (200, 80))
    pause = random.normal(-0.9, 0.05, (50, 80))
    return np.concatenate([sentence] + [pause, sentence] * (times - 1)).astype(np.float32)


class Repeater(Speaker):
    """Loops where it hears several sentences at once, and writes one where it hears one."""

    def __init__(self, tokenizer: WhisperTokenizer, sentence: list[int], always: bool = False) -> None:
        super().__init__(tokenizer, sentence)
        self.always = always

    def generate(self, encoded: np.ndarray, prompts: list[list[list[int]]], search: Search) -> list[list[list[int]]]:
        self.searches.append(search)
        found = []
        for features, targets in zip(encoded, prompts, strict=True):
            heard = int((features > 0).any(axis=0).sum())
            loops = not search.no_repeat_ngram and (self.always or heard > 300)
            found.append([(self.tokens * 40)[:search.max_tokens] if loops else self.tokens for _ in targets])
        return found


@pytest.mark.parametrize("times", [3, 8])
def test_a_sentence_said_again_and_again_is_written_as_often(tokenizer: WhisperTokenizer, times: int) -> None:
    sentence = ids_of(tokenizer, " Please hold the line.")
    feats = said_with_pauses(times)
    decoder = Repeater(tokenizer, sentence)
    found = decoder([Utterance("a", len(feats), ["a|en|transcribe"])], [feats], len(feats))
    assert found["a|en|transcribe"] == " ".join(["Please hold the line."] * times)
    assert not any(search.no_repeat_ngram for search in decoder.searches)


def test_pieces_that_loop_are_decoded_without_repeating(tokenizer: WhisperTokenizer) -> None:
    """Where there is no pause, the whole utterance is."""
    sentence = ids_of(tokenizer, " Please hold the line.")
    decoder = Repeater(tokenizer, sentence, always=True)
    feats = said_with_pauses(3)
    found = decoder([Utterance("a", len(feats), ["a|en|transcribe"])], [feats], len(feats))
    assert found["a|en|transcribe"] == " ".join(["Please hold the line."] * 3)
    assert [bool(search.no_repeat_ngram) for search in decoder.searches] == [False, False, True]
    steady = feats[:200]
    decoder.searches.clear()
    found = decoder([Utterance("a", 200, ["a|en|transcribe"])], [steady], 200)
    assert found["a|en|transcribe"] == "Please hold the line."
    assert [bool(search.no_repeat_ngram) for search in decoder.searches] == [False, True]
