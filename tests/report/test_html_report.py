"""report.html: its content, and its behaviour in a real browser."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import av
import browser
import numpy as np
import pytest
import soundfile
from made_scores import add_decode, references

from utils import ROOT
from utils.audio.constants import SAMPLE_RATE
from utils.data.lists import write_list
from utils.filesystem import write_json
from utils.report.audio_clips import embedded, encode_mp3, linked
from utils.report.differences import mark_differences
from utils.report.utterances import list_utterances
from utils.score.comparison import read_decode
from utils.score.metrics import ScoringOptions, pair_texts
from utils.score.normalization import get_normalizer
from utils.score.score_directory import score_directory

EVIL = """</script><script>document.title = "owned"</script><img src=x onerror="document.title='owned'">"""


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def add_data(data_dir: Path, texts: dict[str, str]) -> None:
    """data/SET: an audio file for every utterance, shared by its tasks."""
    sources = {key: data_dir / "wav" / f"{key.rpartition('|')[0].replace('|', '_')}.wav" for key in texts}
    (data_dir / "wav").mkdir(parents=True)
    for number, path in enumerate(dict.fromkeys(sources.values())):
        soundfile.write(path, tone(0.2 + 0.1 * (number % 30)), SAMPLE_RATE)
    write_list(data_dir / "text", texts)
    write_list(data_dir / "wav.scp", {key: str(path) for key, path in sources.items()}, verbatim=True)
    write_list(data_dir / "utt2dur", {key: str(soundfile.info(path).duration) for key, path in sources.items()})


def make_report(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "pyscripts/make_report.py", *map(str, args)],
                          capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    """Three systems on a test set and two on a forget set, audio, a training history; returns its report.html."""
    top = tmp_path_factory.mktemp("with space")
    exp_dir, texts = top / "exp" / "demo", references(12)
    texts["u0|fr|transcribe"] += f" {EVIL}"
    english = {key: text for key, text in references(40).items() if "|en|" in key}
    add_data(top / "data" / "test", texts)
    add_data(top / "data" / "english", english)
    for system in ("base", "lora", "ct2-int8"):
        add_decode(exp_dir, system, texts)
        if system != "ct2-int8":
            add_decode(exp_dir, system, english, set_name="english")
    history = [{"step": step, "loss": 3 / step, **({"eval_loss": 4 / step} if step % 5 == 0 else {})}
               for step in range(1, 21)]
    write_json(exp_dir / "train_history.json", history)
    done = make_report("--data", top / "data", "--forget-set", "english", "--bootstrap", 100, exp_dir)
    assert done.returncode == 0, done.stderr
    return exp_dir / "report.html"


def test_nothing_comes_from_elsewhere(experiment):
    html = experiment.read_text()
    addresses = re.findall(r"""(?:src|href|action)=["']?([^"'\s>]+)""", html.split("<section id=\"utterances\">")[0])
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert "default-src 'none'" in html


def test_text_is_escaped(experiment):
    html = experiment.read_text()
    assert html.count("<script") == 2  # the audio's addresses, and the page's own
    assert "&lt;script&gt;" in html and "<img src=x" not in html


def test_each_audio_file_is_embedded_once_and_plays(experiment):
    html = experiment.read_text()
    addresses = json.loads(re.search(r'id="audio">(.*?)</script>', html).group(1))
    assert len(addresses) == 12 * 3 + 40  # both tasks of an utterance share its audio
    assert len(re.findall('class="play"', html)) == 12 * 5 + 40


def test_mp3_sounds_like_its_source():
    with av.open(io.BytesIO(encode_mp3(tone(2.0)))) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert container.streams.audio[0].rate == SAMPLE_RATE
    assert len(decoded) / SAMPLE_RATE == pytest.approx(2.0, abs=0.15)
    spectrum = np.abs(np.fft.rfft(decoded))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(decoded) == pytest.approx(440, abs=2)


def test_embedded_audio_stops_at_the_limit_and_names_what_is_broken(tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.wav") for name in "abc"]
    for path in paths:
        soundfile.write(path, tone(2), SAMPLE_RATE)
    size = len(embedded(paths[:1], 1)[paths[0]]) / 1e6
    assert [*embedded([str(tmp_path / "none.wav"), *paths], 2.5 * size)] == paths[:2]
    complaint = capsys.readouterr().err
    assert "none.wav: does not exist" in complaint and "audio of 2 of 4 files fills" in complaint


def test_links_lead_from_the_report_to_what_browsers_play(tmp_path):
    sources = [f"{tmp_path}/audio here/a.wav", f"{tmp_path}/b.g722", "sox c.wav -t wav - |"]
    assert linked(sources, tmp_path / "exp") == {sources[0]: "../audio%20here/a.wav"}


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), [
    ("Press one, please.", "press one please", [("same", "press one please")]),
    ("Allo", "Allo !", [("same", "Allo !")]),
    ("press one now", "press two now please",
     [("same", "press "), ("del", "one "), ("sub", "two "), ("same", "now "), ("ins", "please")]),
    ("请输入密码", "请入密码了", [("same", "请"), ("del", "输"), ("same", "入密码"), ("ins", "了")]),
    ("oui", "", [("del", "oui")]), ("", "oui", [("ins", "oui")])])
