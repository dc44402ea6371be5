#!/usr/bin/env python3
"""Measure recall of a test set's rare words with and without hotwords, and the effect on other words.

    tools/bench.sh hotwords
    tools/bench/bench_hotwords.py --ct2 exp/TAG/ct2_int8 --data data/test --train data/train --words 20

Rare words are those of the test set's transcripts that no transcript of the training set has, five letters or more.
Each language gets a list of them, spread over the set, whatever the model makes of them without help; all of its
utterances are decoded with that list. Recall counts the places where the reference has a word of the list. WER
elsewhere is that of the utterances that have none.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.measure import Timing, bench_parser, report, spread
from utils.cli import log, run_main
from utils.data.lists import keys_by_audio, parse_key, read_list

MIN_LETTERS = 5
WAYS = {"none": ("short", False), "none, 30 s": ("full", False), "prompt": ("short", True),
        "prompt, 30 s": ("full", True)}


def main() -> None:
    """Parse the options, decode each way, report."""
    parser = bench_parser(__doc__, repetitions=1)
    parser.add_argument("--ct2", type=Path, default=Path("exp/whisper-base_whisper_multitask/ct2_int8"))
    parser.add_argument("--data", type=Path, default=Path("data/test"), help="data directory with wav.scp and text")
    parser.add_argument("--train", type=Path, default=Path("data/train"), help="the model's training set, for its text")
    parser.add_argument("--words", type=int, default=20, help="length of each language's list")
    parser.add_argument("--beam-size", type=int, default=1, help="1 is greedy")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of using the words")
    parser.set_defaults(utterances=1_000_000)
    args = parser.parse_args()
    references, known = read_list(args.data / "text"), read_list(args.train / "text")
    lists = {language: spread(words, args.words) for language, words in rare_words(references, known).items()}
    log("; ".join(f"{language}: {' '.join(words)}" for language, words in lists.items()))
    rows, timings = [], []
    for way in args.ways:
        hypotheses, seconds = decode(args, lists, *WAYS[way])
        found = figures(references, hypotheses, lists)
        timings.append(Timing(way, [seconds], found))
        rows.append([way, found["heard"], found["occurrences"], found["recall"], found["wer_elsewhere"], found["wer"],
                     found["bleu"], seconds])
    settings = {"model": str(args.ct2), "words a language": args.words, "beam": args.beam_size, "threads": args.threads}
    report("Rare words", settings,
           ["hotwords", "heard", "of", "recall", "WER elsewhere", "WER", "BLEU", "seconds"], rows, args.json, timings)


def rare_words(references: Mapping[str, str], known: Mapping[str, str]) -> dict[str, list[str]]:
    """Language -> the words of its transcripts, in order, that ``known`` does not have."""
    old, new = _words_by_language(known), _words_by_language(references)
    return {language: [word for word in words if word not in old[language] and len(word) >= MIN_LETTERS
                       and word.isalpha()] for language, words in new.items()}


def _words_by_language(texts: Mapping[str, str]) -> defaultdict[str, dict[str, None]]:
    words: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for key in sorted(texts):
        parsed = parse_key(key)
        if parsed.task == "transcribe":
            words[parsed.language] |= dict.fromkeys(normalized(texts[key]))
    return words


def normalized(text: str) -> list[str]:
    """The words of a text without case and punctuation."""
    from utils.score.normalization import get_normalizer

    return get_normalizer("basic")(text).split()


def decode(args: argparse.Namespace, lists: Mapping[str, list[str]], window: str,
           prompt: bool) -> tuple[dict[str, str], float]:
    """Hypotheses of all keys, each language's with its own list, and the seconds of decoding."""
    from utils.audio.loading import load_audio
    from utils.data.prompts import hotword_ids
    from utils.data.tokenizer import load_tokenizer
    from utils.decode.batches import decode_set, plan_batches
    from utils.decode.ct2_decoder import Ct2Decoder
    from utils.features.feature_set import Utterance
    from utils.features.log_mel import LogMel

    tokenizer, log_mel = load_tokenizer(args.ct2), LogMel(args.ct2)
    decoder = Ct2Decoder(args.ct2, tokenizer, beam_size=args.beam_size)
    audio = spread(list(keys_by_audio(read_list(args.data / "wav.scp", verbatim=True)).items()), args.utterances)
    hypotheses: dict[str, str] = {}
    seconds = 0.0
    for language, words in lists.items():
        decoder.before_prompt = hotword_ids(tokenizer, ", ".join(words)) if prompt else []
        feats = {source: log_mel(load_audio(source)) for source, keys in audio
                 if parse_key(keys[0]).language == language}
        utterances = [Utterance(source, len(feats[source]), keys) for source, keys in audio if source in feats]
        found, spent = decode_set(decoder, feats.__getitem__, plan_batches(utterances, decoder.max_frames, window, 50))
        hypotheses |= found
        seconds += spent
    return hypotheses, seconds


def figures(references: Mapping[str, str], hypotheses: Mapping[str, str],
            lists: Mapping[str, list[str]]) -> dict[str, float]:
    """Recall of the lists' words, and error rates; per cent."""
    from tools.bench import contestants

    heard = occurrences = 0
    elsewhere = []
    for key in filter(lambda key: parse_key(key).task == "transcribe", hypotheses):
        words = set(lists[parse_key(key).language]) & set(normalized(references[key]))
        heard += len(words & set(normalized(hypotheses[key])))
        occurrences += len(words)
        if not words:
            elsewhere.append(key)
    return {"heard": heard, "occurrences": occurrences, "recall": 100 * heard / max(1, occurrences),
            **contestants.figures(references, hypotheses),
            "wer_elsewhere": contestants.figures(references, _only(hypotheses, elsewhere))["wer"]}


def _only(hypotheses: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    return {key: hypotheses[key] for key in keys}


if __name__ == "__main__":
    run_main(main)
