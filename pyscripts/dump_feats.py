#!/usr/bin/env python3
"""Compute log-mel features of a data directory, unpadded, and write them as Kaldi arks (stage 2).

    pyscripts/dump_feats.py --model download/whisper-base --job 1 --num-jobs 4 data/train dump/train
    pyscripts/dump_feats.py --num-jobs 4 --combine true data/train dump/train

Each job writes feats.JOB.ark; --combine joins the jobs' lists into feats.scp,
utt2num_frames and utt2digest.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import add_job_options, boolean, check_job, log, make_parser, run_main

COMPRESSIONS = ["none", "auto", "two-byte", "one-byte"]


def main() -> None:
    """Parse the command line and write one job's features, or join all jobs'."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", help="Hugging Face Whisper directory, whose feature extractor is used")
    add_job_options(parser, combine="join the jobs' parts instead of computing one")
    parser.add_argument("--compression", choices=COMPRESSIONS, default="none", help="Kaldi's lossy storage")
    parser.add_argument("--allow-pipes", type=boolean, default="false", metavar="true|false",
                        help="run `command |` entries of wav.scp")
    parser.add_argument("--resume", type=boolean, default="false", metavar="true|false",
                        help="keep a part that is complete and was made from the same input")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("dump_dir", type=Path)
    args = parser.parse_args()
    check_job(parser, args)
    if not args.combine and not args.model:
        parser.error("--model is needed to make features")

    from utils.features.feature_dump import combine_feats, dump_feats

    if args.combine:
        n_keys, n_matrices = combine_feats(args.data_dir, args.dump_dir, args.num_jobs)
        log(f"{args.dump_dir}: {n_keys} keys in {args.data_dir / 'wav.scp'} = {n_keys} with features, "
            f"{n_matrices} matrices")
        return
    import torch

    from utils.features.log_mel import LogMel

    torch.set_num_threads(1)  # the jobs share the cores
    dump_feats(args.data_dir, args.dump_dir, LogMel(args.model), args.job, args.num_jobs,
               compression=args.compression, allow_pipes=args.allow_pipes, resume=args.resume)


if __name__ == "__main__":
    run_main(main)
