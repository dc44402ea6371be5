#!/usr/bin/env python3
"""Measure the costs of a large corpus: storage and time of features, memory of lists, shuffling, operations.

    tools/bench/measure_scale.py features --model download/whisper-base data/test/wav.scp
    tools/bench/measure_scale.py lists 1000000     # opening a made training set of so many keys, two an utterance
    tools/bench/measure_scale.py batches 5000000   # drawing an epoch's batches of so many utterances
    tools/bench/measure_scale.py operations        # by arithmetic: what an utterance costs in training
    tools/bench/measure_scale.py scoring 1000000 data/train/text    # score.py on a made set of so many keys

Seconds are this process's CPU seconds, so a busy machine does not change them much; memory is its peak. The numbers in
conf/README.md come from here.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.bench.shapes import SIZES
from utils.cli import make_parser, run_main


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print CPU seconds, and how much the peak of memory grew."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{what}: {time.process_time() - began:.1f} CPU s, {grown / 1e6:.2f} GB")


def features(wav_scp: Path, model: Path, seconds: float) -> None:
    """Bytes and CPU seconds for an hour of audio with each compression, from the first ``seconds`` of a list."""
    import torch

    from utils.audio.loading import audio_seconds
    from utils.data.lists import read_list, write_list
    from utils.features.feature_dump import COMPRESSION, dump_feats
    from utils.features.log_mel import LogMel

    torch.set_num_threads(1)
    log_mel = LogMel(model)
    chosen: dict[str, str] = {}
    total = 0.0
    for key, source in read_list(wav_scp, verbatim=True).items():
        if source not in chosen.values() and total < seconds:
            chosen[key] = source
            total += audio_seconds(source)
    print(f"{len(chosen)} files, {total:.0f} s of audio, {log_mel.num_mels} mels")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_list(data / "wav.scp", chosen, verbatim=True)
        dump_feats(data, data / "warm-up", log_mel, 1, 1)
        for name in COMPRESSION:
            began = time.process_time()
            dump_feats(data, data / name, log_mel, 1, 1, compression=name)
            spent, size = time.process_time() - began, (data / name / "feats.1.ark").stat().st_size
            print(f"{name}: {size / total * 3600 / 1e6:.1f} MB and {spent / total * 3600:.1f} CPU s an hour of audio")


def lists(num_keys: int) -> None:
    """Opening a set of ``num_keys`` keys, as every training process does."""
    from utils.config import Lists
    from utils.data.lists import read_list
    from utils.features.feature_set import open_set
    from utils.features.log_mel import LogMel
    from utils.train.dataset import MultitaskDataset

    class Mels(LogMel):
        def __init__(self) -> None:
            self.num_mels = 80

    with tempfile.TemporaryDirectory() as folder:
        keys = [f"speaker{n // 200:05}-{n:09}|fr|{task}" for n in range(num_keys // 2)
                for task in ("transcribe", "translate")]
        for name, value in (("feats.scp", "/corpus/dump/train/feats.{}.ark:{}"), ("utt2num_frames", "{1}"),
                            ("text", "a sentence of some ten words, as people say them, {1}")):
            with (Path(folder) / name).open("w") as stream:
                stream.writelines(f"{key} {value.format(n // 20000, n // 2)}\n" for n, key in enumerate(keys))
        del keys
        with measured(f"opening {num_keys} keys"):
            feats_scp = Path(folder) / "feats.scp"
            utterances, read_feats = open_set(Lists(feats_scp=str(feats_scp)), "data.train", Mels())
            MultitaskDataset(utterances, read_feats, read_list(Path(folder) / "text"),
                             cast(Any, None))  # no text is read, so no tokenizer is needed


def batches(num_utterances: int) -> None:
    """Making the sampler, and drawing an epoch, for 32 processes."""
    import numpy as np

    from utils.audio.constants import FULL_WINDOW
    from utils.config import PaddingOptions
    from utils.train.batching import FrameBatchSampler

    frames = np.random.default_rng(0).gamma(4, 180, num_utterances)  # 7.2 s on average
    frames = frames.clip(50, FULL_WINDOW).astype(int)
    with measured(f"making a sampler of {num_utterances} utterances, {frames.sum() / 360_000:.0f} h"):
        sampler = FrameBatchSampler(frames, 24_000, PaddingOptions(policy="uniform", max_frames=300), num_ranks=32)
    with measured("drawing an epoch"):
        steps = len(list(sampler))
    print(f"{steps} steps an epoch of 32 batches of 24,000 frames")


def operations(seconds: float, tokens: int, targets: int) -> None:
    """Floating point operations of an utterance, forward: a multiplication and an addition are two."""
    positions = seconds * 50
    print(f"an utterance of {seconds:g} s with {targets} targets of {tokens} tokens, forward, in 10^9 operations")
    for name, (d, encoder_layers, decoder_layers, vocabulary, mels) in SIZES.items():
        convolutions = 2 * positions * (2 * 3 * mels * d) + positions * (2 * 3 * d * d)
        encoder = convolutions + encoder_layers * positions * (24 * d * d + 4 * positions * d)
        cross_keys = decoder_layers * positions * 4 * d * d
        decoder = targets * tokens * (decoder_layers * (28 * d * d + 4 * (positions + tokens) * d) + 2 * vocabulary * d)
        padded = encoder * 1500 / positions
        print(f"{name}: encoder {encoder / 1e9:.0f} (padded to 30 s: over {padded / 1e9:.0f}), "
              f"cross-attention's keys and values {cross_keys / 1e9:.0f}, decoder {decoder / 1e9:.0f}")


def scoring(num_keys: int, text: Path, nj: int) -> None:
    """Scoring a made set: words of a merged text at random, an eighth of them wrong, in languages with spaces."""
    import random
    from collections import defaultdict

    from utils.data.languages import is_spaceless
    from utils.data.lists import parse_key, read_list, write_list
    from utils.filesystem import write_json

    words: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, value in read_list(text).items():
        parsed = parse_key(key)
        if not is_spaceless(parsed.language):
            words[parsed.language, parsed.task].extend(value.split())
    rng, kinds = random.Random(0), sorted(words)
    references, hypotheses = {}, {}
    for number in range(num_keys):
        language, task = kind = kinds[number % len(kinds)]
        key, said = f"u{number:07}|{language}|{task}", rng.choices(words[kind], k=rng.randint(4, 16))
        references[key] = " ".join(said)
        hypotheses[key] = " ".join(word if rng.random() > 0.08 else rng.choice(words[kind])
                                   for word in said if rng.random() > 0.04)
    with tempfile.TemporaryDirectory() as folder:
        decode_dir = Path(folder) / "decode"
        write_list(Path(folder) / "text", references)
        write_list(decode_dir / "text", hypotheses)
        write_json(decode_dir / "decode.json", {"system": "made", "set": "made", "seconds": 1.0, "audio_seconds": 1.0})
        began = time.monotonic()
        subprocess.run([ROOT / "pyscripts/score.py", "--nj", str(nj), "--ref", Path(folder) / "text", decode_dir],
                       check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"scoring {num_keys} keys, {nj} jobs: {time.monotonic() - began:.0f} s; "
          f"the largest process {peak / 1e6:.2f} GB")


def main() -> None:
    """Parse the command line and measure."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_features = commands.add_parser("features", help=features.__doc__)
    of_features.add_argument("wav_scp", type=Path)
    of_features.add_argument("--model", type=Path, required=True, help="Hugging Face Whisper directory")
    of_features.add_argument("--seconds", type=float, default=300, help="how much audio to take")
    commands.add_parser("lists", help=lists.__doc__).add_argument("num_keys", type=int)
    commands.add_parser("batches", help=batches.__doc__).add_argument("num_utterances", type=int)
    of_operations = commands.add_parser("operations", help=operations.__doc__)
    of_operations.add_argument("--seconds", type=float, default=7.2, help="of the utterance")
    of_operations.add_argument("--tokens", type=int, default=30, help="of a target")
    of_operations.add_argument("--targets", type=int, default=2, help="of an utterance")
    of_scoring = commands.add_parser("scoring", help=scoring.__doc__)
    of_scoring.add_argument("num_keys", type=int)
    of_scoring.add_argument("text", type=Path, help="merged text of a data directory")
    of_scoring.add_argument("--nj", type=int, default=2, help="processes that count errors")
    arguments = vars(parser.parse_args())
    measurements: dict[str, Callable[..., None]] = {
        "features": features, "lists": lists, "batches": batches, "operations": operations, "scoring": scoring}
    measurements[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    run_main(main)