def test_differences_are_marked_and_nothing_of_the_text_is_lost(reference, hypothesis, expected):
    spans, = mark_differences([reference], [hypothesis], [get_normalizer("basic")])
    assert [tuple(span) for span in spans] == expected
    assert "".join(span.text for span in spans if span.kind != "del") == hypothesis


@pytest.mark.parametrize(("normalizer", "reference", "hypothesis", "expected"), [
    ("whisper-en", "Twenty one colours, please.", "21 colors please", [("same", "21 colors please")]),
    ("whisper-en", "I can't see twenty one houses", "I can not see 21 mice",
     [("same", "I can not see 21 "), ("del", "houses"), ("sub", "mice")]),
    ("whisper-en", "one hundred and five", "one hundred six",
     [("del", "one hundred and five"), ("sub", "one hundred six")]),
    ("whisper-en", "um, yes (coughs loudly) sir", "yes sir, hmm", [("same", "yes sir, hmm")]),
    ("whisper-en", "It can't.", "It can", [("same", "It can"), ("del", "can't.")]),
    ("basic", "twenty one", "21", [("del", "twenty "), ("sub", "21"), ("del", "one")]),
    ("basic", "no", "...", [("same", "..."), ("del", "no")]),
    ("none", "Allo !", "allo !", [("del", "Allo "), ("sub", "allo "), ("same", "!")]),
    ("zh", "請輸入密碼", "请输入号码", [("same", "请输入"), ("del", "密"), ("sub", "号"), ("same", "码")])])
def test_differences_are_those_of_normalised_text(normalizer, reference, hypothesis, expected):
    spans, = mark_differences([reference], [hypothesis], [get_normalizer(normalizer)])
    assert [tuple(span) for span in spans] == expected
    assert "".join(span.text for span in spans if span.kind != "del") == hypothesis


@pytest.mark.parametrize(("options", "marked"), [
    (ScoringOptions(), {"u1|en|transcribe": False, "u1|fr|transcribe": True, "u1|fr|translate": True}),
    (ScoringOptions(digits="spell"), {"u1|en|transcribe": False, "u1|fr|transcribe": False,
                                      "u1|fr|translate": False}),
    (ScoringOptions("none"), {"u1|en|transcribe": True, "u1|fr|transcribe": True, "u1|fr|translate": True})])
def test_what_the_score_does_not_count_is_not_marked(tmp_path, options, marked):
    texts = {"u1|en|transcribe": "twenty one colours", "u1|fr|transcribe": "vingt et un pas",
             "u1|fr|translate": "seven"}
    hypotheses = {"u1|en|transcribe": "21 colors", "u1|fr|transcribe": "21 pas", "u1|fr|translate": "7"}
    info = {"system": "base", "set": "test", "seconds": 1.0, "audio_seconds": 1.0}
    directory = tmp_path / "decode_test_base"
    write_json(directory / "decode.json", info)
    write_list(directory / "text", hypotheses)
    write_list(tmp_path / "text", texts)
    write_json(directory / "scores.json",
               score_directory(directory, info, pair_texts(texts, hypotheses), options, 10, nj=1))
    listed, _ = list_utterances([read_decode(directory)], tmp_path, 10)
    assert {utt.key: any(span.kind != "same" for span in utt.hypotheses[0].spans) for utt in listed} == marked


