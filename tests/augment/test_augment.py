"""Augmentations: level, length and range of what each makes, what a chain refuses, and a training with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from made_speech import speak
from safetensors.torch import load_file

from utils.augment.add_noise import AddNoise
from utils.augment.chain import AUGMENTATIONS, read_chain
from utils.augment.clipping import Clipping
from utils.augment.draws import FeatureAugmentation, SampleAugmentation
from utils.augment.gain import Gain
from utils.augment.reverb import Reverb
from utils.augment.spec_augment import SpecAugment
from utils.augment.speed import Speed, play
from utils.augment.telephone import Telephone
from utils.config import Config, load_config
from utils.errors import UserError
from utils.features.feature_set import open_set
from utils.features.log_mel import LogMel
from utils.train.augmenter import plan_augmentation
from utils.train.finetune import tune
from utils.train.windows import Window, times_of

SPEECH = speak(2.0).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def level(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-12))


@pytest.mark.parametrize("name", [name for name, kind in AUGMENTATIONS.items() if issubclass(kind, SampleAugmentation)])
def test_samples_keep_their_number_and_are_the_same_for_the_same_seed(name: str) -> None:
    change = AUGMENTATIONS[name]()
    assert isinstance(change, SampleAugmentation)
    before = SPEECH.copy()
    first, again, other = (change(SPEECH, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(SPEECH, before)
    assert first.shape == SPEECH.shape and first.dtype == np.float32 and np.isfinite(first).all()
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    silent = change(np.zeros(16000, np.float32), rng())
    assert len(silent) == 16000 and np.abs(silent).max() < 0.01


@pytest.mark.parametrize("decibels", [0.0, 10.0, 20.0])
def test_noise_has_the_drawn_level(decibels: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", rng().normal(0, 0.05, 4000), 16000)
    change = AddNoise(lowest=decibels, highest=decibels, noise_dir=str(tmp_path))
    ratios = [level(SPEECH) - level(added) for seed in range(8)
              if np.any(added := change(SPEECH, rng(seed)) - SPEECH)]
    assert len(ratios) >= 5 and ratios == pytest.approx([decibels] * len(ratios), abs=0.1)


def test_a_room_keeps_level_and_place_and_adds_an_echo(tmp_path: Path) -> None:
    burst = np.zeros(16000, np.float32)
    burst[4000:4400] = rng().normal(0, 0.3, 400)
    heard = Reverb(lowest=0.5, highest=0.5)(burst, rng(3))
    assert level(heard) == pytest.approx(level(burst), abs=0.01)
    assert not np.abs(heard[:3990]).max() > 1e-4 and np.abs(heard[4400:8000]).max() > 1e-3
    response = np.zeros(3000)
    response[1000], response[2600] = 0.9, 0.3
    soundfile.write(tmp_path / "room.wav", response, 16000)
    heard = Reverb(rir_dir=str(tmp_path))(burst, rng())
    assert np.argmax(np.correlate(heard, burst, "full")) == len(burst) - 1  # the direct sound is where it was


@pytest.mark.parametrize("codec", ["mulaw", "alaw", "g726", "amr", "opus"])
def test_a_telephone_line_has_its_band_and_no_delay(codec: str) -> None:
    sound = np.concatenate([np.zeros(4000), speak(1.0), np.zeros(4000)]).astype(np.float32)
    heard = Telephone(codecs=[codec])(sound, rng())
    power = np.square(np.abs(np.fft.rfft(heard)))
    frequencies = np.fft.rfftfreq(len(heard), 1 / 16000)
    assert power[frequencies > 4000].sum() < 0.01 * power.sum()
    delay = np.argmax(np.correlate(heard, sound, "full")) - (len(sound) - 1)
    assert abs(delay) <= 160  # a frame
    assert -8 < level(heard) - level(sound) < 3


def test_clipping_cuts_the_loudest_samples() -> None:
    cut = Clipping(lowest=0.3, highest=0.3)(SPEECH, rng())
    limit = 0.3 * np.abs(SPEECH).max()
    assert np.abs(cut).max() == pytest.approx(limit, rel=1e-5)
    assert np.array_equal(cut[np.abs(SPEECH) < limit], SPEECH[np.abs(SPEECH) < limit])


def test_gain_of_features_is_that_of_samples(tiny_whisper: Path) -> None:
    log_mel = LogMel(tiny_whisper)
    louder = Gain(lowest=6.0, highest=6.0)(log_mel(SPEECH), rng())
    assert np.abs(louder - log_mel(SPEECH * 10 ** (6 / 20))).max() < 1e-4


def test_spec_augment_masks_a_part_with_the_mean() -> None:
    feats = rng().normal(0, 1, (300, 80)).astype(np.float32)
    masked = SpecAugment()(feats, rng(1))
    changed = masked != feats
    assert 0 < changed.mean() < 0.7 and np.all(masked[changed] == feats.mean())
    whole = SpecAugment(time_masks=0)(feats, rng(1)) != feats
    assert np.array_equal(whole.any(axis=0), whole.all(axis=0))  # bands of mels, over all frames
    assert np.array_equal(SpecAugment()(feats[:1], rng()).shape, (1, 80))
    assert np.array_equal(SpecAugment(time_masks=0, mel_masks=0)(feats, rng()), feats)


def test_speed_changes_length_and_times() -> None:
    assert len(play(SPEECH, 0.8)) == pytest.approx(len(SPEECH) / 0.8, abs=1)
    window = Window((0, 1), (0, 300), 500, speed=1.25)
    assert times_of(window, [202, 202]) == [(0.0, 1.6), (2.4, 4.0)]
    factors = [Speed(share=0.5).draw(rng(seed)) for seed in range(50)]
    assert 10 < factors.count(1.0) < 40 and 0.9 <= min(factors) < max(factors) <= 1.1


@pytest.mark.parametrize("entries, complaint", [
    ([{"sped": {}}], "model.augment: there is no sped; there are speed, noise"),
    ([{"speed": {}, "gain": {}}], "each entry is one name and its options"),
    ([{"gain": {}}, {"gain": {}}], "gain is there twice"),
    ([{"speed": {"fastest": 2}}], "unknown key model.augment.speed.fastest"),
    ([{"speed": {"lowest": 1.2, "highest": 1.1}}], "model.augment.speed: 1.2 to 1.1 does not lie between 0.5 and 2"),
    ([{"gain": {"share": 2}}], "model.augment.gain.share: 2 does not lie between 0 and 1"),
    ([{"telephone": {"codecs": ["gsm"]}}], "model.augment.telephone.codecs: gsm; there are mulaw"),
    ([{"noise": {"noise_dir": "nowhere"}}], "noise_dir: no audio files below nowhere"),
    ([{"reverb": {"rir_dir": "nowhere"}}], "rir_dir: no audio files below nowhere"),
    ([{"spec_augment": {"time_limit": 3}}], "model.augment.spec_augment.time_limit: 3 does not"),
])
def test_what_a_chain_cannot_be_is_one_line(entries: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_chain(entries)


def config_of(corpus: Path, tiny_whisper: Path, out: Path, augment: list[dict[str, Any]], **model: Any) -> Config:
    values = {"data": {"train": {"wav_scp": str(corpus / "train/wav.scp"), "text": str(corpus / "train/text")}},
              "model": {"model_path": str(tiny_whisper), "lora": {"r": 4, "alpha": 8}, "augment": augment, **model,
                        "model_train_argv": {"out_model_path": str(out), "bf16": False, "max_steps": 2, "save_steps": 2,
                                             "learning_rate": 1e-2, "eval_strategy": "no"}}}
    path = out.with_suffix(".yaml")
    path.write_text(json.dumps(values), encoding="utf-8")
    return load_config(path)


def test_a_window_is_augmented_by_seed_epoch_and_number(corpus: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    config = config_of(corpus, tiny_whisper, tmp_path / "out", [])
    log_mel = LogMel(tiny_whisper)
    utterances, read_feats = open_set(config.data.train, "data.train", log_mel)
    chain = read_chain([{"speed": {"share": 1}}, {"noise": {"share": 1}}, {"gain": {}}])
    augmenter = plan_augmentation(chain, 7, config.data.train, utterances, log_mel)
    second = utterances[0].num_frames + 20
    joined = Window((0, 1), (0, second), second + utterances[1].num_frames)

    def stored(_: Window) -> np.ndarray:
        raise AssertionError("stored features are read")

    made = {(epoch, number): augmenter(joined, utterances[:2], (epoch, number), stored)
            for epoch in range(2) for number in range(2)}
    window, feats = augmenter(joined, utterances[:2], (1, 1), stored)
    assert np.array_equal(feats, made[1, 1][1]) and window == made[1, 1][0]
    assert len({window.speed for window, _ in made.values()}) == 4
    for window, feats in made.values():
        assert len(feats) == pytest.approx(joined.num_frames / window.speed, abs=3)
    # Without its audio, as in rehearsal, a window keeps its samples; its features are changed.
    stranger = augmenter.__class__(chain, 7, log_mel, {})
    single = Window((0,), (0,), utterances[0].num_frames)
    window, feats = stranger(single, utterances[:1], (0, 0), lambda _: read_feats(utterances[0].source))
    assert window.speed == 1.0 and len(feats) == utterances[0].num_frames
    assert not np.array_equal(feats, read_feats(utterances[0].source))


def test_joined_audio_has_the_features_of_joined_features(corpus: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    """Where nothing is drawn that changes samples, both ways give the same frames."""
    class Nothing(SampleAugmentation):
        def __call__(self, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return samples

    config = config_of(corpus, tiny_whisper, tmp_path / "out", [])
    log_mel = LogMel(tiny_whisper)
    utterances, read_feats = open_set(config.data.train, "data.train", log_mel)
    chain = read_chain([]).__class__([("nothing", Nothing())])
    augmenter = plan_augmentation(chain, 0, config.data.train, utterances, log_mel)
    from utils.features.joining import join_feats
    first, second = utterances[:2]
    window = Window((0, 1), (10, first.num_frames + 40), first.num_frames + 40 + second.num_frames)
    _, feats = augmenter(window, [first, second], (0, 0), lambda _: pytest.fail("stored features are read"))
    expected = join_feats([read_feats(first.source), read_feats(second.source)], window.starts, window.num_frames)
    assert len(feats) == len(expected)
    differ = np.abs(feats - expected).max(axis=1) > 1e-4
    assert differ.sum() <= 6  # an utterance's first two frames see it mirrored, or silence; and its last ones


def test_training_with_augmentation_is_the_same_again_and_other_than_without(corpus: Path, tiny_whisper: Path,
                                                                             tmp_path: Path) -> None:
    augment = [{name: {"share": 1.0}} for name in AUGMENTATIONS]
    weights = []
    for name, chain in (("plain", []), ("first", augment), ("again", augment)):
        tune(config_of(corpus, tiny_whisper, tmp_path / name, chain))
        weights.append(load_file(tmp_path / name / "adapter_model.safetensors"))
    plain, first, again = weights
    assert all((first[key] == again[key]).all() for key in first)
    assert any((first[key] != plain[key]).any() for key in first)


def test_what_augmentation_needs_is_said(corpus: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text((corpus / "train/text").read_text("utf-8"), encoding="utf-8")
    config = config_of(corpus, tiny_whisper, tmp_path / "out", [{"speed": {}}, {"gain": {}}])
    config.data.train.wav_scp, config.data.train.text = "", str(text)
    log_mel = LogMel(tiny_whisper)
    complaint = r"speed needs audio, and there is no .*wav.scp. Name .* in data.train.wav_scp, or leave speed"
    with pytest.raises(UserError, match=complaint):
        plan_augmentation(read_chain(config.model.augment), 0, config.data.train, [], log_mel)
    assert issubclass(AUGMENTATIONS["gain"], FeatureAugmentation)  # needs none
    plan_augmentation(read_chain([{"gain": {}}]), 0, config.data.train, [], log_mel)
    lines = (corpus / "train/wav.scp").read_text("utf-8").splitlines()
    (tmp_path / "wav.scp").write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    utterances = open_set(load_config(tmp_path / "out.yaml").data.train, "data.train", log_mel)[0]
    with pytest.raises(UserError, match=r"wav.scp: no line for .* \(1 utterances\), and speed in model.augment"):
        plan_augmentation(read_chain(config.model.augment), 0, config.data.train, utterances, log_mel)
    (tmp_path / "wav.scp").write_text("".join(f"{line.split()[0]} cat x.wav |\n" for line in lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"wav.scp: .*: is a command, and speed in model.augment needs files"):
        plan_augmentation(read_chain(config.model.augment), 0, config.data.train, utterances, log_mel)
    cached = config_of(corpus, tiny_whisper, tmp_path / "cached", [{"gain": {}}], cache_encoder=True,
                       lora={"r": 4, "alpha": 8, "encoder": False})
    with pytest.raises(UserError, match=r"model\.cache_encoder keeps its outputs\. Leave one of them out"):
        tune(cached)
