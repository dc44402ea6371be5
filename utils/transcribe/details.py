"""What clients ask for beside a text: times of words, log-probabilities, the probability that nobody speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.audio.constants import POSITIONS_PER_SECOND
from utils.data.prompts import prompt_ids, text_ids

if TYPE_CHECKING:
    from transformers import WhisperTokenizer

    from utils.decode.ct2_decoder import Ct2Decoder


@dataclass(frozen=True)
class Word:
    """A word with its punctuation; start and end in seconds of the recording, probability from 0 to 1."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class TextDetails:
    """What is known of the text of a segment.

    Attributes:
        tokens: its tokens.
        avg_logprob: mean log-probability of its tokens, given those before them; 0 without any.
        no_speech_prob: probability of ``<|nospeech|>`` in place of the language.
        words: its words with their times.
    """

    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    words: list[Word]


def describe_text(decoder: Ct2Decoder, encoded: Any, num_frames: int, key: str, text: str,
                  offset: float) -> TextDetails:
    """Align a text with its audio, as faster-whisper does for word times, and take the probabilities on the way.

    Args:
        encoded: what ``decoder.encode`` gave for the segment, padded as the model was tuned.
        num_frames: frames without padding.
        key: ``id|language|task`` of the text.
        offset: where the segment begins in the recording, seconds.
    """
    prompt = prompt_ids(decoder.tokenizer, key)
    first = decoder.model.generate(encoded, [prompt], max_length=len(prompt) + 1, return_no_speech_prob=True)[0]
    tokens = text_ids(decoder.tokenizer, key, text) if text else []
    if not tokens:
        return TextDetails([], 0.0, float(first.no_speech_prob), [])
    result = decoder.model.align(encoded, prompt[:3], [tokens], num_frames)[0]  # it adds <|notimestamps|> itself
    logs = np.log(np.maximum(result.text_token_probs, 1e-10))
    return TextDetails(tokens, float(np.mean(logs)), float(first.no_speech_prob),
                       _words(decoder.tokenizer, key, tokens, result, offset, num_frames))


def _words(tokenizer: WhisperTokenizer, key: str, tokens: Sequence[int], result: Any, offset: float,
           num_frames: int) -> list[Word]:
    """Words and their times, from the path of the alignment: a word begins where the path reaches its first token."""
    from faster_whisper.tokenizer import Tokenizer

    _, language, task = key.split("|")
    splitter = Tokenizer(tokenizer.backend_tokenizer, True, task=task, language=language)
    texts, word_tokens = splitter.split_to_word_tokens([*tokens, splitter.eot])
    reached: dict[int, int] = {}
    for token, position in result.alignments:
        reached.setdefault(token, position)
    end_of_audio = num_frames // 2  # the encoder has a position for two frames
    starts = [reached.get(number, end_of_audio) / POSITIONS_PER_SECOND for number in range(len(tokens) + 1)]
    words, place = [], 0
    for text, of_word in zip(texts, word_tokens, strict=True):
        end = min(place + len(of_word), len(tokens))
        if place < end and text.strip():
            probability = float(np.mean(result.text_token_probs[place:end]))
            words.append(Word(text.strip(), offset + starts[place], offset + starts[end], probability))
        place = end
    return words
