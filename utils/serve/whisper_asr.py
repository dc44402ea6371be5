"""The API of whisper-asr-webservice, which Bazarr and subgen use: ``/asr`` and ``/detect-language``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from utils.audio.constants import WINDOW_SECONDS
from utils.data.languages import language_name
from utils.data.lists import TASKS
from utils.serve.openai_format import format_recognition
from utils.transcribe.recognizer import Recognition

_FORMATS = {"txt": "text", "text": "text", "json": "verbose_json", "srt": "srt", "vtt": "vtt"}
ShortText = Annotated[str, Query(max_length=100)]


def add_whisper_asr(app: FastAPI, recognize: Callable[..., Awaitable[Recognition]]) -> None:
    """Add both endpoints, whose uploads ``recognize`` takes, with the arguments of ``Service.run``.

    ``encode=false`` says that the upload is 16-bit PCM of 16 kHz, mono, without a header.
    """
    @app.post("/asr")
    async def asr(request: Request, audio_file: Annotated[UploadFile, File()], task: ShortText = "transcribe",
                  language: ShortText = "", output: ShortText = "txt", encode: bool = True) -> Response:
        if task not in TASKS:
            raise HTTPException(400, f"task: {task!r} is none of {', '.join(TASKS)}.")
        if output not in _FORMATS:
            raise HTTPException(400, f"output: {output!r} is none of {', '.join(_FORMATS)}.")
        found = await recognize(request, audio_file, [task], language, raw=not encode)
        content = format_recognition(found, task, _FORMATS[output])
        if isinstance(content, str):
            return PlainTextResponse(content)
        return JSONResponse({**content, "language": found.language})

    @app.post("/detect-language")
    async def detect_language(request: Request, audio_file: Annotated[UploadFile, File()],
                              encode: bool = True) -> dict[str, Any]:
        found = await recognize(request, audio_file, ["transcribe"], None, raw=not encode, first=WINDOW_SECONDS)
        if not found.language:
            raise HTTPException(400, f"Nobody speaks in the first {WINDOW_SECONDS:g} s, so no language was detected.")
        return {"detected_language": language_name(found.language), "language_code": found.language,
                "confidence": found.language_probability}
