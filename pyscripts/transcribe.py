#!/usr/bin/env python3
"""Transcribe and translate recordings of any length with an exported model, in one encoder pass.

    pyscripts/transcribe.py talk.mp3 --model exp/TAG/ct2_int8
    pyscripts/transcribe.py talks/ --model exp/TAG/ct2_int8 --format "srt jsonl" --output-dir subtitles
    pyscripts/transcribe.py data/test/wav.scp --model exp/TAG/ct2_int8 --task transcribe --format kaldi --output-dir out
    arecord -q -f S16_LE -r 16000 -t raw | pyscripts/transcribe.py - --raw true --live true --model exp/TAG/ct2_int8

AUDIO is a file of any kind, a folder, a list (*.scp: `utterance file` or `id|language|task file`), or - for standard
input. Without --output-dir the text is printed. With it, each recording gets NAME.srt (.txt, .vtt, .tsv) and, for its
translation, NAME.en.srt; `text` (Kaldi's) and transcripts.jsonl contain all recordings.

A file that cannot be read is named on standard error; the others are transcribed, and the exit status is 1. --model is
an export of this recipe, or any other multilingual CTranslate2 directory that faster-whisper takes.
"""

import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, make_parser, run_main
from utils.errors import UserError

TASKS = {"transcribe": ("transcribe",), "translate": ("translate",), "both": ("transcribe", "translate")}


def parse_args() -> Namespace:
    """Return the checked command line."""
    parser = make_parser(__doc__)
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="files, folders, *.scp lists, or - (see above)")
    parser.add_argument("--model", type=Path, required=True,
                        help="exported directory, or another that faster-whisper takes")
    parser.add_argument("--task", choices=TASKS, default="both",
                        help="write the text in its own language, in English, or both")
    parser.add_argument("--language", default="",
                        help="name or code; each: detected for each segment; default: a list's own, else detected")
    parser.add_argument("--format", default="text", help="text, kaldi, jsonl, srt, vtt or tsv, or several in quotes")
    parser.add_argument("--output-dir", type=Path, help="write files to this directory instead of printing")
    parser.add_argument("--nj", type=int, default=2, help="number of recordings that are recognized at once")
    parser.add_argument("--beam-size", type=int, default=1, help="1 is greedy search")
    parser.add_argument("--hotwords", default="",
                        help="names and products that may be said, written as in a text; makes them more likely")
    parser.add_argument("--window", choices=["auto", "short", "full"], default="auto",
                        help="short: encode without padding; full: pad to 30 s; auto: short if the model was tuned so")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    parser.add_argument("--compute-type", default="auto", help="int8, float16, ...; auto: as the model was saved")
    parser.add_argument("--allow-pipes", type=boolean, default="false", metavar="true|false",
                        help="run `command |` entries of lists")
    parser.add_argument("--track", type=int, help="number of the audio track, from 1; default: the container's own")
    parser.add_argument("--channels", choices=["mix", "split"], default="mix",
                        help="split: recognize each channel by itself, as the two sides of a call")
    parser.add_argument("--skip-existing", type=boolean, default="false", metavar="true|false",
                        help="leave out recordings that --output-dir has already")
    parser.add_argument("--raw", type=boolean, default="false", metavar="true|false",
                        help="standard input is 16-bit little-endian samples, mono, 16 kHz, without a header")
    parser.add_argument("--live", type=boolean, default="false", metavar="true|false",
                        help="recognize standard input while it arrives: print each utterance when a pause follows it")
    args = parser.parse_args()
    if args.nj < 1 or args.beam_size < 1:
        parser.error("--nj and --beam-size must be at least 1")
    if args.skip_existing and not args.output_dir:
        parser.error("--skip-existing true looks into --output-dir; give one")
    if args.live and (args.audio != ["-"] or args.output_dir):
        parser.error("--live true reads standard input only (-), and prints")
    if args.live and args.format not in ("text", "jsonl"):
        parser.error("--live true prints text or jsonl")
    return args


def main() -> int:
    """Transcribe; return the exit status. Raises UserError if a recording could not be read."""
    args = parse_args()

    from utils.transcribe.recordings import find_recordings

    recordings = find_recordings(args.audio)  # before the imports that take seconds

    from utils.transcribe.outputs import open_output, wants_words
    from utils.transcribe.recognizer import Recognizer, known_language
    from utils.transcribe.run import Job, new_recordings, transcribe, transcribe_live
    from utils.transcribe.spoken_languages import EACH

    tasks, formats = TASKS[args.task], args.format.replace(",", " ").split()
    output = open_output(args.output_dir, formats, tasks, len(recordings) == 1, args.skip_existing)
    if args.skip_existing:
        recordings = new_recordings(recordings, output)
    language = args.language if args.language in ("", EACH) else known_language(args.language)
    job = Job(tasks, language or None, args.allow_pipes, args.raw, args.track, args.channels == "split",
              "transcribe" in tasks and wants_words(formats))
    recognizer = Recognizer(args.model, device=args.device, compute_type=args.compute_type, beam_size=args.beam_size,
                            hotwords=args.hotwords, window=args.window)
    if args.live:
        transcribe_live(recognizer, job, output)
        return 0
    if failed := transcribe(recognizer, recordings, job, output, args.nj):
        raise UserError(f"{failed} of {len(recordings)} recordings could not be read; see above")
    return 0


if __name__ == "__main__":
    run_main(main)
