#!/usr/bin/env python3
"""Write the lists of Fish Fillets: DATA_DIR/{train,dev,test}/{transcribe,translate}/{wav.scp,segments,text,utt2spk}.

Czech and Dutch speech is transcribed, and translated by the game's English text. Scenes are split: none is in two sets,
and test has about an eighth of the utterances, dev half as many. Ids are SPEAKER_SCENE-NUMBER-NAME; NUMBER is the place
in the dialogue. DATA_DIR/fillets_recordings has a recording of each scene, whose segments the utterances are.
DATA_DIR/fillets_left_out.tsv lists what is left out, with the reasons.

With --sample N there are two sets of N utterances a language. The default corpus measures on DATA_DIR/dialogues what
tuning makes a model forget, and chooses the adapter's strength on DATA_DIR/dialogues_dev. A third set,
DATA_DIR/dialogues_rehearsal, has four times as many other utterances of Czech, and none of Dutch: it is trained with
what the base model writes.

Example: local/prepare_fillets.py --languages cs download/fillets data
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from download_fillets import LANGUAGES, TEXTS
from fillets_dialogs import Line, read_dialogs
from fillets_recordings import as_recordings

from utils.cli import make_parser, run_main
from utils.data.corpus_lists import CorpusUtterance, LeftOut, add_prepare_options, without_unusable, write_lists
from utils.data.languages import chosen_languages
from utils.errors import UserError

SETS = ("test", "dev", "train")
SAMPLE_SETS = ("dialogues", "dialogues_dev")
REHEARSAL_SET, REHEARSAL_LANGUAGE, REHEARSAL_TIMES = "dialogues_rehearsal", "cs", 4
SHARES = {"test": 1 / 8, "dev": 1 / 16}  # of the utterances; train has the rest
MAIN_ACTORS = ("m", "v")  # the small and the big fish, in every scene
SHARED = {"black": "blackjokes", "border": "border", "bore": "borejokes"}  # dialogues of several scenes: text, sound


def prepare_fillets(download_dir: Path, data_dir: Path, languages: Sequence[str],
                    sample: int = 0) -> list[CorpusUtterance]:
    """Write the lists.

    Args:
        download_dir: what ``download_fillets`` filled; its path as given begins every path in wav.scp.
        languages: codes of ``LANGUAGES``.
        sample: utterances of each language in each of ``SAMPLE_SETS``; 0: train, dev and test of all.

    Returns:
        The utterances of all sets.

    Raises:
        UserError: a package is not there, or a dialogue file is damaged.
    """
    left_out: list[LeftOut] = []
    found = [utterance for language in languages for utterance in _read_language(download_dir, language, left_out)]
    utterances = without_unusable(found, left_out)
    if sample:
        utterances = [utterance for language in languages for utterance in _sample(utterances, language, sample)]
    else:
        utterances = as_recordings(utterances, _scene, data_dir / "fillets_recordings")
    write_lists("fillets", utterances, left_out, data_dir, (*SAMPLE_SETS, REHEARSAL_SET) if sample else SETS)
    return utterances


def _sample(utterances: Sequence[CorpusUtterance], language: str, count: int) -> list[CorpusUtterance]:
    """Samples of a language, ``count`` utterances each, the same on every machine: a hash of the ids orders them."""
    of_language = [utterance for utterance in utterances if utterance.language == language]
    of_language.sort(key=lambda utterance: hashlib.sha256(utterance.id.encode()).digest())
    sizes = dict.fromkeys(SAMPLE_SETS, count)
    if language == REHEARSAL_LANGUAGE:
        sizes[REHEARSAL_SET] = REHEARSAL_TIMES * count
    chosen, first = list[CorpusUtterance](), 0
    for name, size in sizes.items():
        chosen += [replace(utterance, set=name) for utterance in of_language[first:first + size]]
        first += size
    return chosen


def _read_language(download_dir: Path, language: str, left_out: list[LeftOut]) -> Iterator[CorpusUtterance]:
    sound = download_dir / f"{TEXTS}-{language}" / "sound"
    audio = {(_scene(path), path.stem): path for path in sorted(sound.glob(f"**/{language}/*.ogg"))}
    if not audio:
        raise UserError(f"{sound}: no sound there: run local/download_fillets.py --languages {language}")
    sets = split_scenes(download_dir)
    for scene in scenes(download_dir):
        english = _english(download_dir, scene)
        for number, line in enumerate(_lines(download_dir, scene, language)):
            path = audio.pop((scene, line.id), None)
            text = english.get(line.id) or line.english
            reason = "no audio" if path is None else "no transcript" if not line.text else None
            if path is None or reason:
                left_out.append(LeftOut(f"{language}/{scene}/{line.id}", str(reason), text=line.text))
                continue
            if not text:
                left_out.append(LeftOut(f"{language}/{scene}/{line.id}", "translate: no English text", text=line.text))
            speaker = speaker_of(language, scene, line.id)
            targets = {"transcribe": line.text, "translate": text}
            yield CorpusUtterance(sets[scene], f"{speaker}_{scene}-{number:03}-{line.id}", language, path,
                                  {task: target for task, target in targets.items() if target}, speaker)
    left_out += [LeftOut(f"{language}/{scene}/{name}", "no line of dialogue") for scene, name in sorted(audio)]


def speaker_of(language: str, scene: str, line_id: str) -> str:
    """The actor of a line: one of the two fish, or a part of one scene; ``vit-hs-vitejteA`` is of part ``hs``."""
    parts = line_id.split("-")
    part = parts[1] if len(parts) > 2 else parts[0]
    return f"{language}-{part}" if part in MAIN_ACTORS else f"{language}-{scene}-{part}"


def scenes(download_dir: Path) -> list[str]:
    """The names of all scenes.

    Raises:
        UserError: the package with the texts is not there.
    """
    script = download_dir / TEXTS / "script"
    found = [path.parent.name for path in script.glob("*/dialogs.lua")]
    if not found:
        raise UserError(f"{script}: no dialogues there: run local/download_fillets.py")
    return sorted(found) + [f"share-{name}" for name in SHARED.values() if (script / "share").is_dir()]


def split_scenes(download_dir: Path) -> dict[str, str]:
    """The set of each scene, the same for all languages and on every machine: a hash of their names orders them."""
    sizes = {scene: len(_english(download_dir, scene)) for scene in scenes(download_dir)}
    order = sorted(sizes, key=lambda scene: hashlib.sha256(scene.encode()).digest())
    wanted = {name: share * sum(sizes.values()) for name, share in SHARES.items()}
    taken: Counter[str] = Counter()
    sets = {}
    for scene in order:
        sets[scene] = next((name for name in wanted if taken[name] < wanted[name]), "train")
        taken[sets[scene]] += sizes[scene]
    return sets


def _scene(path: Path) -> str:
    """The scene of ``sound/SCENE/LANGUAGE/ID.ogg`` or ``sound/share/SCENE/LANGUAGE/ID.ogg``."""
    parent, scene = path.parts[-4:-2]
    return f"share-{scene}" if parent == "share" else scene


def _lines(download_dir: Path, scene: str, language: str) -> list[Line]:
    """The dialogue of a scene in a language; empty if there is none. ``""``: the texts for all languages."""
    script, suffix = download_dir / TEXTS / "script", f"_{language}" if language else ""
    path = script / scene / f"dialogs{suffix}.lua"
    if scene.startswith("share-"):
        name = next(text for text, sound in SHARED.items() if f"share-{sound}" == scene)
        path = script / "share" / f"{name}_dialogs{suffix}.lua"
    return read_dialogs(path) if path.is_file() else []


def _english(download_dir: Path, scene: str) -> dict[str, str]:
    """The English texts of a scene by id: those of the English file count more than those for all languages."""
    return {line.id: line.english for language in ("", "en") for line in _lines(download_dir, scene, language)}


def main() -> None:
    """Parse the options and write the lists."""
    parser = make_parser(__doc__)
    add_prepare_options(parser, languages=f"some of {' '.join(LANGUAGES)}; empty: all")
    parser.add_argument("--sample", type=int, default=0, metavar="N",
                        help=f"write {' and '.join(SAMPLE_SETS)}, N utterances a language each; 0: train, dev and test")
    args = parser.parse_args()
    prepare_fillets(args.download_dir, args.data_dir, chosen_languages(args.languages, LANGUAGES), args.sample)


if __name__ == "__main__":
    run_main(main)
