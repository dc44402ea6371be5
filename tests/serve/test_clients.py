"""The service with the requests that its clients send: OpenAI's with a stream, Bazarr's, other pages'."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from tests.serve.test_service import KEY, Recognizer, client_of, post, refusal, wav
from utils.serve.app import make_app, make_server
from utils.serve.guard import Limits, listen

APP = "app://obsidian.md"
URL = "/v1/audio/transcriptions"


def serve(api_key: str = "") -> Iterator[str]:
    limits = Limits(200_000, 5, 30)
    with listen("127.0.0.1", 0, api_key) as listener:
        app = make_app(Recognizer(), "ct2", workers=1, waiting=1, limits=limits, api_key=api_key, any_model=True,
                       origins=[APP])
        server = make_server(app, limits.seconds)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


address = pytest.fixture(scope="module", name="address")(lambda: (yield from serve()))
locked = pytest.fixture(scope="module", name="locked")(lambda: (yield from serve(KEY)))


@pytest.mark.parametrize("language", ["en-US", "pt-BR", "zh-TW", "auto", "nb", ""])
def test_languages_as_clients_send_them(address, language):
    assert post(address, URL, model="whisper-1", language=language).status_code == 200


def test_openais_client_streams(address):
    given = {"model": "gpt-4o-mini-transcribe", "file": ("a.wav", wav(0.5))}
    *deltas, done = client_of(address).audio.transcriptions.create(**given, stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"} and done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text == "transcribe 0.5 <&>"
    assert client_of(address).models.retrieve("any/model").id == "any/model"


@pytest.mark.parametrize("field", ["timestamp_granularities", "timestamp_granularities[]"])
def test_word_times_are_ignored_in_plain_json_and_given_in_verbose(address, field):
    plain = post(address, URL, model="whisper-1", **{field: "word"})
    assert plain.status_code == 200 and "words" not in plain.json()
    verbose = post(address, URL, model="whisper-1", response_format="verbose_json", **{field: "word"}).json()
    assert verbose["words"][0] == {"word": "transcribe", "start": 0.1, "end": 0.4} and verbose["segments"]
    wrong = post(address, URL, model="whisper-1", response_format="verbose_json", **{field: "sentence"})
    assert "'sentence' is neither segment nor word" in refusal(wrong, 400)


def test_bazarr_sends_pcm_and_gets_subtitles(address):
    """Bazarr's provider posts headerless PCM with these query parameters."""
    pcm = {"audio_file": ("audio", np.zeros(8000, "<i2").tobytes())}
    query = {"task": "translate", "language": "pt-BR", "output": "srt", "encode": "false", "video_file": "a.mkv"}
    answer = httpx2.post(f"{address}/asr", params=query, files=pcm)
    assert answer.status_code == 200 and "translate 0.5" in answer.text and answer.text.startswith("1\n00:00:00,000")
    found = httpx2.post(f"{address}/detect-language", params={"encode": "false"}, files=pcm).json()
    assert found == {"detected_language": "french", "language_code": "fr", "confidence": 0.9}
    assert "no 16-bit PCM" in refusal(httpx2.post(f"{address}/asr?encode=false", files={"audio_file": b"abc"}), 400)
    for wrong in ("task=sing", "output=doc", "language=frensh"):
        assert "none of" in (text := refusal(httpx2.post(f"{address}/asr?{wrong}", files=pcm), 400)) or "french" in text


def test_an_allowed_origin_is_served_and_its_preflight_needs_no_key(address, locked):
    asks = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for url in (address, locked):
        answer = httpx2.options(url + URL, headers=asks)
        assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == APP
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        other = httpx2.options(url + URL, headers={**asks, "Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in other.headers and other.status_code != 204
    assert post(address, URL, model="x", headers={"Origin": APP}).headers["access-control-allow-origin"] == APP
    refusal(post(address, URL, model="x", headers={"Origin": "http://evil.example"}), 403)
    refusal(httpx2.options(address + URL, headers={**asks, "Host": "evil.example"}), 403)
    refusal(post(locked, URL, model="x", headers={"Origin": APP}), 401)


def test_monitors_ask_with_head_and_read_metrics(address, locked):
    assert [httpx2.head(address + path).status_code for path in ("/", "/health")] == [200, 200]
    before = httpx2.get(f"{address}/metrics").text
    assert post(address).status_code == 200
    after = httpx2.get(f"{address}/metrics").text
    count = "whisper_recognition_seconds_count"
    value = [float(line.split()[1]) for text in (before, after) for line in text.splitlines() if line.startswith(count)]
    assert value[1] == value[0] + 1 and 'whisper_answers_total{status="200"}' in after
    refusal(httpx2.get(f"{locked}/metrics"), 401)
