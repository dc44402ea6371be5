"""CTranslate2 writes what transformers writes, at short windows, too, and for any number of targets an audio."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from utils.audio.constants import FULL_WINDOW
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import decode_set, plan_batches
from utils.decode.bf16_encoder import Bf16EncoderDecoder
from utils.decode.ct2_decoder import Ct2Decoder, resolve_runtime
from utils.decode.transformers_decoder import TransformersDecoder
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.model.checkpoints import load_base_model

# Long enough that the tiny model ends before the token limit.
UTTERANCES = [Utterance("310", 310, ["a|fr|transcribe", "a|fr|translate"]), Utterance("402", 402, ["b|zh|translate"]),
              Utterance("300", 300, ["c|ru|transcribe", "c|de|transcribe"]), Utterance("330", 330, ["d|en|transcribe"])]


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


@pytest.fixture(scope="module")
def ct2(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("ct2") / "float32"
    TransformersConverter(str(tiny_whisper)).convert(str(target))
    return target


def feats_of(source: str) -> np.ndarray:
    return (np.random.default_rng(int(source)).normal(size=(int(source), 80)) * 0.5).astype(np.float32)


@pytest.mark.parametrize("window", ["short", "full"])
def test_greedy_search_writes_what_transformers_writes(ct2: Path, tiny_whisper: Path, tokenizer: WhisperTokenizer,
                                                       window: str) -> None:
    """Several batches at once, with one and with two targets an utterance."""
    batches = plan_batches(UTTERANCES, 3 * FULL_WINDOW if window == "full" else 330, window)
    theirs, _ = decode_set(Ct2Decoder(ct2, tokenizer, device="cpu", compute_type="float32"), feats_of, batches)
    ours, _ = decode_set(TransformersDecoder(load_base_model(tiny_whisper), tokenizer), feats_of, batches)
    assert theirs == ours
    assert len(set(theirs.values())) > 3  # audio, language and task matter: this test could fail


def test_the_encoder_runs_once_an_audio(ct2: Path, tokenizer: WhisperTokenizer,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Ct2Decoder(ct2, tokenizer, device="cpu", compute_type="float32")
    shapes: list[list[int]] = []

    class Counting:
        generate = decoder.model.generate

        def encode(self, features: ctranslate2.StorageView) -> ctranslate2.StorageView:
            shapes.append(list(features.shape))
            return model.encode(features)

    model, decoder.model = decoder.model, Counting()
    two_targets = [UTTERANCES[0], UTTERANCES[2]]
    hypotheses = decoder(two_targets, [feats_of(utterance.source) for utterance in two_targets], 310)
    assert shapes == [[2, 80, 310]]
    assert list(hypotheses) == [key for utterance in two_targets for key in utterance.keys]


def test_beams_are_searched(ct2: Path, tokenizer: WhisperTokenizer) -> None:
    """Its rules for ending differ a little from transformers', so only what both must do is tested."""
    first, feats = UTTERANCES[:1], [feats_of("310")]
    greedy, beam = (Ct2Decoder(ct2, tokenizer, beam_size=size, device="cpu", compute_type="float32")(first, feats, 310)
                    for size in (1, 5))
    assert greedy.keys() == beam.keys()
    assert greedy != beam


def test_hypotheses_are_cut_where_transformers_cuts_them(tiny_whisper: Path, tokenizer: WhisperTokenizer,
                                                         tmp_path: Path) -> None:
    endless = WhisperForConditionalGeneration.from_pretrained(tiny_whisper)
    with torch.no_grad():
        endless.proj_out.weight[50257] = 0
    endless.save_pretrained(tmp_path / "hf")
    tokenizer.save_pretrained(tmp_path / "hf")
    TransformersConverter(str(tmp_path / "hf")).convert(str(tmp_path / "ct2"))
    first, feats = UTTERANCES[1:2], [feats_of("402")]
    theirs = Ct2Decoder(tmp_path / "ct2", tokenizer, device="cpu", compute_type="float32")(first, feats, 402)
    ours = TransformersDecoder(load_base_model(tmp_path / "hf"), tokenizer)(first, feats, 402)
    assert len(theirs["b|zh|translate"].split()) == len(ours["b|zh|translate"].split())


def test_auto_takes_what_the_machine_has(ct2: Path, tokenizer: WhisperTokenizer) -> None:
    device, compute_type = resolve_runtime("auto", "auto")
    assert device == ("cuda" if ctranslate2.get_cuda_device_count() else "cpu")
    assert compute_type == "default"
    decoder = Ct2Decoder(ct2, tokenizer)
    assert (decoder.device, decoder.compute_type) == (device, "float32")  # as the model was saved
    assert Ct2Decoder(ct2, tokenizer, device="cpu", compute_type="int8").compute_type == "int8_float32"


@pytest.mark.parametrize(("device", "compute_type", "complaint"), [
    ("cpu", "float17", r"compute_type: this cpu has no float17; it has .*float32"),
    ("cpu", "int8_float16", r"compute_type: this cpu has no int8_float16; it has .*float32"),
    ("gpu", "auto", r"dev_env\.conf\.device must be auto, cpu or cuda, not 'gpu'"),
    ("cuda:1", "int8", r"dev_env\.conf\.device must be auto, cpu or cuda, not 'cuda:1'"),
])
def test_what_the_machine_lacks_is_one_line(ct2: Path, tokenizer: WhisperTokenizer, device: str,
                                            compute_type: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        Ct2Decoder(ct2, tokenizer, device=device, compute_type=compute_type)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 0, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(tmp_path: Path, tokenizer: WhisperTokenizer) -> None:
    with pytest.raises(UserError, match=r"dev_env\.conf\.device: cuda, but .* no GPU here; use cpu or auto"):
        Ct2Decoder(tmp_path, tokenizer, device="cuda")


def test_a_directory_without_model_is_named(tmp_path: Path, tokenizer: WhisperTokenizer) -> None:
    with pytest.raises(UserError, match=r"CTranslate2 cannot load it") as caught:
        Ct2Decoder(tmp_path, tokenizer, device="cpu")
    assert str(caught.value).startswith(f"{tmp_path}: ")


def test_an_encoder_in_bf16_hears_nearly_the_same(ct2: Path, tiny_whisper: Path, tokenizer: WhisperTokenizer) -> None:
    """And it is this encoder that is used: with another one's, the outputs are others."""
    threads = torch.get_num_threads()
    try:
        exact = Ct2Decoder(ct2, tokenizer, device="cpu", compute_type="float32")
        fast = Bf16EncoderDecoder(load_base_model(tiny_whisper).model.encoder, ct2, tokenizer)
        assert fast.compute_type == "float32, encoder bf16"
        for num_frames in (310, FULL_WINDOW):
            features = np.stack([np.pad(feats_of("310"), ((0, num_frames - 310), (0, 0))).T] * 2)
            ours, theirs = (np.array(decoder.encode(features)) for decoder in (fast, exact))
            assert ours.shape == theirs.shape and ours.dtype == np.float32
            assert 0 < np.abs(ours - theirs).mean() < 0.05 * np.abs(theirs).mean()
        batches = plan_batches(UTTERANCES, 330, "short")
        assert decode_set(fast, feats_of, batches)[0].keys() == decode_set(exact, feats_of, batches)[0].keys()
    finally:
        torch.set_num_threads(threads)
