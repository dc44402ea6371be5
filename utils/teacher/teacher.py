"""Translations of a set by a larger Whisper, the teacher, which are kept beside the set.

``data/SET/teacher/NAME/{text,utt2dur}`` has every hypothesis and the seconds of its audio, usable or not. What is
there is not decoded again, so an interrupted labelling continues where it stopped.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils import ROOT
from utils.audio.loading import audio_seconds, load_audio
from utils.cli import log
from utils.data.lists import join_lists, write_list
from utils.decode.decode_directory import part_directory
from utils.errors import UserError
from utils.filesystem import read_json, write_json
from utils.model.ct2_directory import is_ct2_directory
from utils.model.origin import base_model_name
from utils.provenance import git_commit, versions

if TYPE_CHECKING:
    from utils.decode.decoder import Decoder
    from utils.features.log_mel import LogMel

UTTERANCES_AT_ONCE = 2000  # decoded between two writes
_AGAIN = "delete its directory and label again"
INFO = "teacher.json"


@dataclass(frozen=True)
class Teacher:
    """The teacher model and its search settings."""

    directory: Path  # Hugging Face's or CTranslate2's
    beam_size: int = 5
    batch_size: int = 8

    @property
    def name(self) -> str:
        """The model's name on the hub, or its directory if that is not known."""
        return base_model_name(self.directory.resolve())

    def cache(self, data_dir: Path) -> Path:
        """The directory that keeps the hypotheses for data/SET."""
        name = re.sub(r"[^\w.-]+", "_", self.name).strip("_")[-200:]
        return data_dir / "teacher" / f"{name}_beam{self.beam_size}"


def decode(teacher: Teacher, data_dir: Path, audio: Mapping[str, str], job: int = 1, num_jobs: int = 1,
           allow_pipes: bool = False) -> int:
    """Translate one job's share of ``audio``, without what was decoded before.

    Audio that cannot be opened, or is longer than Whisper's window, is left out; audio that cannot be
    opened is named in a log line.

    Args:
        audio: wav.scp values by key.
        job: from 1.

    Returns:
        The number of utterances decoded.

    Raises:
        UserError: the model cannot translate or cannot be loaded, or audio is damaged.
    """
    cache = teacher.cache(data_dir)
    done = read_hypotheses(cache)[0]
    todo = [key for key in [*audio][job - 1::num_jobs] if key not in done]
    if not todo:
        log(f"{data_dir}: nothing new for {teacher.name}")
        return 0
    decoder, log_mel = load_teacher(teacher)
    part = part_directory(cache, job)
    hypotheses, seconds = _read_part(part)
    n_before = len(hypotheses)
    for first in range(0, len(todo), UTTERANCES_AT_ONCE):
        some = todo[first:first + UTTERANCES_AT_ONCE]
        log(f"{data_dir}: utterances {first + 1} to {first + len(some)} of {len(todo)}")
        texts, lengths = _translate({key: audio[key] for key in some}, decoder, log_mel, teacher.batch_size,
                                    allow_pipes)
        hypotheses |= texts
        seconds |= lengths
        _write_part(part, hypotheses, seconds)
        write_json(cache / INFO, {"teacher": teacher.name, "beam_size": teacher.beam_size,
                                   "date": time.strftime("%Y-%m-%d %H:%M %Z"), "versions": versions(),
                                   "commit": git_commit(ROOT)})
    return len(hypotheses) - n_before


def _translate(audio: Mapping[str, str], decoder: Decoder, log_mel: LogMel, batch_size: int,
               allow_pipes: bool) -> tuple[dict[str, str], dict[str, float]]:
    """Hypotheses and seconds by key, decoded at 30 s: the teacher was not tuned for shorter windows."""
    from utils.audio.constants import FULL_WINDOW
    from utils.decode.batches import decode_set, plan_batches
    from utils.features.feature_set import Utterance

    seconds: dict[str, float] = {}
    for key, source in audio.items():
        try:
            seconds[key] = audio_seconds(source, allow_pipes)
        except UserError as error:
            log(f"left out: {error}")
    samples = {key: round(length * log_mel.sampling_rate) for key, length in seconds.items()}
    utterances = [Utterance(audio[key], log_mel.num_frames(count), [key]) for key, count in samples.items()
                  if 0 < count <= log_mel.max_samples]
    hypotheses, _ = decode_set(decoder, lambda source: log_mel(load_audio(source, allow_pipes)),
                               plan_batches(utterances, batch_size * FULL_WINDOW, "full"))
    return hypotheses, {key: seconds[key] for key in hypotheses}


