"""Outputs of recognized recordings, files or standard output: text, Kaldi's text, JSON lines, SRT, WebVTT, TSV."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.data.languages import text_language
from utils.data.lists import read_list, write_list
from utils.errors import UserError
from utils.filesystem import atomic_open
from utils.transcribe.recognizer import Recognition
from utils.transcribe.subtitles import make_cues, to_srt, to_tsv, to_vtt

_SUBTITLES = {"srt": to_srt, "vtt": to_vtt, "tsv": to_tsv}
_OBJECTS = "transcripts.jsonl"
FORMATS = ("text", "kaldi", "jsonl", *_SUBTITLES)


def wants_words(formats: Sequence[str]) -> bool:
    """Whether times of words make a format better: those of subtitles."""
    return any(name in _SUBTITLES for name in formats)


class Output(ABC):
    """A destination of recognized recordings, which are written one after the other."""

    @abstractmethod
    def write(self, name: str, source: str, recognition: Recognition) -> None:
        """Write one recording."""

    def has(self, name: str) -> bool:
        """Whether a recording was written before."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Write what needs all recordings."""


def open_output(directory: Path | None, formats: Sequence[str], tasks: Sequence[str], only_one: bool,
                skip_existing: bool = False) -> Output:
    """The output for a directory, or standard output without one.

    Args:
        directory: where files go; None: standard output.
        formats: some of FORMATS.
        tasks: the tasks to write.
        only_one: whether there is just one recording.
        skip_existing: whether lists keep what they have of earlier runs.

    Raises:
        UserError: an unknown format, or formats that standard output cannot take, or a list of an earlier run that is
            damaged.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"--format {' '.join(unknown)}: choose from {' '.join(FORMATS)}")
    return Folder(directory, formats, tasks, skip_existing) if directory else Stdout(formats, tasks, only_one)


class Folder(Output):
    """NAME.txt, NAME.srt, … of every recording, NAME.en.* with its translation, and lists of all of them.

    ``text`` (Kaldi's, sorted, keys ``id|language|task``) and ``transcripts.jsonl`` are written at the end.

    Raises:
        UserError: nothing can be written there, or two files of these recordings would have one name.
    """

    def __init__(self, directory: Path, formats: Sequence[str], tasks: Sequence[str], keep: bool = False) -> None:
        self.directory, self.formats, self.tasks = directory, formats, tasks
        self._written: set[str] = set()
        self._kaldi: dict[str, str] = {}
        self._objects: dict[str, dict[str, Any]] = {}  # by the recording's name
        with _writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        if keep:
            self._read_lists()

    def _read_lists(self) -> None:
        """Take over what the lists have from an earlier run."""
        if "kaldi" in self.formats and (self.directory / "text").is_file():
            self._kaldi = read_list(self.directory / "text", allow_empty=True)
        if "jsonl" in self.formats and (path := self.directory / _OBJECTS).is_file():
            try:
                found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                self._objects = {one["name"]: one for one in found}
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{path}: is no list of this program. Delete it, or choose another "
                                "--output-dir") from None

    def has(self, name: str) -> bool:
        """Whether an earlier run wrote all that this one would write of a recording."""
        utterance = _utterance(name)
        listed = {(key.split("|")[0], key.split("|")[-1]) for key in self._kaldi} if "kaldi" in self.formats else set()
        wanted = [self.directory / f"{name}{'.en' if task == 'translate' else ''}.{'txt' if kind == 'text' else kind}"
                  for task in self.tasks for kind in self.formats if kind in (*_SUBTITLES, "text")]
        return (all(path.is_file() for path in wanted) and ("jsonl" not in self.formats or name in self._objects)
                and ("kaldi" not in self.formats or all((utterance, task) in listed for task in self.tasks)))

    def write(self, name: str, source: str, recognition: Recognition) -> None:
        """Write the recording's own files."""
        self._kaldi |= kaldi_lines(name, recognition, self.tasks)
        self._objects[name] = json_object(name, source, recognition, self.tasks)
        for task in self.tasks:
            stem = f"{name}.en" if task == "translate" else name
            for kind in self.formats:
                if kind in _SUBTITLES:
                    self._write(f"{stem}.{kind}", _SUBTITLES[kind](make_cues(recognition.segments, task)))
                elif kind == "text":
                    self._write(f"{stem}.txt", _lines(recognition, task))

    def close(self) -> None:
        """Write the lists of all recordings."""
        if "kaldi" in self.formats:
            with _writing(self.directory / "text"):
                write_list(self.directory / "text", self._kaldi)
        if "jsonl" in self.formats:
            self._write(_OBJECTS, "".join(map(_json_line, self._objects.values())))

    def _write(self, name: str, content: str) -> None:
        if name in self._written:
            raise UserError(f"{self.directory / name} would be written twice, as a recording's and as another's "
                            "translation; rename one")
        self._written.add(name)
        with _writing(self.directory / name), atomic_open(self.directory / name) as stream:
            stream.write(content)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; choose another --output-dir") from None


class Stdout(Output):
    """Standard output, each recording as soon as it is done.

    Raises:
        UserError: several formats, or subtitles of several recordings or tasks, which cannot share one stream.
    """

    def __init__(self, formats: Sequence[str], tasks: Sequence[str], only_one: bool) -> None:
        if len(formats) > 1 or (formats[0] in _SUBTITLES and not (only_one and len(tasks) == 1)):
            raise UserError("several formats, and subtitles of several recordings or tasks, need files: --output-dir")
        self.format, self.tasks, self.only_one = formats[0], tasks, only_one

    def write(self, name: str, source: str, recognition: Recognition) -> None:
        """Print one recording."""
        if self.format == "jsonl":
            content = _json_line(json_object(name, source, recognition, self.tasks))
        elif self.format == "kaldi":
            content = "".join(f"{key} {text}".rstrip() + "\n"
                              for key, text in kaldi_lines(name, recognition, self.tasks).items())
        elif self.format in _SUBTITLES:
            content = _SUBTITLES[self.format](make_cues(recognition.segments, self.tasks[0]))
        else:
            content = self._text(name, recognition)
        sys.stdout.write(content)
        sys.stdout.flush()

    def _text(self, name: str, recognition: Recognition) -> str:
        """The text; with several recordings or tasks, each line begins with the name or the language."""
        if self.only_one and len(self.tasks) == 1:
            return _lines(recognition, self.tasks[0])
        heads = [] if self.only_one else [name]
        return "".join(" ".join([*heads, f"[{_language(recognition, task)}]", recognition.text(task)]).rstrip() + "\n"
                       for task in self.tasks)

    def close(self) -> None:
        """Do nothing: every recording has been printed."""


def kaldi_lines(name: str, recognition: Recognition, tasks: Sequence[str]) -> dict[str, str]:
    """A recording's texts by key ``id|language|task``; white space in its name becomes ``_``."""
    return {f"{_utterance(name)}|{recognition.language or 'en'}|{task}": recognition.text(task) for task in tasks}


def _utterance(name: str) -> str:
    return "_".join(name.replace("|", "_").split())


def json_object(name: str, source: str, recognition: Recognition, tasks: Sequence[str]) -> dict[str, Any]:
    """A recording as an object for JSON; times are in seconds."""
    return {"name": name, "audio": source, "duration": round(recognition.duration, 3),
            "language": recognition.language, "language_probability": round(recognition.language_probability, 4),
            **{task: recognition.text(task) for task in tasks},
            "segments": [{"start": round(segment.start, 3), "end": round(segment.end, 3), "language": segment.language,
                          **({"speaker": segment.speaker} if segment.speaker else {}), **segment.texts}
                         for segment in recognition.segments]}


def _json_line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _lines(recognition: Recognition, task: str) -> str:
    """The text of a task, one line for each segment; with the number of its channel, if these are apart."""
    return "".join(f"{segment.speaker}: {segment.texts[task]}\n" if segment.speaker else f"{segment.texts[task]}\n"
                   for segment in recognition.segments if segment.texts[task])


def _language(recognition: Recognition, task: str) -> str:
    return text_language(recognition.language or "?", task)
