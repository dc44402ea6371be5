"""The recipe's promises about its model: packed targets and short windows change the cost, never the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_whisper import make_tiny_whisper
from torch.nn import functional
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from utils.config import LoraOptions
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.model.checkpoints import is_adapter, load_base_model, load_tuned_model, to_stock
from utils.model.lora import add_lora, count_parameters
from utils.model.modeling import MultitaskWhisper
from utils.model.sampled_silence import SampledSilence
from utils.train.batching import Item
from utils.train.dataset import MultitaskCollator, MultitaskDataset

WINDOW = 3000
# Audio of unlike lengths with one to three targets: rows of the batch end in padding.
UTTERANCES = [Utterance("31", 31, ["a|fr|transcribe", "a|fr|translate"]), Utterance("44", 44, ["b|zh|transcribe"]),
              Utterance("20", 20, ["c|en|transcribe", "c|de|translate", "c|fr|translate"])]
TEXTS = {"a|fr|transcribe": "deux mots", "a|fr|translate": "two", "b|zh|transcribe": "你好", "c|en|transcribe": "a",
         "c|de|translate": "longer than the others", "c|fr|translate": "xy"}
LORA = LoraOptions(r=4, alpha=8)

Batch = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tokenizer(tiny_whisper: Path) -> WhisperTokenizer:
    return load_tokenizer(tiny_whisper)


@pytest.fixture
def model(tiny_whisper: Path) -> MultitaskWhisper:
    return load_base_model(tiny_whisper).eval()


@pytest.fixture
def stock(tiny_whisper: Path) -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()


@pytest.fixture(scope="module")
def make_batch(tokenizer: WhisperTokenizer) -> Callable[..., Batch]:
    """``make_batch(utterances, frames)``: what training makes of them."""
    def make(utterances: list[Utterance], frames: int) -> Batch:
        dataset = MultitaskDataset(utterances, feats_of, TEXTS, tokenizer)
        return MultitaskCollator(tokenizer.eos_token_id)([dataset[Item(i, frames)] for i in range(len(dataset))])

    return make


def feats_of(source: str) -> np.ndarray:
    return np.random.default_rng(int(source)).normal(size=(int(source), 80)).astype(np.float32)


def separately(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and summed loss of every target alone, as transformers' own forward pass sees it."""
    logits, losses = [], []
    for row, segments in enumerate(batch["decoder_segments"]):
        for segment in range(int(segments.max()) + 1):
            part = segments == segment
            output = model(input_features=batch["input_features"][row:row + 1],
                           decoder_input_ids=batch["decoder_input_ids"][row, part][None]).logits[0]
            labels = batch["labels"][row, part]
            logits.append(output[labels != -100])
            losses.append(functional.cross_entropy(output, labels, reduction="sum"))
    return torch.cat(logits), torch.stack(losses).sum()


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_same_gradients(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Sums in another order: rounding relative to a gradient's largest element."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.isfinite(gradient).all()
        scale = float(gradient.abs().max())
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-4 * scale + 1e-5), name


def with_random_lora(model: MultitaskWhisper, options: LoraOptions = LORA) -> torch.nn.Module:
    """Adapters that do something: PEFT starts them at zero."""
    torch.manual_seed(5)
    tuned = add_lora(model, options)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return tuned


