"""Rehearsal: other speech is trained with what the base model wrote."""

from __future__ import annotations

from pathlib import Path

from utils.config import Lists, ModelConfig
from utils.data.lists import read_list, write_list
from utils.data.tokenizer import load_tokenizer
from utils.features.log_mel import LogMel
from utils.train.batching import Item
from utils.train.finetune import _dataset


def test_utterances_for_which_the_base_model_wrote_something_are_trained_too(corpus: Path, tiny_whisper: Path,
                                                                             tmp_path: Path) -> None:
    train = Lists(wav_scp=str(corpus / "train/wav.scp"), text=str(corpus / "train/text"))
    written = {key: f"written {number}" for number, key in enumerate(read_list(corpus / "dev/text"))}
    silent, half = [key.split("|")[0] for key in written][:4:3]
    written |= {key: "" for key in written if key.startswith(f"{silent}|") or key.startswith(f"{half}|fr|translate")}
    write_list(tmp_path / "text", written)
    rehearsal = Lists(wav_scp=str(corpus / "dev/wav.scp"), text=str(tmp_path / "text"))
    tokenizer, log_mel = load_tokenizer(tiny_whisper), LogMel(tiny_whisper)
    alone = _dataset(train, "data.train", log_mel, tokenizer, ModelConfig())
    both = _dataset(train, "data.train", log_mel, tokenizer, ModelConfig(), rehearsal=rehearsal)
    added = both.utterances[len(alone):]
    assert [utterance.keys for utterance in both.utterances[:len(alone)]] == [
        utterance.keys for utterance in alone.utterances]
    assert {key for utterance in added for key in utterance.keys} == {key for key, text in written.items() if text}
    last = both[Item(len(both) - 1, 100)]
    text = tokenizer.decode(last["targets"][0][0], skip_special_tokens=True)
    assert text.strip() == written[added[-1].keys[0]]
    assert len(last["feats"]) == added[-1].num_frames
