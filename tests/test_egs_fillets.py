"""Fish Fillets' dialogues: Lua that is read and never run, packages, scenes, and the recipe on a replica."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from egs_run import load_script, recipe_copy, run_corpus
from replica_files import recording

from utils.data.lists import read_list
from utils.errors import UserError

reading = load_script("fillets", "fillets_dialogs")
downloading = load_script("fillets", "download_fillets")
preparing = load_script("fillets", "prepare_fillets")
SCENES = [f"scene{number}" for number in range(8)]
SETS = {"test": "scene7", "dev": "scene2"}  # all others: train
ROOT_OF_GAME = "usr/share/games/fillets-ng"


def read(tmp_path: Path, source: str) -> list[tuple[str, str, str]]:
    (tmp_path / "dialogs_cs.lua").write_text(source, encoding="utf-8")
    return [(line.id, line.english, line.text) for line in reading.read_dialogs(tmp_path / "dialogs_cs.lua")]


def test_a_line_has_its_id_its_english_and_its_text(tmp_path: Path) -> None:
    assert read(tmp_path, """\ufeff
        -- Intro
        dialogId("let-m-divna", "font_small", "What kind of \\"strange\\"\\nship is that?")
        dialogStr("Co je to za divnou loď?  C:\\\\WINDOWS")
        dialogId( 'a-v-b' , "font_big",
                  "It's \\065 \\/etc." )
        dialogStr(
          "Dál")
        dialogId("only-english", "f", "No text")
    """) == [("let-m-divna", 'What kind of "strange" ship is that?', "Co je to za divnou loď? C:\\WINDOWS"),
             ("a-v-b", "It's A /etc.", "Dál"), ("only-english", "No text", "")]


def test_other_lua_is_passed_over_and_never_run(tmp_path: Path) -> None:
    assert read(tmp_path, """
        os.execute("touch """ + str(tmp_path / "ran") + """") --[[ dialogId("in-a-comment", "f", "x")
        ]] -- dialogId("in-another", "f", "x")
        dialogLoad("script/"..codename.."/")
        for i = 0, 29 do dialogId("many-x-"..i, "font", "Computed") end
        local text = "dialogStr(\\"in a string\\")"
        dialogStr("before any id")
        dialogId("real-m-x", "f", "Real")
        dialogStr("Skutečně")
    """) == [("real-m-x", "Real", "Skutečně")]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("source", "complaint"), [
    ('\ndialogId("a", "f", "x)\n', "dialogs_cs.lua:2: a string or a comment has no end"),
    ("--[[ never closed", "dialogs_cs.lua:1: a string or a comment has no end"),
    ('dialogId("a", "f")', "dialogs_cs.lua:1: dialogId with 2 arguments"),
    ('dialogId("a", "f", "x")\ndialogStr("a", "b")', "dialogs_cs.lua:2: dialogStr with 2 arguments"),
    ('dialogId("a", "f", "x")\n\ndialogStr("a"', "dialogs_cs.lua:3: dialogStr is cut off"),
    ('dialogId("a", ', "dialogs_cs.lua:1: dialogId is cut off")])
def test_damage_is_one_line_with_its_place(tmp_path: Path, source: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        read(tmp_path, source)
    assert "\n" not in str(error.value)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dialogs_cs.lua").write_bytes('dialogStr("loď")'.encode("cp1250"))
    with pytest.raises(UserError, match=r"dialogs_cs.lua: cannot be read"):
        reading.read_dialogs(tmp_path / "dialogs_cs.lua")


def package(directory: Path, name: str, files: dict[str, bytes]) -> Path:
    """A .deb of files below the game's directory."""
    root = directory / f"{name}.root"
    for path, content in files.items():
        (root / ROOT_OF_GAME / path).parent.mkdir(parents=True, exist_ok=True)
        (root / ROOT_OF_GAME / path).write_bytes(content)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(f"Package: {name}\nVersion: 1.0.1-1.1\nArchitecture: all\n"
                                         "Maintainer: nobody <a@b.c>\nDescription: replica\n")
    (root / "DEBIAN/preinst").write_text(f"#!/bin/sh\ntouch {directory}/ran\n")
    (root / "DEBIAN/preinst").chmod(0o755)
    target = directory / downloading.package_file(name)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, target], check=True, capture_output=True)
    return target


