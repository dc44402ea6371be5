#!/usr/bin/env python3
"""Write the default corpus's lists: data/{train,dev,test}/{transcribe,translate}/{wav.scp,text}.

A key is ID|LANGUAGE|TASK. Every language is transcribed; all but English are translated, the English text of
the same prompt being the translation. Prompts are divided by meaning: a hash of the English text decides, so
no sentence of dev or test is met in training, in any language. What is left out, and why, goes to
DATA_DIR/prompts_dropped.tsv.

Example: local/prepare_prompts.py --languages "en fr" download/prompts data
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local.prompts import (
    G722_BYTES_PER_SECOND,
    LANGUAGES,
    TONE,
    Prompt,
    check_languages,
    fault_of,
    normalise,
    read_transcripts,
    split_of,
    transcript_file,
)
from utils.audio.constants import WINDOW_SECONDS
from utils.cli import log, make_parser, run_main
from utils.data.languages import chosen_languages
from utils.data.lists import TASKS
from utils.errors import UserError
from utils.filesystem import atomic_directory, atomic_open

SETS = ("train", "dev", "test")


@dataclass(frozen=True)
class Dropped:
    """A line for prompts_dropped.tsv."""

    language: str
    name: str
    task: str
    reason: str
    text: str


def prepare_prompts(download_dir: Path, data_dir: Path, languages: list[str]) -> list[Prompt]:
    """Write the lists of the telephone prompts.

    Args:
        download_dir: what ``download_prompts`` filled; its path as given begins every path in wav.scp.
        data_dir: gets SET/TASK/{wav.scp,text} and prompts_dropped.tsv.
        languages: codes of ``LANGUAGES``. English transcripts are read in any case.

    Returns:
        The prompts of all sets, each with at least one task.

    Raises:
        UserError: transcripts or audio of a language are missing, or ``data_dir`` holds lists of other audio.
    """
    check_languages(languages)
    _spare_other_lists(data_dir)
    transcripts = {language: read_transcripts(transcript_file(download_dir / language, language))
                   for language in dict.fromkeys(["en", *languages])}
    tones = {name for pairs in transcripts.values() for name, text in pairs if TONE.fullmatch(text)}
    english = {name: text for name, text in reversed(transcripts["en"]) if fault_of(text) is None}
    prompts: list[Prompt] = []
    dropped: list[Dropped] = []
    for language in languages:
        found = _read_language(language, transcripts[language], download_dir / language, tones, english,
                               dropped)
        prompts += _without_repeats(found, dropped)
    _check_split(prompts)
    _write(prompts, dropped, data_dir)
    return prompts


def _spare_other_lists(data_dir: Path) -> None:
    """Lists that name anything but g722 files are somebody's own and are not written over."""
    for path in sorted(path for set_ in SETS for path in (data_dir / set_).glob("*/wav.scp")):
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if first and not first.endswith(".g722"):
            raise UserError(f"{path} is not of the prompts: move your lists away, or use them: "
                            './run.sh --corpus-name ""')


def _read_language(language: str, transcripts: list[tuple[str, str]], directory: Path, tones: set[str],
                   english: dict[str, str], dropped: list[Dropped]) -> list[Prompt]:
    """The usable prompts of one language; the others are added to ``dropped``."""
    sizes = {path.relative_to(directory).with_suffix("").as_posix(): path.stat().st_size
             for path in directory.rglob("*.g722")}
    if not sizes:
        raise UserError(f"{directory}: no audio (*.g722): run local/download_prompts.py --languages "
                        f"{language}")
    prompts: dict[str, Prompt] = {}
    for name, text in transcripts:
        seconds = sizes.get(name, 0) / G722_BYTES_PER_SECOND
        fault = fault_of(text)
        whole = ("a second line of this name" if name in prompts
                 else "tones, no speech" if name in tones
                 else "no audio" if seconds == 0
                 else f"longer than {WINDOW_SECONDS:g} s" if seconds > WINDOW_SECONDS
                 else None)
        if whole:
            dropped.append(Dropped(language, name, "both", whole, text))
            continue
        if fault:
            dropped.append(Dropped(language, name, "transcribe", fault, text))
        if language != "en" and name not in english:
            dropped.append(Dropped(language, name, "translate", "no English text", text))
        prompts[name] = Prompt(language, name, directory / f"{name}.g722", seconds,
                               text=None if fault else text, english=english.get(name),
                               set=split_of(english.get(name) or text))
    untold = sizes.keys() - {name for name, _ in transcripts}
    dropped += [Dropped(language, name, "both", "no transcript", "") for name in sorted(untold)]
    return [prompt for prompt in prompts.values() if prompt.targets()]


