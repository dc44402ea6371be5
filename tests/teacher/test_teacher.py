"""Translations by a larger Whisper: which are kept, humans' translations stay, and reports name the teacher."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from made_corpus import write_set

from utils.data.data_directory import MergeOptions, merge_task_lists, write_data_directory
from utils.data.lists import read_list
from utils.data.machine_made import read_machine_made
from utils.errors import UserError
from utils.report.experiments import joined_table
from utils.report.sentences import marked_rows, reference_warnings, training_lines
from utils.score.suspects import inspect_translation
from utils.teacher import teacher as teacher_module
from utils.teacher.labels import label, untranslated
from utils.teacher.teacher import Teacher, decode, load_teacher, refuse_untrained

SAID_FR = "on a discuté de la question du budget pendant toute la journée hier soir"
SAID_ZH = "而对楼市成交抑制作用最大的限购也成为地方政府的眼中钉"


@pytest.mark.parametrize(("key", "said", "translation", "seconds", "kinds"), [
    ("a|fr|translate", SAID_FR, "We discussed the budget question all day yesterday.", 4, []),
    ("a|zh|translate", SAID_ZH, "The purchase limit, which curbs sales most, is a thorn in the side of local "
                                "governments.", 6, []),
    ("a|th|translate", "เราได้คุยกันเรื่องงบประมาณทั้งวันเมื่อวานนี้",
     "We talked about the budget all day yesterday.", 4, []),
    ("a|ko|translate", "어제 하루 종일 예산 문제를 논의했습니다",
     "We talked about nothing but the question of the budget all day.", 3, []),
    ("a|fr|translate", "oui", "Yes, it is.", 0.6, []),
    ("a|fr|translate", "Barack Obama", "Barack Obama", 1.5, ["wrong task"]),  # cannot be told from a transcript
    ("a|fr|translate", SAID_FR, " ... ♪ ", 4, ["empty"]),
    ("a|zh|translate", SAID_ZH, SAID_ZH, 6, ["wrong script", "wrong task"]),
    ("a|fr|translate", SAID_FR, SAID_FR.capitalize() + ".", 4, ["wrong task"]),
    ("a|zh|translate", SAID_ZH, "So, so, so, so, so, so, it is.", 6, ["loop"]),
    ("a|zh|translate", SAID_ZH, " ".join(map(str, range(40))), 4, ["too long"]),
    ("a|ru|translate", "да", "Thank you for watching, and do not forget to subscribe to my channel.", 5, ["too long"]),
    ("a|fr|translate", SAID_FR, "Thank you.", 4, ["too short"]),
    ("a|zh|translate", SAID_ZH, "You.", 6, ["too short"]),
])
def test_what_the_filter_drops(key: str, said: str, translation: str, seconds: float, kinds: list[str]) -> None:
    assert [fault.kind for fault in inspect_translation(key, said, translation, seconds)] == kinds


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """data/train with transcripts in Chinese, French and English, a human's translation of one utterance, no other."""
    directory = write_set(tmp_path / "my data" / "train", 3, languages=("chinese", "fr", "en"))
    human = {name: (directory / "translate" / name).read_text("utf-8").splitlines()[:1] for name in ("wav.scp", "text")}
    shutil.rmtree(directory / "translate")
    (directory / "translate").mkdir()
    for name, lines in human.items():
        (directory / "translate" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory


HUMAN = "train-chinese-00|chinese|translate"


class FakeDecoder:
    """A decoder that writes given texts, in the order of keys, and counts its calls."""

    workers = beam_size = 1

    def __init__(self, says: Callable[[str], str]) -> None:
        self.says, self.asked = says, []

    def encode(self, features: np.ndarray) -> np.ndarray:
        return features

    def __call__(self, utterances: Sequence, feats: Sequence, num_frames: int, encoded: np.ndarray,
                 beam_size: int) -> dict[str, str]:
        assert num_frames == encoded.shape[-1] == 3000  # an untuned model's native window
        self.asked += [utterance.keys[0] for utterance in utterances]
        return {key: self.says(key) for utterance in utterances for key in utterance.keys}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, tiny_whisper: Path) -> Callable[[Callable[[str], str]], FakeDecoder]:
    """``says(function)`` makes every teacher say what the function returns for a key."""
    from utils.features.log_mel import LogMel

    def install(function: Callable[[str], str]) -> FakeDecoder:
        decoder = FakeDecoder(function)
        monkeypatch.setattr(teacher_module, "load_teacher", lambda _teacher: (decoder, LogMel(tiny_whisper)))
        return decoder

    return install


