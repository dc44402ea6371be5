"""Files for whisper.cpp, read by whisper.cpp itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_whisper import make_tiny_whisper

from utils import ROOT
from utils.data.tokenizer import load_tokenizer
from utils.errors import UserError
from utils.export.ggml import GGML_TYPES, convert_to_ggml

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
    path = tmp_path / "model.bin"
    done = subprocess.run([sys.executable, str(ROOT / "pyscripts/export_ggml.py"), "--type", ggml_type,
                           whole, path], capture_output=True, text=True)
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


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(whole: Path, tiny_whisper: Path, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--type q3: use one of f16 q8_0 q5_1 q5_0"):
        convert_to_ggml(whole, tmp_path / "a.bin", "q3")
    with pytest.raises(UserError, match=r"config.json.*Name a directory merged/"):
        convert_to_ggml(tmp_path, tmp_path / "a.bin")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"--type q5_0 needs a package: pip install -r tools/requirements-export.txt"):
        convert_to_ggml(whole, tmp_path / "a.bin", "q5_0")
    with pytest.raises(UserError, match="its feed-forward layers are not 4 times as wide"):
        convert_to_ggml(tiny_whisper, tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())
