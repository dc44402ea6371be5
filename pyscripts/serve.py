#!/usr/bin/env python3
"""Serve an exported model on this machine: OpenAI's audio endpoints, and a page for audio files and recording.

    tools/serve.sh --model exp/TAG/ct2_int8
    curl -F file=@call.wav -F model=whisper-1 http://127.0.0.1:8000/v1/audio/transcriptions

Any OpenAI client works with base_url=http://127.0.0.1:8000/v1. POST /recognize does both tasks in one encoder pass.
Other machines are served only with an API key, from --api-key-file or the environment variable WHISPER_API_KEY:

    WHISPER_API_KEY=... tools/serve.sh --model exp/TAG/ct2_int8 --host 0.0.0.0

After Ctrl-C or SIGTERM it still answers the requests in progress, then stops.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, log, make_parser, run_main


def main() -> None:
    """Parse the command line and serve."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="exported directory, or another that faster-whisper takes")
    add("--host", default="127.0.0.1", help="address to listen at; any but this machine's own needs an API key")
    add("--port", type=int, default=8000, help="0: any free port")
    add("--api-key-file", type=Path, metavar="FILE",
        help="file with the key that clients must send as Authorization: Bearer KEY")
    add("--any-model", type=boolean, nargs="?", const=True, default="false", metavar="true|false",
        help="answer requests that name any model, such as gpt-4o-mini-transcribe; alone, it means true")
    add("--allow-origin", action="append", default=[], metavar="ORIGIN",
        help="a page or app that may use the service, as its browser writes it: app://obsidian.md; may be repeated")
    add("--nj", type=int, default=len(os.sched_getaffinity(0)), help="number of recordings that are recognized at once")
    add("--queue", type=int, default=16, metavar="N",
        help="further requests that may wait; beyond these the answer is status 429")
    add("--max-mb", type=float, default=25, metavar="MB", help="largest request")
    add("--max-audio-seconds", type=float, default=900, metavar="S", help="longest recording")
    add("--timeout", type=float, default=120, metavar="S",
        help="longest time for a request, from its first byte to the answer")
    add("--beam-size", type=int, default=1, help="1 is greedy search")
    add("--hotwords", default="", help="names and products that may be said, separated by commas")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    add("--compute-type", default="auto", help="int8, float16, ...; auto: as the model was saved")
    args = parser.parse_args()
    if min(args.nj, args.beam_size) < 1 or args.queue < 0:
        parser.error("--nj and --beam-size must be at least 1, --queue at least 0")
    if wrong := [origin for origin in args.allow_origin if "://" not in origin or origin.endswith("/")]:
        parser.error(f"--allow-origin {wrong[0]}: write scheme and host without a path, such as http://localhost:3000")
    if not min(args.max_mb, args.max_audio_seconds, args.timeout) > 0:
        parser.error("--max-mb, --max-audio-seconds and --timeout must be more than 0")

    from utils.serve.guard import Limits, listen, read_api_key

    api_key = read_api_key(args.api_key_file)
    with listen(args.host, args.port, api_key) as listener:  # before the imports that take seconds
        from utils.serve.app import make_app, make_server
        from utils.serve.served_model import describe_model
        from utils.transcribe.recognizer import Recognizer

        recognizer = Recognizer(args.model, device=args.device, compute_type=args.compute_type,
                                beam_size=args.beam_size, hotwords=args.hotwords)
        limits = Limits(round(args.max_mb * 1e6), args.max_audio_seconds, args.timeout)
        app = make_app(recognizer, describe_model(args.model), workers=args.nj, waiting=args.queue, limits=limits,
                       api_key=api_key, any_model=args.any_model, origins=args.allow_origin)
        host, port = listener.getsockname()[:2]
        log(f"{args.model} is served at http://{f'[{host}]' if ':' in host else host}:{port}, "
            f"{args.nj} recordings at once, {args.queue} may wait; Ctrl-C stops")
        make_server(app, limits.seconds).run(sockets=[listener])


if __name__ == "__main__":
    run_main(main)