def test_missing_references_are_one_clear_line(experiment, tmp_path):
    done = make_report("--data", tmp_path, experiment.parent)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"{tmp_path}/" in done.stderr and "cannot be read" in done.stderr


needs_browser = pytest.mark.programs(*browser.PROGRAMS)


@pytest.fixture(scope="module")
def desktop(experiment, tmp_path_factory):
    with browser.open_browser(tmp_path_factory.mktemp("driver") / "log") as window:
        window.open(experiment)
        yield window


def shown(window: browser.Browser) -> list[str]:
    return window.run("return [...document.querySelectorAll('article')].filter(a => !a.hidden).map(a => a.dataset.key)")


def choose(window: browser.Browser, name: str, value: str) -> list[str]:
    """Set a filter as a user does; the keys then shown, in order."""
    window.run("const e = document.forms[0].elements[arguments[0]]; e.value = arguments[1];"
               "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true}))", name, value)
    return shown(window)


@needs_browser
def test_a_browser_runs_no_script_of_the_texts(desktop):
    assert desktop.run("return document.title") == "Results of demo"
    assert desktop.run("return document.querySelectorAll('article img, article script').length") == 0
    text = desktop.run("return document.querySelector('article[data-key=\"u0|fr|transcribe\"]').textContent")
    assert EVIL in text
    assert desktop.complaints() == []


@needs_browser
def test_filters_and_sorting(desktop):
    everything = shown(desktop)
    assert len(everything) == 12 * 5 + 40
    assert all("|ru|" in key for key in choose(desktop, "language", "ru"))
    assert choose(desktop, "task", "translate") == [key for key in everything if key.endswith("|ru|translate")]
    assert desktop.run("return document.getElementById('shown').textContent") == "12 of 100 shown"
    assert choose(desktop, "text", "u11|") == ["u11|ru|translate"]
    choose(desktop, "text", "")
    choose(desktop, "task", "")
    choose(desktop, "language", "")
    assert choose(desktop, "sort", "key:1") == sorted(everything)
    choose(desktop, "sort", "errors:-1")
    errors = desktop.run("return [...document.querySelectorAll('article')].map(a => Number(a.dataset.errors))")
    assert errors == sorted(errors, reverse=True) and errors[0] > errors[-1]


@needs_browser
def test_the_result_comes_first_in_words_and_names(experiment):
    html = experiment.read_text()
    head = html[:html.index("</header>")]
    assert re.search(r'class="verdict">[^<]*tuned model', head)
    assert "base model</th>" in head and "tuned model</th>" in head and "export int8</th>" in head
    assert "French" in head and "all languages" in head
    for section in re.findall(r'<a href="#(\w+)">', head):
        assert f'<section id="{section}">' in html


def test_losses_are_red(desktop):
    cell = desktop.run("const cell = document.querySelector('td.worse'); return [cell.textContent,"
                       "getComputedStyle(cell).color, getComputedStyle(document.querySelector('li.worse')).color]")
    assert "worse" in cell[0] and cell[1] == cell[2] == "rgb(179, 38, 30)"
    assert "LOST: english en WER" in desktop.run("return document.getElementById('findings').textContent")


@needs_browser
def test_audio_plays_and_plots_show(desktop):
    desktop.run("document.querySelector('button.play').click()")
    assert desktop.wait_for("const a = document.querySelector('audio'); return a && a.duration") > 0.1
    sizes = desktop.run("return [...document.images].map(image => image.naturalWidth)")
    assert len(sizes) >= 5 and all(sizes)
    assert desktop.complaints() == []


@needs_browser
def test_a_phone_does_not_scroll_sideways(experiment, tmp_path):
    with browser.open_browser(tmp_path / "log", 390, 844) as phone:
        phone.open(experiment)
        assert phone.run("return document.documentElement.scrollWidth") <= 390
        assert phone.run("return document.querySelector('.figures').getBoundingClientRect().right") <= 390
        assert phone.run("return getComputedStyle(document.querySelector('.text')).fontSize") == "15px"