def load_teacher(teacher: Teacher) -> tuple[Decoder, LogMel]:
    """A decoder with the teacher, on the GPU if there is one, and the feature extractor for it.

    Raises:
        UserError: the model was not trained to translate, is English-only, or cannot be loaded.
    """
    from utils.data.tokenizer import load_tokenizer
    from utils.decode.ct2_decoder import Ct2Decoder
    from utils.decode.predict import best_device
    from utils.decode.transformers_decoder import TransformersDecoder
    from utils.features.log_mel import LogMel
    from utils.model.checkpoints import load_base_model

    directory = teacher.directory
    refuse_untrained(directory)
    tokenizer = load_tokenizer(directory)
    if is_ct2_directory(directory):
        decoder = Ct2Decoder(directory, tokenizer, beam_size=teacher.beam_size)
        return decoder, LogMel(directory, decoder.model.n_mels)
    device, dtype = best_device()
    model = load_base_model(directory, dtype).to(device)  # type: ignore[arg-type]  # a decorator hides self
    return TransformersDecoder(model, tokenizer, teacher.beam_size), LogMel(directory)


def refuse_untrained(directory: Path) -> None:
    """Refuse a model with far fewer decoder than encoder layers: large-v3-turbo and the distilled models.

    These were not trained on translations (https://github.com/openai/whisper/discussions/2363).

    Raises:
        UserError: the model is one of these, or the directory has no Whisper.
    """
    if is_ct2_directory(directory):
        from utils.model.ct2_binary import read_ct2_shapes

        found = re.findall(r"(encoder|decoder)/layer_(\d+)/", "\n".join(read_ct2_shapes(directory / "model.bin")))
        layers = {side: len({number for of, number in found if of == side}) for side in ("encoder", "decoder")}
    else:
        config = read_json(directory / "config.json", "Name a directory of Hugging Face's or of CTranslate2's")
        layers = {side: config.get(f"{side}_layers", 0) for side in ("encoder", "decoder")}
    if 2 * layers["decoder"] <= layers["encoder"]:
        raise UserError(f"--teacher {directory}: {layers['decoder']} decoder layers for {layers['encoder']} of the "
                        "encoder: a turbo or distilled model, which was not trained to translate. Take large-v3, "
                        "medium or small")


def _read_part(directory: Path) -> tuple[dict[str, str], dict[str, float]]:
    if not (directory / "text").exists():
        return {}, {}
    texts = join_lists([directory / "text"], _AGAIN, allow_empty=True)
    seconds = {key: float(value) for key, value in join_lists([directory / "utt2dur"], _AGAIN).items()}
    return {key: text for key, text in texts.items() if key in seconds}, seconds


def _write_part(directory: Path, hypotheses: Mapping[str, str], seconds: Mapping[str, float]) -> None:
    write_list(directory / "utt2dur", {key: f"{value:.2f}" for key, value in seconds.items()})
    write_list(directory / "text", hypotheses)  # last, so that every key in it has its seconds


def read_hypotheses(cache: Path) -> tuple[dict[str, str], dict[str, float]]:
    """All hypotheses so far and the seconds of their audio, by key, including those still in jobs' parts."""
    hypotheses, seconds = _read_part(cache)
    for part in sorted(cache.glob("part.*")):
        texts, lengths = _read_part(part)
        hypotheses |= texts
        seconds |= lengths
    return hypotheses, seconds


def join_hypotheses(cache: Path) -> tuple[dict[str, str], dict[str, float]]:
    """The same as :func:`read_hypotheses`, and join the jobs' parts into one list."""
    hypotheses, seconds = read_hypotheses(cache)
    parts = sorted(cache.glob("part.*"))
    if parts:
        _write_part(cache, hypotheses, seconds)
        for part in parts:
            shutil.rmtree(part)
    return hypotheses, seconds
