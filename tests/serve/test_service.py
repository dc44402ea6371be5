"""The service on a real socket with a controlled recognizer: answers, and refusals with their messages."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import soundfile

from utils.audio.constants import SAMPLE_RATE
from utils.errors import UserError
from utils.serve.app import make_app, make_server
from utils.serve.guard import KEY_VARIABLE, Limits, listen, read_api_key
from utils.serve.served_model import ServedModel, describe_model
from utils.transcribe.details import TextDetails, Word
from utils.transcribe.recognizer import Recognition, Segment

KEY = "correct horse battery staple"


def wav(seconds: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(round(seconds * SAMPLE_RATE)), SAMPLE_RATE, format="wav")
    return buffer.getvalue()


class Recognizer:
    """Writes the length of the audio; while it is closed, it waits until it is opened or the client has gone."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.calls: list[tuple[Any, Any]] = []
        self.running, self.stopped = 0, 0

    def __call__(self, audio: np.ndarray, tasks: Any = (), language: str | None = None,
                 on_progress: Callable[[float], None] = lambda share: None, details: bool = False) -> Recognition:
        self.calls.append((tuple(tasks), language))
        self.running += 1
        try:
            while not self.opened.wait(0.01):
                on_progress(0.5)
        except BaseException:
            self.stopped += 1
            raise
        finally:
            self.running -= 1
        seconds = len(audio) / SAMPLE_RATE
        if seconds == 4.25:
            raise RuntimeError("the secret of the house")
        return Recognition(language or "fr", 0.9, seconds, [
            Segment(0.0, 1.0, {task: f"{task} {seconds:g}" for task in tasks},
                    {task: TextDetails([1, 2], -0.25, 0.01, [Word(task, 0.1, 0.4, 0.9), Word("0.5", 0.4, 0.9, 0.8)])
                     for task in tasks if details}),
            Segment(1.0, 2.5, dict.fromkeys(tasks, "<&>"))])


@contextmanager
def served(recognizer: Recognizer, limits: Limits | None = None, api_key: str = "") -> Iterator[str]:
    """The address of a service with one worker and room for one more request."""
    limits = limits or Limits(200_000, 5, 30)
    with listen("127.0.0.1", 0, api_key) as listener:
        server = make_server(make_app(recognizer, "ct2", workers=1, waiting=1, limits=limits, api_key=api_key),
                             limits.seconds)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            recognizer.opened.set()
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def shared() -> Recognizer:
    return Recognizer()


@pytest.fixture(scope="module")
def address(shared: Recognizer) -> Iterator[str]:
    with served(shared) as url:
        yield url


@pytest.fixture
def recognizer(shared: Recognizer) -> Iterator[Recognizer]:
    yield shared
    shared.opened.set()
    wait_until(lambda: not shared.running)


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def post(url: str, path: str = "/recognize", audio: bytes | None = None, headers: dict[str, str] | None = None,
         name: str = "../../etc/passwd", **fields: Any) -> httpx2.Response:
    files = {"file": (name, wav(0.5) if audio is None else audio)}
    return httpx2.post(url + path, data=fields, files=files, headers=headers, timeout=60)


