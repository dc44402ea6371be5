#!/usr/bin/env python3
"""Take doc/pictures/{report,utterances,service}.png: what a browser shows of a finished run.

    . ./path.sh
    python3 doc/pictures/take_screenshots.py --report exp/TAG/report.html
    python3 doc/pictures/take_screenshots.py --model exp/TAG/ct2_int8 --audio recording.wav --language fr

Needs Debian's packages chromium and chromium-driver. Shown are the beginning of the report, its worst utterances, and
the service's page with one recording in it.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import open_browser
from PIL import Image

from tools.bench.bench_serve import serving
from utils.cli import make_parser, run_main

HERE = Path(__file__).resolve().parent
WIDTH = 1000


def save(screenshot: Path, name: str) -> None:
    """Store a screenshot in few bytes: pages have few colours."""
    with Image.open(screenshot) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


def shoot_report(report: Path, directory: Path, heights: tuple[int, int]) -> None:
    """The page from its top, and from where its utterances begin."""
    for name, height, place in zip(("report.png", "utterances.png"), heights, ("html", "#utterances"), strict=True):
        with open_browser(directory / "log", WIDTH, height, "--hide-scrollbars") as window:
            window.open(report)
            window.wait_for("return [...document.images].every(image => image.complete)")
            window.run("document.querySelector(arguments[0]).scrollIntoView()", place)
            window.screenshot(directory / name)
        save(directory / name, name)


def shoot_service(model: Path, audio: Path, language: str, directory: Path, height: int) -> None:
    with serving(model, "--device", "cpu") as (address, _), \
            open_browser(directory / "log", WIDTH, height, "--hide-scrollbars") as window:
        window.open(address)
        window.run("""
            document.getElementById("language").value = arguments[1];
            const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], arguments[2]));
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: given, bubbles: true}))
            """, base64.b64encode(audio.read_bytes()).decode(), language, audio.name)
        window.wait_for("return document.querySelectorAll('#segments li').length", 300)
        window.screenshot(directory / "service.png")
    save(directory / "service.png", "service.png")


def main() -> None:
    """Parse the command line and take what it asks for."""
    parser = make_parser(__doc__)
    parser.add_argument("--report", type=Path, help="report.html of a finished run")
    parser.add_argument("--model", type=Path, help="exported model for the service")
    parser.add_argument("--audio", type=Path, help="recording for the service's page")
    parser.add_argument("--language", default="", help="code of its language; empty: detect")
    parser.add_argument("--heights", type=int, nargs=3, default=(1065, 695, 760), metavar="N",
                        help="pixels of the report, its utterances and the service's page")
    args = parser.parse_args()
    if args.model and not args.audio:
        parser.error("--model needs --audio")
    with tempfile.TemporaryDirectory() as directory:
        if args.report:
            shoot_report(args.report, Path(directory), args.heights[:2])
        if args.model:
            shoot_service(args.model, args.audio, args.language, Path(directory), args.heights[2])


if __name__ == "__main__":
    run_main(main)