def dialogue(language: str, scene: str) -> bytes:
    """Four lines: both fish, one without text, and one whose audio is too long."""
    calls = []
    for name in ("m-one", "v-two", "m-three", "v-long"):
        calls.append(f'dialogId("{scene}-{name}", "font", "English {name} of {scene}{"" if language else "!"}")')
        if language in ("cs", "nl") and name != "m-three":
            calls.append(f'dialogStr("{language} {name} {scene}")')
    return "\n".join(calls).encode()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with replicas of the three packages."""
    directory = tmp_path_factory.mktemp("packages")
    texts = {f"script/{scene}/dialogs{suffix}.lua": dialogue(suffix[1:], scene)
             for scene in SCENES for suffix in ("", "_cs", "_nl", "_en")}
    package(directory, "fillets-ng-data", texts | {"images/a.png": b"picture"})
    for language in ("cs", "nl"):
        sound = {f"sound/{scene}/{language}/{scene}-{name}.ogg": recording(seconds, format="OGG")
                 for scene in SCENES for name, seconds in (("m-one", 0.5), ("v-two", 0.4), ("m-three", 0.3))}
        sound[f"sound/scene1/{language}/scene1-v-long.ogg"] = recording(30.2, format="OGG")
        sound[f"sound/scene1/{language}/noise.ogg"] = recording(0.1, format="OGG")
        package(directory, f"fillets-ng-data-{language}", sound)
    return directory


@pytest.fixture
def pinned(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The replicas, whose checksums are the published ones for the length of a test."""
    monkeypatch.setattr(downloading, "SHA256", {
        path.name.partition("_")[0]: hashlib.sha256(path.read_bytes()).hexdigest() for path in packages.glob("*.deb")})
    return packages


def test_packages_become_lists_of_whole_scenes(pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pinned.parent)  # paths may be relative
    downloading.download_fillets(tmp_path / "dl", ["cs", "nl"], [Path(pinned.name)])
    assert not (pinned / "ran").exists()  # no script of a package was run
    assert not [*(tmp_path / "dl").rglob("*.png")]
    preparing.prepare_fillets(tmp_path / "dl", tmp_path / "data", ["cs", "nl"])
    for name, scene in SETS.items():
        texts = read_list(tmp_path / "data" / name / "transcribe/text")
        assert texts == {f"{language}-{actor}_{scene}-00{number}-{scene}-{actor}-{line}|{language}|transcribe":
                         f"{language} {actor}-{line} {scene}" for language in ("cs", "nl")
                         for number, (actor, line) in enumerate((("m", "one"), ("v", "two")))}
    translations = read_list(tmp_path / "data/test/translate/text")
    assert translations["cs-m_scene7-000-scene7-m-one|cs|translate"] == "English m-one of scene7"  # dialogs_en.lua's
    assert read_list(tmp_path / "data/test/translate/utt2spk")["nl-v_scene7-001-scene7-v-two|nl|translate"] == "nl-v"
    assert len(read_list(tmp_path / "data/train/transcribe/text")) == 2 * 2 * 6
    left_out = [line.split("\t")[:2] for line in (tmp_path / "data/fillets_left_out.tsv").read_text().splitlines()[1:]]
    assert ["cs/scene3/scene3-m-three", "no transcript"] in left_out
    assert ["nl/scene1/noise", "no line of dialogue"] in left_out
    assert ["cs-v_scene1-003-scene1-v-long", "longer than 30 s"] in left_out
    assert ["cs/scene3/scene3-v-long", "no audio"] in left_out


def test_a_damaged_package_and_a_missing_one_are_refused(pinned: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / downloading.package_file("fillets-ng-data")
    broken.write_bytes(b"not the package")
    with pytest.raises(UserError, match=r"its SHA-256 is not that of fillets-ng-data_1.0.1-1.1_all.deb"):
        downloading.download_fillets(tmp_path / "dl", ["cs"], [broken])
    monkeypatch.setattr(downloading, "download_packages", _no_network)
    with pytest.raises(UserError, match=r"no fillets-ng-data_.*deb: apt is not there.*--archive FILE"):
        downloading.download_fillets(tmp_path / "dl", ["cs"])
    assert not (tmp_path / "dl/fillets-ng-data").exists()
    with pytest.raises(UserError, match=r"download_fillets.py --languages cs"):
        preparing.prepare_fillets(tmp_path / "dl", tmp_path / "data", ["cs"])


def _no_network(names: list[str], directory: Path) -> list[Path]:
    raise UserError("apt is not there")


def test_minor_parts_are_speakers_of_one_scene_only() -> None:
    assert preparing.speaker_of("cs", "city", "vit-hs-vitejteA") == "cs-city-hs"
    assert preparing.speaker_of("cs", "city", "vit-m-krasa") == "cs-m"
    assert preparing.speaker_of("nl", "ending", "z-c") == "nl-ending-z"


@pytest.mark.egs
def test_the_whole_recipe_runs_on_the_replica(pinned: Path, tiny_whisper: Path, tmp_path: Path) -> None:
    egs = recipe_copy(tmp_path / "my recipes", "fillets")
    downloading.download_fillets(egs / "download/fillets", ["cs", "nl"], [pinned])
    finished = run_corpus(egs, tiny_whisper)
    assert finished.returncode == 0, finished.stderr
    report = (egs / "exp/tiny/RESULTS.md").read_text(encoding="utf-8")
    assert "| WER " in report and "| BLEU " in report
    assert "Stage 5" in finished.stderr and (egs / "exp/tiny/ct2_int8/model.bin").is_file()