def _without_repeats(prompts: list[Prompt], dropped: list[Dropped]) -> list[Prompt]:
    """Leave out of train what dev or test say in the same words under another English text."""
    held_out = {normalise(prompt.text) for prompt in prompts if prompt.text and prompt.set != "train"}
    kept = []
    for prompt in prompts:
        if prompt.set == "train" and normalise(prompt.text or "") in held_out:
            dropped.append(Dropped(prompt.language, prompt.name, "both", "train: same words in dev or test",
                                   prompt.text or ""))
        else:
            kept.append(prompt)
    return kept


def _check_split(prompts: list[Prompt]) -> None:
    """No text of dev or test, in its own language or in English, occurs in train; no id occurs twice."""
    sets_of = defaultdict(set)
    for prompt in prompts:
        for task, text in prompt.targets().items():
            language = "en" if task == "translate" else prompt.language
            sets_of[language, normalise(text)].add(prompt.set)
    shared = [text for text, sets in sets_of.items() if "train" in sets and len(sets) > 1]
    assert not shared, f"in train and held out: {shared}"
    keys = Counter(prompt.key(task) for prompt in prompts for task in prompt.targets())
    repeated = [key for key, count in keys.items() if count > 1]
    if repeated:
        raise UserError(f"two prompts would share the key {repeated[0]}: rename one of the files")


def _write(prompts: list[Prompt], dropped: list[Dropped], data_dir: Path) -> None:
    for set_ in SETS:
        for task in TASKS:
            rows = sorted((prompt.key(task), prompt.audio, prompt.targets()[task]) for prompt in prompts
                          if prompt.set == set_ and task in prompt.targets())
            directory = data_dir / set_ / task
            if not rows:  # English alone is not translated; lists of an earlier run must not stay
                shutil.rmtree(directory, ignore_errors=True)
                continue
            with atomic_directory(directory) as partial:
                for name, column in (("wav.scp", 1), ("text", 2)):
                    lines = "".join(f"{row[0]} {row[column]}\n" for row in rows)
                    (partial / name).write_text(lines, encoding="utf-8")
    with atomic_open(data_dir / "prompts_dropped.tsv") as stream:
        stream.write("language\tname\ttask\treason\ttext\n")
        for row in dropped:
            stream.write(f"{row.language}\t{row.name}\t{row.task}\t{row.reason}\t{row.text}\n")
    for (reason, task), count in sorted(Counter((row.reason, row.task) for row in dropped).items()):
        log(f"left out of {'both tasks' if task == 'both' else task}: {count} ({reason})")
    log(f"each of them: {data_dir / 'prompts_dropped.tsv'}")


def table(prompts: list[Prompt], languages: list[str]) -> str:
    """Utterances of each task and minutes of audio, per set and language."""
    lines = [f"{'set':<6}{'language':<10}" + "".join(f"{column:>11}" for column in (*TASKS, "minutes"))]
    for set_ in SETS:
        for language in languages:
            chosen = [prompt for prompt in prompts if (prompt.set, prompt.language) == (set_, language)]
            counts = [sum(task in prompt.targets() for prompt in chosen) for task in TASKS]
            minutes = sum(prompt.seconds for prompt in chosen) / 60
            lines.append(f"{set_:<6}{language:<10}{counts[0]:>11}{counts[1]:>11}{minutes:>11.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--languages", default="", help=f"some of {' '.join(LANGUAGES)}; empty: all")
    parser.add_argument("download_dir", type=Path, help="what local/download_prompts.py filled")
    parser.add_argument("data_dir", type=Path, help="where SET/TASK/{wav.scp,text} go")
    args = parser.parse_args()
    languages = chosen_languages(args.languages, LANGUAGES)
    print(table(prepare_prompts(args.download_dir, args.data_dir, languages), languages))


if __name__ == "__main__":
    run_main(main)