def translate(teacher: Teacher, directory: Path, num_jobs: int = 1) -> dict:
    """Run all jobs and the combining step."""
    for job in range(1, num_jobs + 1):
        decode(teacher, directory, untranslated(directory).audio, job, num_jobs)
    return label(teacher, directory, untranslated(directory))


def texts(directory: Path) -> dict[str, str]:
    return read_list(directory / "translate" / "text")


def merged(directory: Path, **options: object) -> Path:
    write_data_directory(directory, merge_task_lists(directory, MergeOptions(**options)))
    return directory


def test_what_has_no_translation_gets_one_and_a_human_s_stays(train: Path, tmp_path: Path, says) -> None:
    before = texts(train)
    says(lambda key: "" if key.startswith("train-fr-01") else f"good {key[6:8]}")
    record = translate(Teacher(tmp_path / "big"), train, num_jobs=2)
    assert texts(train) == before | {
        key: f"good {key[6:8]}" for number in range(3) for language, short in (("chinese", "ch"), ("fr", "fr"))
        if (key := f"train-{language}-{number:02}|{language}|translate") not in (HUMAN, "train-fr-01|fr|translate")}
    assert list(read_list(train / "translate/wav.scp", verbatim=True)) == list(texts(train))
    assert record["dropped"] == {"empty": 1} and (record["kept"], record["decoded"], record["human"]) == (4, 5, 1)
    dropped = (Teacher(tmp_path / "big").cache(train) / "left_out.tsv").read_text("utf-8")
    assert "train-fr-01|fr|translate\tempty" in dropped
    assert len(texts(merged(train)).keys()) == 5 and len(read_list(train / "text")) == 9 + 5


def test_the_same_teacher_decodes_nothing_again_and_another_replaces_only_its_lines(train: Path, tmp_path: Path,
                                                                                  says) -> None:
    human = texts(train)
    first = says(lambda _key: "first one")
    translate(Teacher(tmp_path / "first"), train)
    assert len(first.asked) == 5
    files = {path: path.read_bytes() for path in (train / "translate").iterdir()}
    translate(Teacher(tmp_path / "first"), train)
    assert len(first.asked) == 5
    assert {path: path.read_bytes() for path in (train / "translate").iterdir()} == files
    # Somebody corrects a line: it is theirs now.
    text = (train / "translate/text").read_text("utf-8")
    fixed = "train-fr-00|fr|translate"
    (train / "translate/text").write_text(text.replace(f"{fixed} first one", f"{fixed} corrected"), encoding="utf-8")
    second = says(lambda _key: "second one")
    record = translate(Teacher(tmp_path / "second"), train)
    assert fixed not in second.asked and len(second.asked) == 4
    assert texts(train) == dict.fromkeys(texts(train), "second one") | human | {fixed: "corrected"}
    assert record["teacher"] == str(tmp_path / "second") and record["human"] == 2
    translate(Teacher(tmp_path / "first"), train)  # its hypotheses are still there
    assert len(first.asked) == 5
    assert set(texts(train).values()) == {*human.values(), "corrected", "first one"}


def test_an_interrupted_labelling_continues(train: Path, tmp_path: Path, says, monkeypatch) -> None:
    monkeypatch.setattr(teacher_module, "UTTERANCES_AT_ONCE", 2)
    said = []

    def dies(key: str) -> str:
        if len(said) == 3:
            raise KeyboardInterrupt
        said.append(key)
        return "all good"

    says(dies)
    with pytest.raises(KeyboardInterrupt):
        translate(Teacher(tmp_path / "big"), train)
    again = says(lambda _key: "all good")
    record = translate(Teacher(tmp_path / "big"), train, num_jobs=3)
    assert len(again.asked) == 3 and record["kept"] == 5  # the first two were written


def test_audio_that_cannot_be_used_is_left_to_the_merging_of_lists(train: Path, tmp_path: Path, says) -> None:
    (train / "audio/train-fr-00.wav").write_bytes(b"noise")
    says(lambda _key: "all good")
    record = translate(Teacher(tmp_path / "big"), train)
    assert record["dropped"] == {"no audio": 1} and record["kept"] == 4
    with pytest.raises(UserError, match=r"transcribe/wav\.scp:.*train-fr-00\.wav"):
        merge_task_lists(train, MergeOptions())


