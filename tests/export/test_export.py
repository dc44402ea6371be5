"""Exports: all runtimes load them, they write the same as the tuned model, and a wrong export is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from exported_tiny import ExportedTiny
from made_corpus import write_set
from tiny_whisper import make_tiny_whisper
from transformers import WhisperTokenizer

from utils.config import Lists
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import decode_set, plan_batches
from utils.decode.ct2_decoder import Ct2Decoder
from utils.decode.transformers_decoder import TransformersDecoder
from utils.errors import UserError
from utils.export import convert, convert_finetuning_peft_model_into_whisper, merge
from utils.export.ct2_check import check_ct2
from utils.features.feature_set import open_set
from utils.features.log_mel import LogMel
from utils.model.checkpoints import load_tuned_model


@pytest.fixture(scope="module")
def adapter(exported_tiny: ExportedTiny) -> Path:
    return exported_tiny.adapter


@pytest.fixture(scope="module")
def merged(exported_tiny: ExportedTiny) -> Path:
    return exported_tiny.merged


@pytest.fixture(scope="module", params=["float32", "int8"])
def ct2(request: pytest.FixtureRequest, merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / f"ct2_{request.param}"
    convert(merged, directory, request.param)
    return directory


def test_merged_directory_is_a_whole_whisper(adapter: Path, tiny_whisper: Path, merged: Path) -> None:
    from peft import PeftModel
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(merged)
    time = np.arange(16_000) / 16_000
    feats = processor(np.sin(900 * time), sampling_rate=16_000, return_tensors="pt").input_features
    prompt = torch.tensor([processor.tokenizer.convert_tokens_to_ids(
        ["<|startoftranscript|>", "<|zh|>", "<|translate|>", "<|notimestamps|>"])])
    alone = WhisperForConditionalGeneration.from_pretrained(merged).eval()
    base = WhisperForConditionalGeneration.from_pretrained(tiny_whisper).eval()
    with torch.inference_mode():
        untuned = base(feats, decoder_input_ids=prompt).logits
        adapted = PeftModel.from_pretrained(base, adapter).eval()(input_features=feats, decoder_input_ids=prompt).logits
        found = alone(feats, decoder_input_ids=prompt).logits
    assert (untuned - adapted).abs().max() > 0.1
    torch.testing.assert_close(found, adapted, rtol=1e-3, atol=1e-3)
    assert alone.generation_config.suppress_tokens == base.generation_config.suppress_tokens


def test_other_converters_find_their_files_and_others_can_read_them(merged: Path, tiny_whisper: Path,
                                                                    tmp_path: Path) -> None:
    """whisper.cpp's convert-h5-to-ggml.py reads vocab.json and added_tokens.json; slow tokenizers merges.txt."""
    vocabulary, added = (json.loads((merged / name).read_text(encoding="utf-8"))
                         for name in ("vocab.json", "added_tokens.json"))
    whole = load_tokenizer(tiny_whisper)
    assert whole.get_vocab() == vocabulary | added and not vocabulary.keys() & added.keys()
    assert "<|endoftext|>" in vocabulary and "<|startoftranscript|>" in added
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"):
        shutil.copy(merged / name, alone)
    slow = WhisperTokenizer.from_pretrained(alone)
    text = "Two words, été 你好"
    assert slow(text, add_special_tokens=False).input_ids == whole(text, add_special_tokens=False).input_ids
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in merged.iterdir()} == {0o666 & ~umask}


def test_ct2_directory_loads_everywhere_and_transcribes(ct2: Path, make_wav) -> None:
    import ctranslate2
    from faster_whisper import WhisperModel

    assert ctranslate2.models.Whisper(str(ct2), device="cpu").is_multilingual
    model = WhisperModel(str(ct2), device="cpu", cpu_threads=1)
    assert model.feature_extractor.mel_filters.shape[0] == 80
    segments, info = model.transcribe(str(make_wav("tone.wav", seconds=1.0)), language="zh", task="translate",
                                      beam_size=1, temperature=0.0, without_timestamps=True,
                                      log_prob_threshold=None, no_speech_threshold=None)
    assert info.language == "zh" and info.transcription_options.without_timestamps
    assert "".join(segment.text for segment in segments).strip()


