"""Stage 2: writes the features of a data directory to Kaldi arks, one matrix per audio file, in numbered jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import kaldiio
import numpy as np

from utils.audio.faults import unlike_speech
from utils.audio.loading import load_audio, load_parts
from utils.audio.sources import split_part
from utils.cli import log, progress
from utils.data.lists import join_lists, keys_by_audio, write_list
from utils.data.segments import read_sources
from utils.errors import UserError
from utils.filesystem import atomic_open

if TYPE_CHECKING:
    from utils.features.log_mel import LogMel  # imports torch, which joining lists does not need

# Kaldi's compression methods by name (copy-feats --compression-method).
COMPRESSION = {"none": None, "auto": 1, "two-byte": 3, "one-byte": 5}
# Lists of a dump directory and of its jobs. feats.scp is written last: a job that has it is complete.
_LISTS = {"utt2num_frames": "utt2num_frames.{}", "utt2digest": "utt2digest.{}", "feats.scp": "feats.{}.scp"}
_UNLIKE_SPEECH = "unlike_speech"  # keys whose samples cannot be speech, and why; written by jobs and for the set


def audio_of_job(sources: dict[str, str], job: int, num_jobs: int) -> dict[str, list[str]]:
    """Return keys by audio file for job ``job`` (from 1) of ``num_jobs``; each job gets a block of files, in order."""
    keys_of = keys_by_audio(sources)
    files = list(keys_of)
    first, last = len(files) * (job - 1) // num_jobs, len(files) * job // num_jobs
    return {source: keys_of[source] for source in files[first:last]}


def dump_feats(data_dir: Path, dump_dir: Path, log_mel: LogMel, job: int, num_jobs: int, *,
               compression: str = "none", allow_pipes: bool = False, resume: bool = False) -> None:
    """Write feats.JOB.ark, feats.JOB.scp, utt2num_frames.JOB, utt2digest.JOB and unlike_speech.JOB in ``dump_dir``.

    Matrices are (frames, num_mels), without padding. Keys with the same audio file share a matrix. utt2digest has a
    digest of each matrix, which shows whether features are the same, whatever their ark and offset.

    Args:
        job: number of this job, from 1 to ``num_jobs``.
        compression: a key of ``COMPRESSION``.
        allow_pipes: whether ``command |`` entries of wav.scp may run.
        resume: skip a job that is complete; its inputs must not have changed.

    Raises:
        UserError: an audio file cannot be read or is longer than 30 s.
    """
    work = audio_of_job(read_sources(data_dir / "wav.scp"), job, num_jobs)
    ark = dump_dir / f"feats.{job}.ark"
    if resume and _is_complete(dump_dir, job, work):
        log(f"{ark}: was complete before the interruption")
        return
    _remove_parts(dump_dir, job)
    locations: dict[str, str] = {}
    num_frames: dict[str, str] = {}
    digests: dict[str, str] = {}
    faults: dict[str, str] = {}
    with atomic_open(ark, "wb") as stream:
        for source, samples in progress(_job_audio(data_dir / "wav.scp", work, allow_pipes),
                                        desc=f"features {job}/{num_jobs}", total=len(work), unit="file"):
            keys = work[source]
            if fault := unlike_speech(samples):
                faults |= dict.fromkeys(keys, fault)
            try:
                feats = log_mel(samples)
            except ValueError as error:
                raise UserError(f"{data_dir / 'wav.scp'}: {keys[0]}: {source}: {error}. Cut the utterance into shorter "
                                "ones, or delete its lines") from None
            token = keys[0].encode() + b" "
            offset = stream.tell() + len(token)
            kaldiio.save_ark(stream, {keys[0]: feats}, compression_method=COMPRESSION[compression])
            digest = blake2b(feats.tobytes(), digest_size=16, person=compression.encode()).hexdigest()
            for key in keys:
                locations[key] = f"{ark}:{offset}"
                num_frames[key] = str(len(feats))
                digests[key] = digest
    write_list(dump_dir / f"{_UNLIKE_SPEECH}.{job}", faults)
    for (name, part), items in zip(_LISTS.items(), (num_frames, digests, locations), strict=True):
        write_list(dump_dir / part.format(job), items, verbatim=name == "feats.scp")


def _job_audio(wav_scp: Path, work: Mapping[str, Sequence[str]], allow_pipes: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each source of ``work`` and its samples (samples,). A recording is read once, for all of its parts."""
    parts_of: dict[str, list[tuple[float, float, str]]] = {}
    for source in work:
        recording, start, end = split_part(source) or (source, 0.0, 0.0)
        parts_of.setdefault(recording, []).append((start, end, source))
    for recording, parts in parts_of.items():
        parts.sort()
        whole = parts[0][2] == recording
        samples = (load_audio(recording, allow_pipes) for _ in parts) if whole else \
            load_parts(recording, [(start, end) for start, end, _ in parts], allow_pipes)
        for _, _, source in parts:
            try:
                yield source, next(samples)
            except UserError as error:
                raise UserError(f"{wav_scp}: {work[source][0]}: {error}") from None


