"""Stage 2: features of a data directory to Kaldi ark files, one matrix per audio file, by numbered jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import kaldiio

from utils.audio import load_audio
from utils.cli import progress
from utils.errors import UserError
from utils.filesystem import atomic_open
from utils.lists import keys_by_audio, read_list, write_list

if TYPE_CHECKING:
    from utils.features import LogMel  # brings torch, which joining lists does not need

# Kaldi's compression methods by name (copy-feats --compression-method).
COMPRESSION = {"none": None, "auto": 1, "two-byte": 3, "one-byte": 5}


def audio_of_job(sources: dict[str, str], job: int, num_jobs: int) -> dict[str, list[str]]:
    """Audio file -> its keys, for job ``job`` (from 1) of ``num_jobs``; files are dealt out in blocks, in order."""
    keys_of = keys_by_audio(sources)
    files = list(keys_of)
    first, last = len(files) * (job - 1) // num_jobs, len(files) * job // num_jobs
    return {source: keys_of[source] for source in files[first:last]}


def dump_feats(data_dir: Path, dump_dir: Path, log_mel: LogMel, job: int, num_jobs: int, *,
               compression: str = "none", allow_pipes: bool = False) -> None:
    """Write feats.JOB.ark, feats.JOB.scp and utt2num_frames.JOB in ``dump_dir``.

    Matrices are (frames, num_mels), unpadded. Two keys of one audio file point at the same matrix. The scp appears
    last, so a job that has one is complete.

    Raises:
        UserError: an audio file cannot be read or is longer than 30 s.
    """
    work = audio_of_job(read_list(data_dir / "wav.scp", verbatim=True), job, num_jobs)
    ark = dump_dir / f"feats.{job}.ark"
    locations: dict[str, str] = {}
    num_frames: dict[str, str] = {}
    with atomic_open(ark, "wb") as stream:
        for source, keys in progress(work.items(), desc=f"features {job}/{num_jobs}", total=len(work), unit="file"):
            try:
                feats = log_mel(load_audio(source, allow_pipes=allow_pipes))
            except UserError as error:
                raise UserError(f"{data_dir / 'wav.scp'}: {keys[0]}: {error}") from None
            except ValueError as error:
                raise UserError(f"{data_dir / 'wav.scp'}: {keys[0]}: {source}: {error}. Cut the utterance into shorter "
                                "ones, or delete its lines") from None
            token = keys[0].encode() + b" "
            offset = stream.tell() + len(token)
            kaldiio.save_ark(stream, {keys[0]: feats}, compression_method=COMPRESSION[compression])
            for key in keys:
                locations[key] = f"{ark}:{offset}"
                num_frames[key] = str(len(feats))
    write_list(dump_dir / f"utt2num_frames.{job}", num_frames)
    write_list(dump_dir / f"feats.{job}.scp", locations, verbatim=True)


def combine_feats(data_dir: Path, dump_dir: Path, num_jobs: int) -> tuple[int, int]:
    """Join the jobs' lists into feats.scp and utt2num_frames and remove the parts.

    Returns:
        The number of keys, which is that of data_dir/wav.scp, and the number of matrices that they share.

    Raises:
        UserError: a job's list is missing, or the keys are not those of data_dir/wav.scp.
    """
    expected = read_list(data_dir / "wav.scp", verbatim=True)
    for name, part in (("utt2num_frames", "utt2num_frames.{}"), ("feats.scp", "feats.{}.scp")):
        joined: dict[str, str] = {}
        for job in range(1, num_jobs + 1):
            joined |= _read_part(dump_dir / part.format(job))
        different = expected.keys() ^ joined.keys()
        if different:
            raise UserError(f"{dump_dir}: {name} would not have the keys of {data_dir / 'wav.scp'} ({len(different)} "
                            f"differ, the first: {min(different)}); run stage 2 again")
        write_list(dump_dir / name, joined, verbatim=True)
    for job in range(1, num_jobs + 1):
        (dump_dir / f"feats.{job}.scp").unlink()
        (dump_dir / f"utt2num_frames.{job}").unlink()
    return len(expected), len(set(joined.values()))


def _read_part(path: Path) -> dict[str, str]:
    """A job's list; a job without audio, because there are more jobs than files, has an empty one."""
    if not path.is_file():
        raise UserError(f"{path}: is missing, its job did not end well; run stage 2 again with as many jobs")
    return read_list(path, verbatim=True) if path.stat().st_size else {}