def test_speakers_and_relative_paths_go_along(train: Path, tmp_path: Path, says) -> None:
    shutil.rmtree(train / "translate")
    wav_scp = train / "transcribe/wav.scp"
    wav_scp.write_text(wav_scp.read_text("utf-8").replace(str(train.resolve() / "audio"), "../audio"), encoding="utf-8")
    keys = list(read_list(wav_scp, verbatim=True))
    (train / "transcribe/utt2spk").write_text("".join(f"{key} {key[:8]}\n" for key in keys), encoding="utf-8")
    says(lambda _key: "all good")
    translate(Teacher(tmp_path / "big"), train)
    merged(train)
    assert read_list(train / "utt2spk")["train-fr-00|fr|translate"] == "train-fr"


def test_nothing_kept_leaves_a_human_s_lists_or_none(train: Path, tmp_path: Path, says) -> None:
    human = texts(train)
    says(lambda _key: "all good")
    translate(Teacher(tmp_path / "good"), train)
    says(lambda _key: "...")
    translate(Teacher(tmp_path / "bad"), train)
    assert texts(train) == human and read_machine_made(merged(train)) is None
    shutil.rmtree(train / "translate")
    says(lambda _key: "all good")
    translate(Teacher(tmp_path / "good"), train)
    says(lambda _key: "...")
    assert translate(Teacher(tmp_path / "bad"), train)["kept"] == 0
    assert not (train / "translate").exists()
    assert len(read_list(merged(train) / "text")) == 9


def test_reports_name_the_machine(train: Path, tmp_path: Path, says) -> None:
    from utils.score.comparison import Decode

    says(lambda _key: "all good")
    translate(Teacher(tmp_path / "big"), train)
    record = read_machine_made(merged(train))
    assert record == json.loads((train / "translate/machine_made.json").read_text())
    assert {"date", "versions", "beam_size"} <= record.keys()
    expected = f"translations of train: machine-made by {tmp_path / 'big'} (5 of 5 kept), 1 by humans"
    assert expected in list(training_lines({"machine_made": {"train": record}}))
    decodes = [Decode(tmp_path, {"set": "train", "system": "base"}, [])]
    warning, = reference_warnings(decodes, train.parent)
    assert warning.startswith(f"MACHINE-MADE REFERENCES: {expected}")
    rows = [{"set": "train", "task": task, "metric": metric, "language": "fr", "system": "base", "value": 1.0,
             "ci95": [0, 2], "n_utts": 3, "normalizer": "none"} for task, metric in (("translate", "bleu"),
                                                                                    ("transcribe", "wer"))]
    found = marked_rows([Decode(tmp_path, {"set": "train", "system": "base"}, rows)], train.parent)
    table = joined_table({"exp/a": found}, ["bleu", "wer"], "raw")
    assert table.count("| train (machine-made references) | BLEU ") == 1 and "| train " in table
    assert "references" not in next(line for line in table.splitlines() if "WER" in line)
    merged(train, tasks=["transcribe"])  # none of them is used
    assert read_machine_made(train) is None and reference_warnings(decodes, train.parent) == []


def test_both_backends_translate_and_agree(train: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    """Real decoders; the CTranslate2 directory has no preprocessor_config.json, as faster-whisper's first ones."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(tiny_whisper), copy_files=["tokenizer.json"]).convert(str(tmp_path / "ct2"))
    found = []
    for directory in (tiny_whisper, tmp_path / "ct2"):
        teacher = Teacher(directory, beam_size=2, batch_size=2)
        decode(teacher, train, dict([*untranslated(train).audio.items()][:3]))
        found.append(read_list(teacher.cache(train) / "part.1/text", allow_empty=True))
    assert found[0] == found[1] and len(set(found[0].values())) > 1


def test_models_that_cannot_translate_are_refused(tmp_path: Path) -> None:
    from ctranslate2.converters import TransformersConverter
    from tiny_whisper import make_tiny_whisper

    turbo = make_tiny_whisper(tmp_path / "turbo", encoder_layers=4, decoder_layers=1)
    TransformersConverter(str(turbo), copy_files=["tokenizer.json"]).convert(str(tmp_path / "ct2"))
    for directory in (turbo, tmp_path / "ct2"):
        with pytest.raises(UserError, match=r"1 decoder layers for 4 .* not trained to translate\. Take large-v3"):
            refuse_untrained(directory)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        load_teacher(Teacher(tmp_path / "empty"))