def _is_complete(dump_dir: Path, job: int, work: Mapping[str, list[str]]) -> bool:
    """Whether all files of a job exist and have the keys that the job has now."""
    keys = {key for keys in work.values() for key in keys}
    return (all((dump_dir / part.format(job)).is_file() and _join(dump_dir, part, [job]).keys() == keys
                for part in _LISTS.values()) and (dump_dir / f"feats.{job}.ark").is_file())


def _remove_parts(dump_dir: Path, job: int) -> None:
    for part in (*reversed(_LISTS.values()), f"{_UNLIKE_SPEECH}.{{}}"):
        (dump_dir / part.format(job)).unlink(missing_ok=True)


def combine_feats(data_dir: Path, dump_dir: Path, num_jobs: int) -> tuple[int, int]:
    """Join the jobs' lists into feats.scp, utt2num_frames and utt2digest, and name audio that cannot be speech.

    The jobs' lists are removed, and all files that an earlier run with more jobs left.

    Returns:
        The number of keys, as in data_dir/wav.scp, and the number of matrices.

    Raises:
        UserError: a job's list is missing, or the keys differ from those of data_dir/wav.scp.
    """
    expected = read_sources(data_dir / "wav.scp")
    for name, part in _LISTS.items():
        joined = _join(dump_dir, part, range(1, num_jobs + 1))
        different = expected.keys() ^ joined.keys()
        if different:
            raise UserError(f"{dump_dir}: {name} would not have the keys of {data_dir / 'wav.scp'} ({len(different)} "
                            f"differ, the first: {min(different)}); run stage 2 again")
        write_list(dump_dir / name, joined, verbatim=True)
    _warn_of_faults(data_dir, dump_dir, _join(dump_dir, f"{_UNLIKE_SPEECH}.{{}}", range(1, num_jobs + 1)))
    left = [int(number) for path in dump_dir.glob("feats.*") if (number := path.name.split(".")[1]).isdecimal()]
    for job in {*left, *range(1, num_jobs + 1)}:
        _remove_parts(dump_dir, job)
        if job > num_jobs:
            (dump_dir / f"feats.{job}.ark").unlink(missing_ok=True)
    return len(expected), len(set(joined.values()))


def _warn_of_faults(data_dir: Path, dump_dir: Path, faults: Mapping[str, str]) -> None:
    """Write keys whose samples cannot be speech to dump_dir/unlike_speech, and name them; they are kept."""
    path = dump_dir / _UNLIKE_SPEECH
    path.unlink(missing_ok=True)
    if faults:
        write_list(path, faults)
        sources = read_sources(data_dir / "wav.scp")
        shown = "\n".join(f"{sources[key]}: {fault}" for key, fault in list(faults.items())[:5])
        log(f"warning: {data_dir}: {len(faults)} of {len(sources)} targets have audio that cannot be speech, and are "
            f"kept (delete their lines, or correct the audio; all are in {path}):\n{shown}")


def _join(dump_dir: Path, part: str, jobs: Iterable[int]) -> dict[str, str]:
    return join_lists((dump_dir / part.format(job) for job in jobs), "run stage 2 again with as many jobs",
                      verbatim=True)
