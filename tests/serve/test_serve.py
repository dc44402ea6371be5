"""tools/serve.sh as users start it, with a tiny model: OpenAI's client, many clients, a browser, a graceful stop."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import httpx2
import openai
import pytest
import soundfile
from made_speech import speak
from test_service import KEY, Recognizer, served

from tools.bench.bench_serve import load_test, serving
from utils import ROOT
from utils.audio.constants import SAMPLE_RATE
from utils.export import convert, merge

FAKE_MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


def recognized(url: str, audio: bytes) -> dict[str, Any]:
    return httpx2.post(f"{url}/recognize", files={"file": audio}, data={"language": "fr"}, timeout=300).json()


def spoken(seconds: float, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, speak(seconds, seed), SAMPLE_RATE, format="flac")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def exported(tiny_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    merge(tiny_whisper, tiny_whisper, directory / "merged")
    convert(directory / "merged", directory / "ct2 tiny", "float32", window="short")
    return directory / "ct2 tiny"


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    with serving(exported, "--device", "cpu") as (url, _):
        yield url


def test_openais_client_is_served_by_the_real_model(address):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
    assert client.models.list().data[0].id == "ct2 tiny"
    given = {"model": "whisper-1", "file": ("a.flac", spoken(2))}
    verbose = client.audio.transcriptions.create(**given, language="fr", response_format="verbose_json")
    assert verbose.text and verbose.language == "french" and verbose.duration == 2
    assert 0 <= verbose.segments[0].start < verbose.segments[0].end <= 2
    translation = client.audio.translations.create(**given).text
    assert translation and translation != verbose.text
    assert recognized(address, spoken(2))["transcribe"] == verbose.text


@pytest.mark.slow
def test_under_load_nothing_is_lost_and_memory_stays_flat(exported):
    load = load_test(exported, [spoken(1 + seed / 4, seed) for seed in range(4)], 200, 8, "--device", "cpu")
    assert (load.lost, load.wrong) == (0, 0)
    assert load.p50 <= load.p95
    assert load.memory_in_the_end < 1.1 * load.memory_after_50 + 10


@pytest.mark.slow
def test_a_stopped_server_answers_what_is_in_flight_and_then_ends(exported):
    answers = []
    with serving(exported, "--device", "cpu", "--nj", "1") as (url, server):
        def ask() -> None:
            answers.append(httpx2.post(f"{url}/recognize", files={"file": spoken(25)}, timeout=300).status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while httpx2.get(f"{url}/health").json()["requests"] < 4 and not answers:
            pass
        server.terminate()
        for thread in threads:
            thread.join()
        assert server.wait(30) in (0, -15)
    assert answers == [200] * 4
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/health")


def test_what_cannot_be_served_is_one_clear_line(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "WHISPER_API_KEY"}
    done = subprocess.run([ROOT / "tools/serve.sh", "--model", tmp_path, "--port", "0", "--host", "0.0.0.0"],
                          env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "an API key is needed" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.programs(*browser.PROGRAMS)
def test_in_a_browser_a_dropped_file_is_seen_in_both_languages(address, tmp_path):
    with browser.open_browser(tmp_path / "log") as window:
        window.open(address)
        window.run("document.getElementById('language').value = 'fr'")
        window.run("""
            const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], "<b>talk</b>.flac"));
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: given, bubbles: true}))
            """, base64.b64encode(spoken(3)).decode())
        rows = window.wait_for("const rows = [...document.querySelectorAll('#segments li')].map(row =>"
                               "[...row.querySelectorAll('p')].map(text => text.textContent));"
                               "return rows.length && rows", 300)
        assert rows == [[segment["texts"]["transcribe"], segment["texts"]["translate"]]
                        for segment in recognized(address, spoken(3))["segments"]]
        assert window.run("return document.getElementById('facts').textContent") == "French; 3.0 s of audio"
        left, right = window.run("return [...document.querySelectorAll('#segments p')].slice(0, 2)"
                                 ".map(text => text.getBoundingClientRect().x)")
        assert left < right
        window.screenshot(tmp_path / "page.png")
        window.run("""
            window.saved = [];
            HTMLAnchorElement.prototype.click = function () { window.saved.push(this.download); };
            document.querySelectorAll("[data-save]").forEach((button) => button.click())""")
        assert window.run("return window.saved") == [f"<b>talk</b>{end}.{kind}" for end in ("", ".en")
                                                     for kind in ("txt", "srt", "vtt")]
        # Another language: the same audio again. English has one column, and an error keeps what is there.
        window.run("const choice = document.getElementById('language'); choice.value = 'en';"
                   "choice.dispatchEvent(new Event('change'))")
        window.wait_for("return document.getElementById('facts').textContent.startsWith('English')", 300)
        assert window.run("return document.getElementById('head-translate').hidden") is True
        window.run("""
            const given = new DataTransfer();
            given.items.add(new File(["no audio"], "broken.mp3"));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: given, bubbles: true}))""")
        window.wait_for("return document.getElementById('status').textContent.startsWith('broken.mp3: ')", 300)
        assert window.run("return document.getElementById('result').hidden") is False
        window.run("""
            const given = new DataTransfer();
            given.items.add(new File([new Uint8Array(26e6)], "big.wav"));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: given, bubbles: true}))""")
        window.wait_for("return document.getElementById('status').textContent.includes('at most 25 MB')")
        # A refused request is in the browser's log.
        assert [line for line in window.complaints() if "400" not in line] == []


@pytest.mark.programs(*browser.PROGRAMS)
def test_on_a_phone_one_records_and_reads_without_scrolling_sideways(address, tmp_path):
    with browser.open_browser(tmp_path / "log", 390, 844, *FAKE_MICROPHONE) as phone:
        phone.open(address)
        phone.run("document.getElementById('record').click()")
        phone.wait_for("return document.getElementById('record').textContent.includes('Stop')")
        phone.wait_for("return /[1-9] s/.test(document.getElementById('status').textContent)")
        phone.run("document.getElementById('record').click()")
        phone.wait_for("return !document.getElementById('result').hidden", 300)
        assert "s of audio" in phone.run("return document.getElementById('facts').textContent")
        assert phone.run("return document.documentElement.scrollWidth") <= 390
        assert phone.complaints() == []


@pytest.mark.programs(*browser.PROGRAMS)
def test_a_page_that_may_not_record_says_so(tmp_path):
    """Browsers allow recording on localhost and over https only; other machines open the page over plain http."""
    rules = "--host-resolver-rules=MAP other.test 127.0.0.1"
    with served(Recognizer(), api_key=KEY) as url, browser.open_browser(tmp_path / "log", 390, 844, rules) as phone:
        phone.open(url.replace("127.0.0.1", "other.test"))
        assert phone.run("return document.getElementById('record').disabled")
        assert "over https only" in phone.run("return document.getElementById('no-microphone').innerText")
        assert phone.run("return document.documentElement.scrollWidth") <= 390
