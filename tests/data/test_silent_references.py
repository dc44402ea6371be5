"""Utterances in which nobody speaks, ``<nospeech>`` in text: through merging, training, scoring and joining."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_corpus import write_set

from utils.config import WindowOptions
from utils.data.data_directory import MergeOptions, merge_task_lists, summary
from utils.data.lists import read_list, write_list
from utils.data.silent_references import NO_SPEECH, read_spoken_texts
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError
from utils.features.feature_set import Utterance
from utils.features.log_mel import LogMel
from utils.model.modeling import IGNORED
from utils.score.metrics import ScoringOptions, measure, pair_texts
from utils.score.suspects import find_faults
from utils.train.batching import Item
from utils.train.dataset import MultitaskDataset
from utils.train.window_plan import plan_windows

END, NOTHING_SAID = 50257, 50362
FEATS = np.full((300, 80), 0.5, np.float32)


@pytest.fixture
def silent_set(tmp_path: Path) -> Callable[[str], Path]:
    """A set whose first transcription is what is given."""
    def make(text: str) -> Path:
        directory = tmp_path / "train"
        write_set(directory, 2)
        path = directory / "transcribe/text"
        texts = read_list(path)
        path.write_text("".join(f"{key} {text if number == 0 else value}\n" for number, (key, value) in
                                enumerate(texts.items())), encoding="utf-8")
        return directory

    return make


@pytest.mark.parametrize("tags", ["keep", "remove", "drop"])
def test_lists_may_say_that_nobody_speaks(silent_set: Callable[[str], Path], tags: str) -> None:
    merged = merge_task_lists(silent_set(NO_SPEECH), MergeOptions(tags=tags))
    assert [*merged.text.values()].count(NO_SPEECH) == 1 and not merged.problems
    assert "1 texts: without speech (<nospeech>)" in summary(merged)


def test_it_stands_alone(silent_set: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match=r"text:1: the text of .* has <nospeech> beside words"):
        merge_task_lists(silent_set(f"hello {NO_SPEECH}"), MergeOptions())


def test_training_teaches_to_write_nothing(tiny_whisper: Path, tmp_path: Path) -> None:
    utterances = [Utterance(str(number), 300, [f"u{number}|fr|{task}" for task in ("transcribe", "translate")])
                  for number in range(40)]
    texts = {key: NO_SPEECH if key.startswith("u7|") else f"word {key[:3]}" for one in utterances for key in one.keys}
    write_list(tmp_path / "text", texts)
    options = WindowOptions(joined_share=1.0, word_list_share=0.5, earlier_text_share=0.5)
    tokenizer = load_tokenizer(tiny_whisper)
    plan = plan_windows(options, 1, utterances, tmp_path / "text", LogMel(tiny_whisper))
    dataset = MultitaskDataset(utterances, lambda _: FEATS, texts, tokenizer, plan=plan)
    assert not any(7 in window.members for window in dataset.windows if window.is_joined)
    assert sum(window.is_joined for window in dataset.windows) > 3
    targets = dataset[Item(7, 300)]["targets"]
    labels = [[label for label in of_target if label != IGNORED] for _, of_target in targets]
    assert labels == [[END], [END], [NOTHING_SAID, END]]
    written = [token for number in range(len(dataset)) for tokens, _ in dataset[Item(number, 300)]["targets"]
               for token in tokens]
    assert NO_SPEECH not in tokenizer.decode(written)


def test_what_is_written_there_is_an_insertion() -> None:
    references = {"a|en|transcribe": NO_SPEECH, "b|en|transcribe": "please hold the line"}
    said = pair_texts(references, {"a|en|transcribe": "thank you", "b|en|transcribe": "please hold the line"})
    quiet = pair_texts(references, {"a|en|transcribe": "", "b|en|transcribe": "please hold the line"})
    sums = [next(one.statistics.sum(axis=0) for one in measure(pairs, ScoringOptions()) if one.metric == "wer")
            for pairs in (said, quiet)]
    assert sums[0].tolist() == [0, 0, 2, 4] and sums[1].tolist() == [0, 0, 0, 4]
    assert find_faults(quiet[0]) == []


def test_they_are_no_texts_to_learn_words_from(tmp_path: Path) -> None:
    write_list(tmp_path / "text", {"a|en|transcribe": NO_SPEECH, "b|en|transcribe": "hello"})
    assert read_spoken_texts(tmp_path / "text") == {"b|en|transcribe": "hello"}