def test_at_the_full_window_logits_are_the_stock_models(model: MultitaskWhisper, stock: torch.nn.Module,
                                                        make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(UTTERANCES, WINDOW)
    with torch.no_grad():
        expected, _ = separately(stock, batch)
        packed = model(**batch, return_logits=True)
        unpacked, _ = separately(model, batch)
    assert packed.logits.shape == expected.shape == (int(packed.num_labels), 51865)
    assert packed.num_labels == sum(len(text.encode()) + 1 + (key[2:4] != "zh") for key, text in TEXTS.items())
    assert torch.allclose(packed.logits, expected, atol=1e-4)
    assert torch.allclose(unpacked, expected, atol=1e-5)


def test_a_sample_of_the_silence_stands_for_all_of_it(model: MultitaskWhisper,
                                                       make_batch: Callable[..., Batch]) -> None:
    """Exactly so where positions of the silence do not differ: nothing else is lost by the sample."""
    encoder = model.double().model.encoder
    with torch.no_grad():
        encoder.conv1.bias.zero_()  # silence is then zero behind the stem, too, as what lies beyond the window
        encoder.conv2.bias.zero_()
        encoder.embed_positions.weight[20:] = encoder.embed_positions.weight[20]
    whole, short = make_batch(UTTERANCES, WINDOW), make_batch(UTTERANCES, 54)
    for batch in (whole, short):
        batch["input_features"] = batch["input_features"].double()
        batch["input_features"][..., 44:] = 0
    sampled = short | {"silence": SampledSilence(WINDOW // 2, 10)}
    expected, found, cut = (model(**batch, return_logits=True) for batch in (whole, sampled, short))
    assert torch.allclose(found.logits, expected.logits, atol=1e-6)
    assert not torch.allclose(cut.logits, expected.logits, atol=1e-2)
    tuned = with_random_lora(model)
    assert_same_gradients(gradients(tuned, tuned(**sampled).loss), gradients(tuned, tuned(**whole).loss))


def test_the_stock_loss_is_there_for_those_who_want_it(model: MultitaskWhisper, stock: torch.nn.Module) -> None:
    feats, labels = torch.randn(1, 80, WINDOW), torch.tensor([[50259, 50359, 50363, 65, 66, 50257]])
    assert torch.allclose(model(feats, labels=labels).loss, stock(feats, labels=labels).loss)


def test_packed_loss_and_gradients_are_the_sums_of_the_stock_models(
        model: MultitaskWhisper, stock: torch.nn.Module, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(UTTERANCES, WINDOW)
    _, expected = separately(stock, batch)
    loss = model(**batch).loss
    assert torch.allclose(loss, expected, rtol=1e-5)
    assert_same_gradients(gradients(model, loss), gradients(stock, expected))


def test_packed_lora_gradients_are_the_sums_of_the_separate_ones(
        model: MultitaskWhisper, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(UTTERANCES, 50)
    tuned = with_random_lora(model)
    expected = gradients(tuned, separately(tuned, batch)[1])
    assert expected
    assert all("lora_" in name for name in expected)
    assert_same_gradients(gradients(tuned, tuned(**batch).loss), expected)


def test_other_targets_and_other_rows_do_not_matter(model: MultitaskWhisper,
                                                    make_batch: Callable[..., Batch]) -> None:
    """At a short window, too, and whatever padding the longest row brings."""
    together = model(**make_batch(UTTERANCES, 50), return_logits=True)
    alone = [model(**make_batch([Utterance(utterance.source, utterance.num_frames, [key])], 50), return_logits=True)
             for utterance in UTTERANCES for key in utterance.keys]
    assert torch.isfinite(together.logits).all()
    assert torch.allclose(together.logits, torch.cat([output.logits for output in alone]), atol=1e-4)
    assert torch.allclose(together.loss, sum(output.loss for output in alone), rtol=1e-5)


@pytest.mark.parametrize("frames", [45, 46, 120])
def test_the_encoder_runs_once_an_audio_and_only_over_the_frames_there_are(
        model: MultitaskWhisper, make_batch: Callable[..., Batch], frames: int) -> None:
    seen: list[tuple[int, ...]] = []
    model.model.encoder.register_forward_hook(
        lambda _, inputs, output: seen.extend([tuple(inputs[0].shape), tuple(output.last_hidden_state.shape)]))
    model(**make_batch(UTTERANCES, frames))
    assert seen == [(3, 80, frames), (3, -(-frames // 2), 64)]


def test_more_than_the_window_is_refused(model: MultitaskWhisper) -> None:
    with pytest.raises(ValueError, match=r"3001 frames; the encoder takes 3000"):
        model.model.encoder(torch.zeros(1, 80, WINDOW + 1))


def test_label_smoothing_is_pytorchs(model: MultitaskWhisper, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(UTTERANCES, 50)
    output = model(**batch, return_logits=True, label_smoothing=0.1)
    labels = batch["labels"][batch["labels"] != -100]
    expected = functional.cross_entropy(output.logits, labels, reduction="sum", label_smoothing=0.1)
    assert torch.allclose(output.loss, expected)


def test_a_merged_adapter_gives_what_the_adapter_gives(model: MultitaskWhisper, tiny_whisper: Path, tmp_path: Path,
                                                       make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(UTTERANCES, 50)
    untuned = model(**batch).loss
    tuned = with_random_lora(model)
    tuned.save_pretrained(tmp_path / "adapter")
    assert is_adapter(tmp_path / "adapter")
    assert not is_adapter(tiny_whisper)
    merged = load_tuned_model(tmp_path / "adapter", tiny_whisper).eval()
    assert isinstance(merged, MultitaskWhisper)
    expected, found = (whisper(**batch, return_logits=True) for whisper in (tuned, merged))
    assert torch.allclose(found.logits, expected.logits, atol=1e-3)
    assert abs(found.loss - untuned) > 1  # the adapter does something
    assert load_tuned_model(tmp_path / "adapter", tiny_whisper, torch.bfloat16).dtype == torch.bfloat16
    assert torch.equal(load_tuned_model(tiny_whisper, "not needed").proj_out.weight, load_base_model(
        tiny_whisper).proj_out.weight)


def test_the_stock_class_takes_the_weights(model: MultitaskWhisper, stock: torch.nn.Module, tmp_path: Path) -> None:
    to_stock(model).save_pretrained(tmp_path)
    loaded = WhisperForConditionalGeneration.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["WhisperForConditionalGeneration"]
    assert loaded.generation_config.lang_to_id == stock.generation_config.lang_to_id
    state = loaded.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in stock.state_dict().items())
    assert loaded.proj_out.weight is loaded.model.decoder.embed_tokens.weight


def test_adapters_sit_on_the_named_projections_alone(model: MultitaskWhisper) -> None:
    tuned = add_lora(model, LoraOptions(r=4, target_modules=["q_proj", "fc2"]))
    trained = [name for name, parameter in tuned.named_parameters() if parameter.requires_grad]
    assert {name.split(".")[-4] for name in trained} == {"q_proj", "fc2"}
    # 2 layers: self-attention and fc2 on both sides, cross-attention in the decoder; A and B of each.
    assert len(trained) == 2 * 2 * (2 + 3)
    q_proj, fc2 = 4 * (64 + 64), 4 * (128 + 64)
    assert count_parameters(tuned) == (2 * (3 * q_proj + 2 * fc2), sum(p.numel() for p in tuned.parameters()))


def test_without_encoder_adapters_nothing_is_kept_for_a_backward_pass_through_it(
        model: MultitaskWhisper, make_batch: Callable[..., Batch]) -> None:
    tuned = with_random_lora(model, LoraOptions(r=4, encoder=False))
    needs_gradient: list[bool] = []
    model.model.encoder.register_forward_hook(
        lambda *call: needs_gradient.append(call[2].last_hidden_state.requires_grad))
    trained = gradients(tuned, tuned(**make_batch(UTTERANCES, 50)).loss)
    assert trained
    assert all(".decoder.layers." in name for name in trained)
    assert needs_gradient == [False]


@pytest.mark.parametrize(("targets", "complaint"), [
    (["q_proj", "query"], "no layer query; there are fc1, fc2, k_proj, out_proj, q_proj, v_proj"),
    (["proj_out"], "no layer proj_out"), (["conv1"], "no layer conv1"), ([], "target_modules is empty"),
])
def test_projections_that_whisper_lacks_are_named(model: MultitaskWhisper, targets: list[str],
                                                  complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        add_lora(model, LoraOptions(target_modules=targets))


def set_config(directory: Path, **changes: object) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **changes}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda d: (d / "model.safetensors").unlink(), "no Whisper checkpoint could be read"),
    (lambda d: cut(d / "model.safetensors"), "no Whisper checkpoint could be read"),
    (lambda d: (d / "config.json").write_text("{"), "no Whisper checkpoint could be read"),
    (lambda d: set_config(d, model_type="bert"), "a bert model, not Whisper"),
    (lambda d: set_config(d, d_model=32), "no Whisper checkpoint could be read"),
    (lambda d: set_config(d, encoder_layers=3), r"lacks model\.encoder\.layers\.2\..* and 14 other weights"),
], ids=["no weights", "cut weights", "no configuration", "not Whisper", "other width", "more layers"])
def test_checkpoints_that_are_not_whole_are_refused(tiny_whisper: Path, tmp_path: Path,
                                                    change: Callable[[Path], None], complaint: str) -> None:
    directory = shutil.copytree(tiny_whisper, tmp_path / "model")
    change(directory)
    with pytest.raises(UserError, match=complaint) as caught:
        load_base_model(directory)
    assert str(caught.value).startswith(f"{directory}: ")


@pytest.mark.parametrize("change", [lambda path: path.unlink(), cut], ids=["no weights", "cut weights"])
def test_adapters_that_are_not_whole_are_refused(model: MultitaskWhisper, tiny_whisper: Path, tmp_path: Path,
                                                 change: Callable[[Path], None]) -> None:
    add_lora(model, LORA).save_pretrained(tmp_path)
    change(tmp_path / "adapter_model.safetensors")
    with pytest.raises(UserError, match=f"{tmp_path}: no adapter there that fits") as caught:
        load_tuned_model(tmp_path, tiny_whisper)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
@pytest.mark.parametrize("size", [{"encoder_layers": 1}, {"decoder_layers": 3}, {"d_model": 32}], ids=str)
def test_adapters_of_another_model_are_refused(model: MultitaskWhisper, tmp_path: Path, size: dict[str, int]) -> None:
    """PEFT itself would leave out what does not fit."""
    add_lora(model, LORA).save_pretrained(tmp_path / "adapter")
    other = make_tiny_whisper(tmp_path / "other", **size)
    with pytest.raises(UserError, match=r"adapter: (no adapter there that fits|the adapter is of another model)"):
        load_tuned_model(tmp_path / "adapter", other)


@pytest.mark.parametrize("config", ['{"peft_type": "LORA", "megatron_config": {"x": 1}, "megatron_core": "evil"}',
                                    '{"peft_type": "IA3"}', "[]", "no JSON"])
def test_adapters_that_name_code_are_not_loaded(tmp_path: Path, tiny_whisper: Path, monkeypatch: pytest.MonkeyPatch,
                                                config: str) -> None:
    """PEFT imports the module that megatron_core names."""
    (tmp_path / "evil.py").write_text("raise SystemExit('run')\n")
    (tmp_path / "adapter_config.json").write_text(config)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="not of a plain LoRA adapter"):
        load_tuned_model(tmp_path, tiny_whisper)
