"""Recordings of any length: where speech is, in both tasks, from one encoder pass, from several threads."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from made_speech import silence, speak

from utils.audio.voice_activity import SpeechSpan, find_speech, merge_spans
from utils.data.prompts import MAX_HOTWORD_TOKENS
from utils.data.tokenizer import load_tokenizer
from utils.decode.ct2_decoder import Ct2Decoder
from utils.errors import UserError
from utils.export import convert, merge
from utils.features.feature_set import Utterance
from utils.features.log_mel import LogMel, pad_frames
from utils.transcribe.recognizer import Recognizer

TALK = np.concatenate([silence(1), speak(3), silence(2), speak(3, 2), silence(1.5), speak(4, 3), silence(0.5)])
TAIL = 50  # frames of silence that the recognizer lets follow a batch's longest segment
SPOKEN = [(1, 4), (6, 9), (10.5, 14.5)]  # seconds


@pytest.fixture(scope="module")
def merged(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("merged") / "model"
    merge(tiny_whisper, tiny_whisper, directory)
    return directory


@pytest.fixture(scope="module")
def tuned(merged: Path) -> Path:
    """An export whose config says that the model was tuned for short windows."""
    convert(merged, merged.parent / "ct2 short", "float32", window="short")
    return merged.parent / "ct2 short"


@pytest.fixture(scope="module")
def recognizer(tuned: Path) -> Recognizer:
    return Recognizer(tuned, device="cpu")


class Watched:
    """A CTranslate2 model that records its calls."""

    def __init__(self, model: ctranslate2.models.Whisper) -> None:
        self.model, self.encoded, self.prompts = model, [], []
        self.detect_language = model.detect_language

    def encode(self, features: ctranslate2.StorageView) -> Any:
        self.encoded.append(tuple(features.shape))
        return self.model.encode(features)

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
        self.prompts += prompts
        return self.model.generate(encoded, prompts, **options)


def watch(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(recognizer._decoder.model)
    monkeypatch.setattr(recognizer._decoder, "model", watched)
    monkeypatch.setattr(recognizer._decoder, "_redecode_in_pieces", lambda *_, **__: None)  # random models may loop
    return watched


def test_speech_is_found_where_it_is_and_decoded_as_stage_5_does(recognizer: Recognizer, tuned: Path) -> None:
    found = recognizer(TALK, language="fr")
    assert (found.language, found.language_probability, found.duration) == ("fr", 1.0, len(TALK) / 16_000)
    for segment, (start, end) in zip(found.segments, SPOKEN, strict=True):  # made speech is heard a little late
        assert start - 0.3 < segment.start < start + 0.8 and end - 0.3 < segment.end < end + 0.3
    decoder = Ct2Decoder(tuned, load_tokenizer(tuned), device="cpu")
    for segment in found.segments:
        feats = LogMel(tuned)(TALK[round(segment.start * 16_000):round(segment.end * 16_000)])
        alone = decoder([Utterance("", len(feats), ["a|fr|transcribe", "a|fr|translate"])], [feats], len(feats) + TAIL)
        assert segment.texts.keys() == {"transcribe", "translate"}
        assert all(segment.texts.values())
        if segment is max(found.segments, key=lambda one: one.end - one.start):  # others are padded to this one
            assert list(segment.texts.values()) == list(alone.values())
    assert found.text("translate") == " ".join(segment.texts["translate"] for segment in found.segments)


def test_both_tasks_and_the_language_cost_one_encoder_pass(recognizer: Recognizer,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(recognizer, monkeypatch)
    found = recognizer(TALK)
    assert sum(shape[0] for shape in watched.encoded) == len(found.segments) == 3
    assert len(watched.prompts) == 2 * 3
    assert all(shape[2] < 500 for shape in watched.encoded)


@pytest.mark.parametrize("window", ["short", "full"])
def test_details_have_the_words_in_their_segments_times(tuned: Path, window: str) -> None:
    found = Recognizer(tuned, device="cpu", window=window)(TALK, language="fr", details=True)
    for segment in found.segments:
        for task, text in segment.texts.items():
            details = segment.details[task]
            assert "".join(word.text for word in details.words) == "".join(text.split())
            assert details.avg_logprob < 0 < details.no_speech_prob < 1
            times = [time for word in details.words for time in (word.start, word.end)]
            assert times == sorted(times) and segment.start <= times[0] and times[-1] <= segment.end + 0.05
            assert all(0 <= word.probability <= 1 for word in details.words)


def test_the_language_is_the_models_guess(recognizer: Recognizer, tuned: Path) -> None:
    one = np.concatenate([silence(0.5), speak(3), silence(0.5)])
    found = recognizer(one)
    feats = LogMel(tuned)(one[round(found.segments[0].start * 16_000):round(found.segments[0].end * 16_000)])
    model = ctranslate2.models.Whisper(str(tuned), device="cpu")
    token, probability = model.detect_language(ctranslate2.StorageView.from_array(
        np.ascontiguousarray(pad_frames(feats, len(feats) + TAIL).T[None])))[0][0]
    assert f"<|{found.language}|>" == token
    assert found.language_probability == pytest.approx(probability, rel=1e-3)


def test_a_model_that_does_not_say_so_gets_its_native_window(merged: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """faster-whisper's directories need not have a preprocessor_config.json, either."""
    convert(merged, tmp_path / "ct2", "float32")
    (tmp_path / "ct2/preprocessor_config.json").unlink()
    recognizer = Recognizer(tmp_path / "ct2", device="cpu")
    watched = watch(recognizer, monkeypatch)
    found = recognizer(TALK, ["transcribe"], "French")
    assert watched.encoded == [(1, 80, 3000)]  # speech that fits into one window is in one
    assert len(found.segments) == 1


