"""What the service has done, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one service; ``waiting`` returns how many requests hold a place now."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter("whisper_answers", "Answers by HTTP status.", ["status"], registry=self._registry)
        self._audio = Counter("whisper_audio_seconds", "Seconds of audio recognized.", registry=self._registry)
        self._seconds = Histogram("whisper_recognition_seconds", "Time to recognize an upload, waiting included.",
                                  registry=self._registry)
        Gauge("whisper_requests", "Requests that run or wait.", registry=self._registry).set_function(waiting)

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._answers.labels(status).inc()

    def recognized(self, audio_seconds: float, seconds: float) -> None:
        """Count an upload of so many seconds of audio, which took ``seconds``."""
        self._audio.inc(audio_seconds)
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """All figures, in the format of CONTENT_TYPE."""
        return generate_latest(self._registry)
