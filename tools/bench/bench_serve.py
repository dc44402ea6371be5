#!/usr/bin/env python3
"""Measure latency and memory of the service under load: several clients on this machine, both tasks a request.

    tools/bench.sh serve
    tools/bench/bench_serve.py --ct2 exp/TAG/ct2_int8 --data data/test --requests 200 --clients 8

Starts tools/serve.sh, sends each client's utterances one after the other, and stops it. Every answer must be the one
that the same audio got when it was alone.
"""

from __future__ import annotations

import io
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx2

from utils.cli import run_main
from utils.errors import UserError

SERVE = Path(__file__).resolve().parents[1] / "serve.sh"
_WARM_UP = 50  # requests after which memory should have stopped growing


@dataclass(frozen=True)
class Load:
    """The results of a load test. Seconds, MB (resident, of the server); ``wrong`` answers differ from those alone."""

    requests: int
    clients: int
    lost: int
    wrong: int
    wall_seconds: float
    audio_seconds: float
    p50: float
    p95: float
    memory_after_50: float
    memory_in_the_end: float


@contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run tools/serve.sh on a free port for the length of the block; yields its address and its process.

    Raises:
        UserError: it does not start; the message has its last line.
    """
    command = [str(SERVE), "--model", str(model), "--port", "0", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None  # a pipe
    line = ""
    try:
        for line in server.stderr:
            if found := re.search(r"served at (http://\S+:\d+)", line):
                break
        else:
            raise UserError(f"the server does not start: {line.strip()}")
        threading.Thread(target=server.stderr.read, daemon=True).start()  # a full pipe would stop the server
        yield found.group(1), server
    finally:
        server.terminate()
        try:
            server.wait(60)
        finally:
            server.kill()


def load_test(model: Path, audio: Sequence[bytes], n_requests: int, n_clients: int, *options: str) -> Load:
    """Send ``n_requests``, the audio files in turn, from so many clients at once."""
    with serving(model, *options) as (url, server), httpx2.Client(timeout=300) as client:
        def ask(data: bytes) -> dict[str, Any]:
            answer = client.post(f"{url}/recognize", files={"file": data})
            answer.raise_for_status()
            return answer.json()

        def timed(number: int) -> tuple[float, float, bool] | None:
            began = time.monotonic()
            try:
                answer = ask(audio[number % len(audio)])
            except httpx2.HTTPError:
                return None
            return time.monotonic() - began, answer["duration"], answer == alone[number % len(audio)]

        alone = [ask(data) for data in audio]
        began = time.monotonic()
        with ThreadPoolExecutor(n_clients) as pool:
            first = [*pool.map(timed, range(_WARM_UP))]
            memory = _resident_megabytes(server.pid)
            answers = [*first, *pool.map(timed, range(_WARM_UP, n_requests))]
        seconds = time.monotonic() - began
        found = [answer for answer in answers if answer]
        cuts = statistics.quantiles([latency for latency, _, _ in found], n=20)
        return Load(n_requests, n_clients, n_requests - len(found), sum(not same for _, _, same in found), seconds,
                    sum(duration for _, duration, _ in found), cuts[9], cuts[18], memory,
                    _resident_megabytes(server.pid))


def _resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1000


def main() -> None:
    """Parse the options, measure, report."""
    from tools.bench.measure import Timing, bench_parser, report, spread_audio

    parser = bench_parser(__doc__, repetitions=1)
    parser.add_argument("--ct2", type=Path, default=Path("exp/whisper-base_whisper_multitask/ct2_int8"))
    parser.add_argument("--data", type=Path, default=Path("data/test"), help="data directory with wav.scp")
    parser.add_argument("--requests", type=int, default=200, help="at least 100")
    parser.add_argument("--clients", type=int, default=8, help="at once")
    args = parser.parse_args()
    if args.requests < 2 * _WARM_UP or args.clients < 1:
        raise UserError(f"--requests must be at least {2 * _WARM_UP}, --clients at least 1")
    sources = spread_audio(args.data / "wav.scp", args.utterances)
    audio = [_as_wav(source) for source in sources]
    load = load_test(args.ct2, audio, args.requests, args.clients, "--nj", str(args.threads),
                     "--queue", str(args.clients))
    report("The service under load", {"ct2": str(args.ct2), "threads": args.threads, "files": len(audio)},
           ["", "value"], [[name.replace("_", " "), value] for name, value in asdict(load).items()], args.json,
           [Timing("service", [load.wall_seconds], asdict(load))])


def _as_wav(source: str) -> bytes:
    """A file's audio as wav, because raw g722 can only be recognized by a file name."""
    import soundfile

    from utils.audio.constants import SAMPLE_RATE
    from utils.audio.loading import load_audio

    buffer = io.BytesIO()
    soundfile.write(buffer, load_audio(source), SAMPLE_RATE, format="wav")
    return buffer.getvalue()


if __name__ == "__main__":
    run_main(main)