def test_the_users_word_on_the_window_is_final(tuned: Path) -> None:
    assert Recognizer(tuned, device="cpu", window="full").window == "full"


def test_several_threads_get_what_one_gets(recognizer: Recognizer) -> None:
    talks = [np.concatenate([speak(1 + number, number), silence(1)]) for number in range(4)]
    alone = [recognizer(talk, language="fr") for talk in talks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda talk: recognizer(talk, language="fr"), talks)) == alone
    assert len({found.text("transcribe") for found in alone}) > 1


def test_silence_has_no_words(recognizer: Recognizer) -> None:
    found = recognizer(silence(3))
    assert found.segments == [] and found.text("transcribe") == "" and found.language == ""
    assert recognizer(silence(3), language="fr").language == "fr"


def test_progress_ends_at_1_and_can_end_the_work(recognizer: Recognizer) -> None:
    shares: list[float] = []
    recognizer(TALK, language="fr", on_progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0

    def stop(share: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        recognizer(TALK, language="fr", on_progress=stop)


def test_hotwords_stand_before_every_prompt(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = Recognizer(tuned, device="cpu", hotwords="Asterisk, Digium")
    watched = watch(recognizer, monkeypatch)
    recognizer(TALK, ["transcribe"], "fr")
    tokenizer = load_tokenizer(tuned)
    assert {tokenizer.decode(prompt) for prompt in watched.prompts} == {
        "<|startofprev|> Asterisk, Digium<|startoftranscript|><|fr|><|transcribe|><|notimestamps|>"}


def test_long_text_has_room_beside_hotwords(tuned: Path) -> None:
    """The decoder has 448 positions; CTranslate2 crashes with more."""
    recognizer = Recognizer(tuned, device="cpu", hotwords="x" * (MAX_HOTWORD_TOKENS - 1))
    assert recognizer(np.concatenate([speak(4, seed) for seed in range(3)]), language="fr").segments
    with pytest.raises(UserError, match=f"hotwords: .* there is room for {MAX_HOTWORD_TOKENS}; name fewer"):
        Recognizer(tuned, device="cpu", hotwords="x" * MAX_HOTWORD_TOKENS)


@pytest.mark.parametrize(("call", "complaint"), [
    (lambda recognize: recognize(TALK, language="klingon"), r"unknown language 'klingon'\. "),
    (lambda recognize: recognize(TALK, ["summarize"]), r"task summarize: must be transcribe or translate"),
    (lambda recognize: recognize(TALK, []), r"task missing"),
    (lambda recognize: recognize(TALK[:0]), r"shape is \(0,\)"),
    (lambda recognize: recognize(TALK.reshape(2, -1)), r"must be mono"),
    (lambda recognize: recognize(np.full(16_000, np.nan, np.float32)), r"NaN"),
])
def test_what_it_cannot_take_is_one_line(recognizer: Recognizer, call: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        call(recognizer)


def test_a_directory_that_is_no_export_is_named(merged: Path) -> None:
    with pytest.raises(UserError, match=r"no CTranslate2 model there .*exp/TAG/ct2_TYPE") as caught:
        Recognizer(merged)
    assert str(caught.value).startswith(f"{merged}: ")
    with pytest.raises(UserError, match=r"^compute_type: this cpu has no float17"):
        Recognizer(merged.parent / "ct2 short", device="cpu", compute_type="float17")


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("tokenizer.json", None, r"tokenizer.json: is missing. Copy it from the model"),
    ("config.json", "[]", r"config.json: cannot be read: it is no JSON object"),
    ("config.json", "{", r"config.json: cannot be read: "),
    ("preprocessor_config.json", "[]", r"preprocessor_config.json: cannot be read: it is no JSON object"),
    ("preprocessor_config.json", '{"feature_size": 128}', r"has feature_size 128, but the model takes 80 mel bins")])
def test_a_damaged_directory_is_one_line(tuned: Path, tmp_path: Path, name: str, content: str | None,
                                         complaint: str) -> None:
    directory = Path(shutil.copytree(tuned, tmp_path / "model"))
    (directory / name).unlink() if content is None else (directory / name).write_text(content)
    with pytest.raises(UserError, match=complaint) as caught:
        Recognizer(directory, device="cpu")
    assert len(str(caught.value).splitlines()) == 1


def test_spans_are_joined_up_to_a_length_and_a_gap() -> None:
    spans = [SpeechSpan(0, 16_000), SpeechSpan(17_600, 32_000), SpeechSpan(64_000, 80_000), SpeechSpan(81_600, 640_000)]
    assert merge_spans(spans, 30, 0.5) == [SpeechSpan(0, 32_000), SpeechSpan(64_000, 80_000),
                                           SpeechSpan(81_600, 640_000)]
    assert merge_spans(spans, 30, 30) == [SpeechSpan(0, 80_000), SpeechSpan(81_600, 640_000)]
    assert merge_spans([], 30, 30) == []


def test_speech_without_a_pause_is_cut_at_30_seconds() -> None:
    spans = find_speech(np.concatenate([speak(5, seed) for seed in range(8)]))
    lengths = [(span.end - span.start) / 16_000 for span in merge_spans(spans, 30, 30)]
    assert len(lengths) >= 2 and max(lengths) <= 30
    assert sum(lengths) > 35
