#!/usr/bin/env python3
"""Publish an experiment on the Hugging Face hub: adapter, whole model and exports. By default, only list the files.

    pyscripts/push_to_hub.py me/whisper-prompts exp/lora
    HF_TOKEN=... pyscripts/push_to_hub.py --dry-run false me/whisper-prompts exp/lora

The adapter goes to USER/NAME-lora, the whole model to USER/NAME, exports to USER/NAME-ct2-TYPE; transformers and
faster-whisper load them by these names. The token is that of HF_TOKEN or of `hf auth login`; it is never printed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, log, make_parser, run_main


def main() -> None:
    """Parse the command line; list the files or send them."""
    parser = make_parser(__doc__)
    parser.add_argument("--dry-run", type=boolean, default="true", metavar="true|false",
                        help="list the files instead of sending them")
    parser.add_argument("--private", type=boolean, default="true", metavar="true|false",
                        help="new repositories are private")
    parser.add_argument("repo", metavar="USER/NAME", help="name of the repositories")
    parser.add_argument("exp_dir", type=Path, help="the experiment, with its model cards")
    args = parser.parse_args()

    from utils.publish.hub_upload import plan, send

    uploads = plan(args.exp_dir, args.repo)
    for upload in uploads:
        print(f"{upload.repo}: {len(upload.files)} files, {upload.n_bytes / 1e6:.1f} MB")
        for path in upload.files:
            print(f"  {path.stat().st_size / 1e6:10.3f} MB  {path}")
    if args.dry_run:
        log("nothing was sent; --dry-run false sends it")
        return
    sys.stdout.flush()
    for address in send(uploads, args.private):
        log(f"sent: {address}")


if __name__ == "__main__":
    run_main(main)