def refusal(response: httpx2.Response, status: int) -> str:
    """The message of an error, which must have OpenAI's form."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["message"]


def client_of(url: str, key: str = "any", **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, **{"max_retries": 0, **options})


def test_both_tasks_come_from_one_call(address, recognizer):
    recognizer.calls.clear()
    answer = post(address, language="French").json()
    assert recognizer.calls == [(("transcribe", "translate"), "fr")]
    assert (answer["transcribe"], answer["translate"]) == ("transcribe 0.5 <&>", "translate 0.5 <&>")
    assert answer["segments"][1] == {"start": 1.0, "end": 2.5, "texts": {"transcribe": "<&>", "translate": "<&>"}}
    assert answer["subtitles"]["translate"]["srt"].startswith("1\n00:00:0")
    assert answer["subtitles"]["transcribe"]["vtt"].startswith("WEBVTT\n\n")


def test_openais_client_gets_every_format(address, recognizer):
    audio = client_of(address).audio
    given = {"model": "whisper-1", "file": ("a.wav", wav(0.5))}
    recognizer.calls.clear()
    assert audio.transcriptions.create(**given, language="fr").text == "transcribe 0.5 <&>"
    assert audio.translations.create(**given).text == "translate 0.5 <&>"
    assert recognizer.calls == [(("transcribe",), "fr"), (("translate",), None)]
    verbose = audio.transcriptions.create(**given, response_format="verbose_json", prompt="Asterisk", temperature=0,
                                          timestamp_granularities=["segment"])
    assert (verbose.language, verbose.duration, verbose.usage.seconds) == ("french", 0.5, 1)
    segment = verbose.segments[1]
    assert (segment.id, segment.start, segment.end, segment.text) == (1, 1.0, 2.5, "<&>")
    assert verbose.words is None
    first = verbose.segments[0]
    assert (first.tokens, first.avg_logprob, first.no_speech_prob) == ([1, 2], -0.25, 0.01)
    timed = audio.transcriptions.create(**given, response_format="verbose_json", timestamp_granularities=["word"])
    assert [(word.word, word.start, word.end) for word in timed.words] == [("transcribe", 0.1, 0.4), ("0.5", 0.4, 0.9)]
    assert audio.translations.create(**given, response_format="verbose_json").language == "english"
    assert audio.transcriptions.create(**given, response_format="text") == "transcribe 0.5 <&>\n"
    srt = audio.translations.create(**given, response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:01,000\ntranslate 0.5\n\n2\n00:00:01,000 --> 00:00:02,500\n<&>")
    vtt = audio.transcriptions.create(**given, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 -->") and "&lt;&amp;&gt;" in vtt


def test_openais_client_sees_models_and_mistakes(address, recognizer):
    client, given = client_of(address), {"model": "ct2", "file": ("a.wav", wav(0.5))}
    assert [model.id for model in client.models.list()] == ["ct2", "whisper-1"]
    assert client.models.retrieve("ct2").object == "model"
    for wrong, error, words in (
            ({"model": "gpt-9"}, openai.NotFoundError, "no model 'gpt-9' here; ask for 'ct2' or 'whisper-1'"),
            ({"file": ("a.wav", b"no audio at all")}, openai.BadRequestError, "the uploaded file: is damaged, or no"),
            ({"file": ("a.wav", b"")}, openai.BadRequestError, "the uploaded file: is"),
            ({"file": ("a.wav", wav(0))}, openai.BadRequestError, "has no samples"),
            ({"language": "frensh"}, openai.BadRequestError, "Did you mean french"),
            ({"language": "x" * 101}, openai.BadRequestError, "language: String should have at most 100"),
            ({"response_format": "doc"}, openai.BadRequestError, "'doc' is none of json, text, srt, verbose_json, vtt"),
            ({"timestamp_granularities": ["sentence"], "response_format": "verbose_json"}, openai.BadRequestError,
             "'sentence' is neither segment nor word")):
        with pytest.raises(error, match=words):
            client.audio.transcriptions.create(**{**given, **wrong})
    missing = httpx2.post(f"{address}/v1/audio/transcriptions", data={"model": "ct2"})
    assert "file: " in refusal(missing, 400)
    refusal(httpx2.get(f"{address}/nothing"), 404)
    refusal(httpx2.get(f"{address}/recognize"), 405)


def test_raw_g722_is_known_by_its_name(address, recognizer):
    for name, status in (("A.G722", 200), ("a.wav", 400)):
        answer = post(address, name=name, audio=bytes(4000))
        assert answer.status_code == status, answer.text
        assert status != 200 or answer.json()["transcribe"].startswith("transcribe 0.5")


def test_a_failure_inside_tells_nothing_and_the_next_request_is_served(address, recognizer):
    message = refusal(post(address, audio=wav(4.25)), 500)
    assert "secret" not in message and "Traceback" not in message
    assert post(address).status_code == 200


def test_long_audio_is_refused_however_small_the_file(address, recognizer):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(600 * SAMPLE_RATE), SAMPLE_RATE, format="flac")
    assert len(buffer.getvalue()) < 200_000
    assert "longer than 5 s" in refusal(post(address, audio=buffer.getvalue()), 400)


def test_a_playlist_opens_no_other_file(address, recognizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("secret.wav").write_bytes(wav(0.5))
    for playlist in ("ffconcat version 1.0\nfile secret.wav\n", "#EXTM3U\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n"):
        assert "the uploaded file: is damaged, or no audio" in refusal(post(address, audio=playlist.encode()), 400)


def test_too_much_is_refused_before_it_is_read(address, recognizer):
    """With its length told, and in chunks without it; the client sees the answer and no broken connection."""
    recognizer.calls.clear()
    assert "larger than 0.2 MB" in refusal(post(address, audio=bytes(300_000)), 413)
    sent = []

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(200):
            sent.append(10_000)
            yield bytes(10_000)

    chunked = httpx2.post(f"{address}/recognize", content=endless(), timeout=60,
                          headers={"content-type": "multipart/form-data; boundary=b"})
    assert "larger than 0.2 MB" in refusal(chunked, 413)
    assert recognizer.calls == []


def test_when_all_places_are_taken_the_next_is_told_when_to_come_again(address, recognizer):
    recognizer.opened.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(post, address, audio=wav(1))
        wait_until(lambda: recognizer.running)
        second = pool.submit(post, address, audio=wav(2))
        wait_until(lambda: httpx2.get(f"{address}/health").json() == {"status": "ok", "requests": 2})
        busy = post(address, audio=wav(3))
        assert "server is busy" in refusal(busy, 429)
        assert 1 <= int(busy.headers["retry-after"]) <= 60
        patient = pool.submit(lambda: client_of(address, max_retries=8).audio.transcriptions.create(
            model="ct2", file=("a.wav", wav(3))).text)
        recognizer.opened.set()
        assert first.result().json()["transcribe"].startswith("transcribe 1 ")
        assert second.result().json()["transcribe"].startswith("transcribe 2 ")
        assert patient.result().startswith("transcribe 3 "), "OpenAI's client comes again by itself"


def test_whoever_hangs_up_gives_the_place_back(address, recognizer):
    recognizer.opened.clear()
    stopped = recognizer.stopped
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{address}/recognize", files={"file": wav(1)}, timeout=0.5)
    wait_until(lambda: recognizer.stopped > stopped and not recognizer.running)
    recognizer.opened.set()
    assert post(address).status_code == 200


def test_requests_that_take_too_long_end():
    recognizer = Recognizer()
    with served(recognizer, Limits(200_000, 5, 0.5)) as url:
        recognizer.opened.clear()
        assert "longer than 0.5 s" in refusal(post(url), 504)
        wait_until(lambda: recognizer.stopped == 1)
        recognizer.opened.set()
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /recognize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                         b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
            slow.settimeout(30)
            answer = http.client.HTTPResponse(slow)
            answer.begin()
            assert answer.status == 408 and b"did not arrive within 0.5 s" in answer.read()


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200), ({"Origin": "{url}"}, 200), ({"Host": "localhost:{port}"}, 200),
    ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://localhost:1"}, 403),
    ({"Host": "evil.example:{port}"}, 403), ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
    ({"Host": "127.0.0.1.evil.example"}, 403), ({"Host": "localhost@evil.example"}, 403)])
def test_no_web_page_but_its_own_may_use_it(address, recognizer, headers, status):
    port = address.rpartition(":")[2]
    given = {name: value.format(url=address, port=port) for name, value in headers.items()}
    for response in (post(address, headers=given), httpx2.get(address, headers=given)):
        assert response.status_code == status
        assert "access-control-allow-origin" not in response.headers
    preflight = httpx2.options(f"{address}/recognize", headers=given)
    assert "access-control-allow-origin" not in preflight.headers and preflight.status_code != 200


def test_with_a_key_only_who_knows_it_is_served(capfd):
    recognizer = Recognizer()
    with served(recognizer, api_key=KEY) as url:
        for wrong in ({}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": KEY}, {"Authorization": "Bearer é"}):
            sent = [(name, value.encode()) for name, value in wrong.items()]
            for path in ("/v1/models", "/docs", "/v1/audio/transcriptions"):
                message = refusal(httpx2.get(url + path, headers=sent), 401)
                assert KEY not in message
        with pytest.raises(openai.AuthenticationError):
            client_of(url, "wrong").models.list()
        given = {"model": "whisper-1", "file": ("a.wav", wav(0.5))}
        assert client_of(url, KEY).audio.transcriptions.create(**given).text
        page = httpx2.get(url)
        assert page.status_code == 200 and 'type="password"' in page.text and KEY not in page.text
        assert httpx2.get(f"{url}/health").status_code == 200
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_not_served_without_a_key(host):
    with pytest.raises(UserError, match=f"so an API key is needed: set {KEY_VARIABLE}"):
        listen(host, 0, "")
    if host == "0.0.0.0":
        listen(host, 0, KEY).close()


def test_an_address_that_cannot_be_had_is_one_clear_line():
    with listen("localhost", 0, "") as listener, pytest.raises(UserError, match=r"cannot listen there.*Name another"):
        listen("127.0.0.1", listener.getsockname()[1], "")
    with pytest.raises(UserError, match=r"--host 203\.0\.113\.1"):
        listen("203.0.113.1", 0, KEY)


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert read_api_key(None) == ""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert read_api_key(None) == KEY
    path = tmp_path / "key"
    path.write_text(f"{KEY[::-1]}\n")
    assert read_api_key(path) == KEY[::-1]
    for content in ("", "short"):
        path.write_text(content)
        with pytest.raises(UserError, match="at least 16 ASCII characters") as error:
            read_api_key(path)
        assert "short" not in str(error.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_api_key(tmp_path / "none")


def test_the_page_loads_nothing_from_elsewhere(address, recognizer):
    page = httpx2.get(address)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
    assert "http://" not in page.text and "https://" not in page.text
    assert page.headers["x-frame-options"] == "DENY"


def test_nonsense_is_answered_and_leaves_the_server_alive(address, recognizer):
    host, port = address.removeprefix("http://").split(":")
    for body, kind in ((b"x", "multipart/form-data"), (b"--b\r\nx", "multipart/form-data; boundary=b"),
                       (b"{", "application/json"), (b"", "text/plain")):
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("POST", "/v1/audio/transcriptions", body, {"Content-Type": kind})
        answer = connection.getresponse()
        assert answer.status == 400 and "message" in json.load(answer)["error"]
        connection.close()
    assert post(address).status_code == 200


def test_the_page_knows_what_the_model_was_tuned_for(tmp_path):
    exported = tmp_path / "calls" / "ct2_int8"
    (tmp_path / "calls" / "merged").mkdir(parents=True)
    exported.mkdir()
    (exported / "README.md").write_text("---\nlanguage:\n- fr\n- ru\nlicense: mit\n---\n# Card\n", encoding="utf-8")
    assert describe_model(exported) == ServedModel("ct2_int8", "calls, int8", ("fr", "ru"))
    (exported / "README.md").write_text("no header", encoding="utf-8")
    assert describe_model(exported).languages == () and describe_model(tmp_path).title == tmp_path.name