def test_export_says_what_the_tuned_model_says(adapter: Path, tiny_whisper: Path, merged: Path, tmp_path: Path) -> None:
    """In float32 token by token: merged in PyTorch, and converted."""
    convert(merged, tmp_path / "ct2", "float32")
    write_set(tmp_path / "set", 2, word_seconds=3.0)  # long enough for the random model to come to an end
    lists = Lists(wav_scp=str(tmp_path / "set/translate/wav.scp"))
    utterances, read_feats = open_set(lists, "dev", LogMel(tiny_whisper))
    tokenizer = load_tokenizer(tmp_path / "ct2")
    batches = plan_batches(utterances, 24_000, "short")
    tuned, _ = decode_set(TransformersDecoder(load_tuned_model(adapter, tiny_whisper), tokenizer), read_feats, batches)
    exported, _ = decode_set(Ct2Decoder(tmp_path / "ct2", tokenizer, device="cpu"), read_feats, batches)
    assert exported == tuned
    assert len(set(tuned.values())) > 1


def test_whole_model_is_exported_like_an_adapter(tiny_whisper: Path, merged: Path, tmp_path: Path) -> None:
    """``is_large_model: false`` leaves a whole model; nothing is merged then."""
    from safetensors.torch import load_file

    merge(merged, tiny_whisper, tmp_path / "again")
    before, after = (load_file(path / "model.safetensors") for path in (merged, tmp_path / "again"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    convert(tmp_path / "again", tmp_path / "ct2", "int8")


def test_quantization_makes_it_smaller(merged: Path, tmp_path: Path) -> None:
    sizes = {}
    for quantization in ("int8", "float16", "float32"):
        convert(merged, tmp_path / quantization, quantization)
        sizes[quantization] = (tmp_path / quantization / "model.bin").stat().st_size
    assert sizes["int8"] < 0.6 * sizes["float16"] and sizes["float16"] < 0.6 * sizes["float32"]
    with pytest.raises(UserError, match=r"int7.*int8, int8_float32"):
        convert(merged, tmp_path / "int7", "int7")


def spoil(path: Path, key: str, value: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(("file", "key", "value", "complaint"), [
    ("config.json", "suppress_ids", [1, 2], "suppress_ids"),
    ("config.json", "suppress_ids_begin", [], "suppress_ids_begin"),
    ("config.json", "lang_ids", [50259], "lang_ids"),
    ("config.json", "alignment_heads", [[0, 0]], "alignment_heads"),
    ("config.json", "alignment_heads", None, "alignment_heads"),
    ("config.json", "suppress_ids", None, "suppress_ids"),
    ("preprocessor_config.json", "feature_size", 128, "mel bins .* 128, not 80"),
    ("generation_config.json", "suppress_tokens", [], "suppress_tokens of generation_config.json"),
])
def test_wrong_settings_are_found(merged: Path, tmp_path: Path, file: str, key: str, value: object,
                                  complaint: str) -> None:
    convert(merged, tmp_path / "ct2", "int8")
    check_ct2(tmp_path / "ct2", merged)
    spoil(tmp_path / "ct2" / file, key, value)
    with pytest.raises(UserError, match=complaint):
        check_ct2(tmp_path / "ct2", merged)


def test_wrong_vocabulary_is_found(merged: Path, tmp_path: Path) -> None:
    convert(merged, tmp_path / "ct2", "int8")
    path = tmp_path / "ct2/vocabulary.json"
    words = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(words[:-1501]), encoding="utf-8")  # no timestamps: a cut tokenizer.json
    with pytest.raises(UserError, match="vocabulary size is wrong: 50364, not 51865"):
        check_ct2(tmp_path / "ct2", merged)
    path.write_text(json.dumps([words[1], *words[1:50358], words[50359], words[50358], *words[50360:]]))
    with pytest.raises(UserError, match=r"special tokens .*translate.*transcribe"):
        check_ct2(tmp_path / "ct2", merged)


def test_merge_that_tokenizer_json_lacks_is_found(merged: Path, tmp_path: Path) -> None:
    convert(merged, tmp_path / "ct2", "int8")
    path = tmp_path / "ct2/tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    del tokenizer["model"]["merges"][0]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(UserError, match=r"merges of tokenizer\.json is wrong: .*lacks 1 of 50,000"):
        check_ct2(tmp_path / "ct2", merged)


def test_weights_of_another_model_are_found(merged: Path, tmp_path: Path) -> None:
    """Mels and vocabulary size are checked in model.bin, not only in the files beside it."""
    other = make_tiny_whisper(tmp_path / "other", num_mels=128)
    for directory, name in ((merged, "ct2"), (other, "wrong")):
        convert(directory, tmp_path / name, "float32")
    shutil.copyfile(tmp_path / "wrong/model.bin", tmp_path / "ct2/model.bin")
    with pytest.raises(UserError, match=r"mel bins in model.bin is wrong: 128, not 80"):
        check_ct2(tmp_path / "ct2", merged)
    data = (tmp_path / "ct2/model.bin").read_bytes()
    (tmp_path / "ct2/model.bin").write_bytes(data[:len(data) // 2])
    with pytest.raises(UserError, match="damaged or cut off"):
        check_ct2(tmp_path / "ct2", merged)


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json", "generation_config.json"])
def test_incomplete_directory_is_not_converted_and_the_old_export_stays(merged: Path, tmp_path: Path,
                                                                        name: str) -> None:
    """Without the tokenizer the converter would write a corrupt vocabulary without an error."""
    convert(merged, tmp_path / "ct2", "int8")
    before = (tmp_path / "ct2/model.bin").stat().st_mtime_ns
    shutil.copytree(merged, tmp_path / "merged")
    (tmp_path / "merged" / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        convert(tmp_path / "merged", tmp_path / "ct2", "int8")
    assert (tmp_path / "ct2/model.bin").stat().st_mtime_ns == before


def test_export_takes_the_place_of_nothing_but_an_export(adapter: Path, tiny_whisper: Path, merged: Path,
                                                         tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"not empty and is not an earlier export"):
        convert(merged, tmp_path, "int8")
    with pytest.raises(UserError, match=r"not empty and is not an earlier export"):
        merge(adapter, tiny_whisper, tmp_path)
    for source in (adapter, tiny_whisper):
        with pytest.raises(UserError, match="is also the source and would be overwritten"):
            merge(adapter, tiny_whisper, source)
    assert (tmp_path / "thesis.tex").exists() and (tiny_whisper / "model.safetensors").exists()


def test_the_parent_projects_call(adapter: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    convert_finetuning_peft_model_into_whisper(str(adapter), str(tiny_whisper), str(tmp_path / "positional"))
    convert_finetuning_peft_model_into_whisper(
        peft_model_path=str(adapter), whisper_model_path=str(tiny_whisper),
        out_ctranslate_path=str(tmp_path / "keyword"))
    models = [tmp_path / name / "model.bin" for name in ("positional", "keyword")]
    assert models[0].read_bytes() == models[1].read_bytes()
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"positional", "positional.merged", "keyword", "keyword.merged"}
    with pytest.raises(UserError, match=r"absent"):
        convert_finetuning_peft_model_into_whisper(str(adapter), str(tmp_path / "absent"), str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_audio_of_any_rate_reaches_the_exported_model(ct2: Path, tmp_path: Path) -> None:
    """faster-whisper users give files, not features: the extractor beside the weights must fit."""
    from faster_whisper import WhisperModel

    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.flac", rng.normal(0, 0.1, (8000, 2)), 8000)
    segments, _ = WhisperModel(str(ct2), device="cpu", cpu_threads=1).transcribe(
        str(tmp_path / "noise.flac"), language="fr", beam_size=1, temperature=0.0, log_prob_threshold=None,
        no_speech_threshold=None)
    assert all(0 <= segment.start <= segment.end for segment in segments)
