#!/usr/bin/env python3
"""Write the lists of the default corpus: DATA_DIR/{train,dev,test}/{transcribe,translate}/{wav.scp,text}.

A key is ID|LANGUAGE|TASK. Every language is transcribed; all but English are translated: the translation is the
English text of the same prompt. Sentences that are relatives by their English texts (utils/data/relatives.py) form a
family, and a hash of the family decides the set of its prompts. Training prompts that are relatives of a dev or test
prompt in their own language are left out. So no sentence of dev or test has a relative in training, in any language.
DATA_DIR/prompts_left_out.tsv lists what is left out, with the reasons.

Example: local/prepare_prompts.py --languages "en fr" download/prompts data
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local.prompts import (
    LANGUAGES,
    TONE,
    check_languages,
    fault_of,
    prompt_id,
    read_transcripts,
    seconds_of,
    split_of,
    transcript_file,
)
from utils.audio.constants import WINDOW_SECONDS
from utils.cli import make_parser, run_main
from utils.data.corpus_lists import SOURCE, CorpusUtterance, LeftOut, add_prepare_options, write_lists
from utils.data.languages import chosen_languages, text_language
from utils.data.lists import TASKS
from utils.data.relatives import bare_words, families, relatives
from utils.errors import UserError

SETS = ("train", "dev", "test")


def prepare_prompts(download_dir: Path, data_dir: Path, languages: list[str]) -> list[CorpusUtterance]:
    """Write the lists of the telephone prompts.

    Args:
        download_dir: directory that ``download_prompts`` filled; paths in wav.scp begin with it, as given.
        data_dir: directory for SET/TASK/{wav.scp,text} and prompts_left_out.tsv.
        languages: codes of ``LANGUAGES``. English transcripts are always read.

    Returns:
        The prompts of all sets, each with at least one task.

    Raises:
        UserError: transcripts or audio of a language are missing, or ``data_dir`` has lists of other audio.
    """
    check_languages(languages)
    _take_over_lists(data_dir)
    transcripts = {language: read_transcripts(transcript_file(download_dir / language, language))
                   for language in dict.fromkeys(["en", *languages])}
    tones = {name for pairs in transcripts.values() for name, text in pairs if TONE.fullmatch(text)}
    english = {name: text for name, text in reversed(transcripts["en"]) if fault_of(text) is None}
    family_of = families(english.values())
    prompts: list[CorpusUtterance] = []
    left_out: list[LeftOut] = []
    for language in languages:
        found = _read_language(language, transcripts[language], download_dir / language, tones, english, family_of,
                               left_out)
        prompts += _without_relatives(found, download_dir, left_out)
    _check_split(prompts)
    (data_dir / "prompts_dropped.tsv").unlink(missing_ok=True)  # its name in earlier versions
    write_lists("prompts", prompts, left_out, data_dir, SETS, allow_empty=True)
    return prompts


def _take_over_lists(data_dir: Path) -> None:
    """Mark lists of g722 files as lists of the prompts, which earlier versions did not do.

    Raises:
        UserError: there are lists of other audio.
    """
    for path in sorted(path for set_ in SETS for path in (data_dir / set_).glob("*/wav.scp")):
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if first and not first.endswith(".g722"):
            raise UserError(f"{path} is not of the prompts: move your lists away, or use them: "
                            './run.sh --corpus-name ""')
        path.with_name(SOURCE).write_text("prompts\n", encoding="utf-8")


def _read_language(language: str, transcripts: list[tuple[str, str]], directory: Path, tones: set[str],
                   english: dict[str, str], family_of: dict[str, str],
                   left_out: list[LeftOut]) -> list[CorpusUtterance]:
    """The usable prompts of one language; the others are added to ``left_out``."""
    audio = {path.relative_to(directory).with_suffix("").as_posix() for path in directory.rglob("*.g722")}
    if not audio:
        raise UserError(f"{directory}: no audio (*.g722): run local/download_prompts.py --languages "
                        f"{language}")

    def leave_out(name: str, reason: str, text: str) -> None:
        left_out.append(LeftOut(f"{language}/{name}", reason, text=text))

    prompts: dict[str, CorpusUtterance] = {}
    seen = set()
    for name, text in transcripts:
        path = directory / f"{name}.g722"
        seconds = seconds_of(path) if name in audio else 0
        fault = fault_of(text)
        whole = ("a second line of this name" if name in prompts
                 else "tones, no speech" if name in tones
                 else "no audio" if seconds == 0
                 else f"longer than {WINDOW_SECONDS:g} s" if seconds > WINDOW_SECONDS
                 else None)
        seen.add(name)
        if whole:
            leave_out(name, whole, text)
            continue
        if fault:
            leave_out(name, f"transcribe: {fault}", text)
        if language != "en" and name not in english:
            leave_out(name, "translate: no English text", text)
        targets = {"transcribe": "" if fault else text, "translate": "" if language == "en" else english.get(name, "")}
        words = bare_words(english.get(name) or text)
        prompts[name] = CorpusUtterance(
            split_of(family_of.get(words, words)), prompt_id(language, name), language, path,
            {task: target for task, target in targets.items() if target})
    for name in sorted(audio - seen):
        leave_out(name, "no transcript", "")
    return [prompt for prompt in prompts.values() if prompt.targets]


def _without_relatives(prompts: list[CorpusUtterance], download_dir: Path,
                       left_out: list[LeftOut]) -> list[CorpusUtterance]:
    """Leave prompts out of train that have a relative in dev or test in their own language."""
    texts: dict[bool, list[str]] = {True: [], False: []}
    for prompt in prompts:
        texts[prompt.set == "train"].append(prompt.targets.get("transcribe", ""))
    found = relatives(texts[True], texts[False])
    kept = []
    for prompt in prompts:
        text = prompt.targets.get("transcribe", "")
        if prompt.set == "train" and text in found:
            name = prompt.audio.relative_to(download_dir).with_suffix("").as_posix()
            left_out.append(LeftOut(name, "train: near-duplicate of a dev or test prompt", text=text))
        else:
            kept.append(prompt)
    return kept


def _check_split(prompts: Sequence[CorpusUtterance]) -> None:
    """Check that no text of dev or test, in its own language or in English, has a relative in train."""
    texts: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
    for prompt in prompts:
        for task, text in prompt.targets.items():
            texts[text_language(prompt.language, task), prompt.set == "train"].append(text)
    for language in {language for language, _ in texts}:
        shared = relatives(texts[language, False], texts[language, True])
        assert not shared, f"relatives in train and held out: {shared}"


def table(prompts: Sequence[CorpusUtterance], languages: list[str]) -> str:
    """Return a table: utterances of each task and minutes of audio, by set and language."""
    lines = [f"{'set':<6}{'language':<10}" + "".join(f"{column:>11}" for column in (*TASKS, "minutes"))]
    for set_ in SETS:
        for language in languages:
            chosen = [prompt for prompt in prompts if (prompt.set, prompt.language) == (set_, language)]
            counts = [sum(task in prompt.targets for prompt in chosen) for task in TASKS]
            minutes = sum(seconds_of(prompt.audio) for prompt in chosen) / 60
            lines.append(f"{set_:<6}{language:<10}{counts[0]:>11}{counts[1]:>11}{minutes:>11.1f}")
    return "\n".join(lines)


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    add_prepare_options(parser, languages=f"some of {' '.join(LANGUAGES)}; empty: all")
    args = parser.parse_args()
    languages = chosen_languages(args.languages, LANGUAGES)
    print(table(prepare_prompts(args.download_dir, args.data_dir, languages), languages))


if __name__ == "__main__":
    run_main(main)
