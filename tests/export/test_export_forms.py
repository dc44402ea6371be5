"""Forms for other programs, read by these programs themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_corpus import cat_tasks, write_set
from tiny_whisper import make_tiny_whisper

from utils import ROOT
from utils.data.lists import read_list
from utils.data.tokenizer import load_tokenizer
from utils.decode.decode_directory import read_decode_info
from utils.errors import UserError
from utils.export.forms import FORMS, decode_form
from utils.export.whisper_cpp import GGML_TYPES, convert_to_ggml

# Loads a file, decodes noise, and prints the sizes that whisper.cpp read. A process of its own: it may abort.
_LOAD = """
import sys, numpy, _pywhispercpp
from pywhispercpp.model import Model
model = Model(sys.argv[1], redirect_whispercpp_logs_to=sys.stderr, n_threads=1, print_progress=False)
noise = numpy.random.default_rng(0).standard_normal(32000).astype("float32") / 10
segments = model.transcribe(noise, language="fr", translate=True, audio_ctx=int(sys.argv[2]))
context = model._ctx
print(_pywhispercpp.whisper_model_n_vocab(context), _pywhispercpp.whisper_model_n_mels(context),
      _pywhispercpp.whisper_model_n_audio_layer(context), _pywhispercpp.whisper_token_to_str(context, 1000))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the proportions of OpenAI's, which whisper.cpp expects."""
    return make_tiny_whisper(tmp_path_factory.mktemp("whole"), encoder_ffn_dim=256, decoder_ffn_dim=256)


def load(path: Path, audio_ctx: int = 0) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("pywhispercpp")
    return subprocess.run([sys.executable, "-c", _LOAD, path, str(audio_ctx)], capture_output=True, text=True,
                          timeout=120)


@pytest.mark.parametrize("ggml_type", GGML_TYPES)
def test_whisper_cpp_loads_and_decodes_every_type(whole: Path, tmp_path: Path, ggml_type: str) -> None:
    if ggml_type != "f16":
        pytest.importorskip("gguf")
    path = tmp_path / "made/ggml-model.bin"
    done = subprocess.run([sys.executable, str(ROOT / "pyscripts/export_form.py"), f"ggml-{ggml_type}", whole,
                           path.parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for audio_ctx in (0, 128):
        loaded = load(path, audio_ctx)
        assert loaded.returncode == 0, loaded.stderr
        assert loaded.stdout.split() == ["51865", "80", "2", load_tokenizer(whole).decode([1000]).strip()]


def test_a_smaller_type_makes_a_smaller_file(whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    for ggml_type in GGML_TYPES:
        convert_to_ggml(whole, tmp_path / ggml_type, ggml_type)
    sizes = [(tmp_path / ggml_type).stat().st_size for ggml_type in GGML_TYPES]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


def test_a_cut_file_is_not_loaded(whole: Path, tmp_path: Path) -> None:
    """So that the test above cannot pass with tensors missing."""
    convert_to_ggml(whole, tmp_path / "model.bin")
    data = (tmp_path / "model.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(data[:-5000])
    assert load(tmp_path / "cut.bin").returncode != 0


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(whole: Path, tmp_path: Path,
                                                               tmp_path_factory: pytest.TempPathFactory,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = make_tiny_whisper(tmp_path_factory.mktemp("narrow"))
    with pytest.raises(UserError, match="--type q3: use one of f16 q8_0 q5_1 q5_0"):
        convert_to_ggml(whole, tmp_path / "a.bin", "q3")
    with pytest.raises(UserError, match=r"config.json.*Name a directory merged/"):
        convert_to_ggml(tmp_path, tmp_path / "a.bin")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"--type q5_0 needs a package: pip install -r tools/requirements-export.txt"):
        convert_to_ggml(whole, tmp_path / "a.bin", "q5_0")
    with pytest.raises(UserError, match="its feed-forward layers are not 4 times as wide"):
        convert_to_ggml(narrow, tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "test"
    write_set(directory, 2, seed=3)
    return cat_tasks(directory)


@pytest.mark.parametrize("name", ["ggml-f16", "ggml-q5_0", "openai"])
def test_a_form_decodes_a_set_in_its_own_program(whole: Path, spoken: Path, tmp_path: Path, name: str) -> None:
    """In a process of its own, which whisper.cpp may end."""
    pytest.importorskip("whisper" if name == "openai" else "pywhispercpp")
    call = [sys.executable, str(ROOT / "pyscripts/export_form.py")]
    form = [name, whole, tmp_path / name]
    decode = ["--decode", spoken, "--decode-dir", tmp_path / "decoded", "--beam-size", "2", "--window", "short"]
    assert subprocess.run([*call, *form], capture_output=True).returncode == 0
    done = subprocess.run([*call, *decode, *form], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    hypotheses = read_list(tmp_path / "decoded/text", allow_empty=True)
    assert hypotheses.keys() == read_list(spoken / "text").keys()
    info = read_decode_info(tmp_path / "decoded")
    assert info["system"] == name and info["beam_size"] == 2 and info["audio_seconds"] > 0
    file = tmp_path / name / FORMS[name].file
    file.write_bytes(file.read_bytes()[:5000])  # a damaged file does not pass
    assert subprocess.run([*call, *decode, *form], capture_output=True, timeout=300).returncode != 0


def test_openais_names_and_sizes(whole: Path, tmp_path: Path) -> None:
    FORMS["openai"].write(whole, tmp_path / "model.pt")
    made = torch.load(tmp_path / "model.pt", weights_only=True)
    assert made["dims"] == {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 2,
                            "n_audio_layer": 2, "n_vocab": 51865, "n_text_ctx": 448, "n_text_state": 64,
                            "n_text_head": 2, "n_text_layer": 2}
    names = made["model_state_dict"]
    for name in ("encoder.conv1.weight", "encoder.positional_embedding", "encoder.blocks.1.attn.query.weight",
                 "encoder.ln_post.weight", "decoder.token_embedding.weight", "decoder.positional_embedding",
                 "decoder.blocks.0.cross_attn.out.bias", "decoder.blocks.1.mlp.2.weight", "decoder.ln.bias"):
        assert name in names
    assert not any("proj_out" in name or "layers" in name for name in names)


def test_what_a_form_cannot_do_is_one_line(whole: Path, spoken: Path, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"beam_size": 1, "short": False, "threads": 1}
    with pytest.raises(UserError, match="there is no form onnx of an export; there are ggml-f16"):
        decode_form("onnx", tmp_path, spoken, tmp_path / "out", **options)
    for name, module, program in (("openai", "whisper", "OpenAI's whisper"), ("ggml-f16", "pywhispercpp.model",
                                                                              "whisper.cpp")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UserError, match=rf"decoding with {program} needs a package: pip install -r tools/"):
            decode_form(name, tmp_path, spoken, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
