"""The base model from a directory, from a hub on this machine, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_whisper import make_tokenizer

from utils import ROOT
from utils.download.base_model import get_base_model, missing_files
from utils.errors import UserError

TOKENIZER = make_tokenizer()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_checkpoint(directory: Path, **generation: object) -> Path:
    """The files of a Hugging Face checkpoint; the weights are never looked at here."""
    directory.mkdir(parents=True)
    configs = {
        "config.json": {"model_type": "whisper", "vocab_size": 51865,
                        "encoder_layers": 6, "decoder_layers": 6},
        "generation_config.json": {"is_multilingual": True} | generation,
        "preprocessor_config.json": {"a": 1}}
    for name, content in configs.items():
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    (directory / "model.safetensors").write_bytes(b"weights")
    TOKENIZER.save_pretrained(directory)
    return directory


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "my models" / "whisper")


def test_local_directory_is_linked(checkpoint: Path, tmp_path: Path) -> None:
    for _ in range(2):
        get_base_model(str(checkpoint), tmp_path / "download/base")
    assert (tmp_path / "download/base").resolve() == checkpoint
    assert missing_files(tmp_path / "download/base") == []


def test_target_made_from_another_model_is_not_taken_for_this_one(checkpoint: Path, tmp_path: Path) -> None:
    get_base_model(str(checkpoint), tmp_path / "base")
    other = write_checkpoint(tmp_path / "other")
    with pytest.raises(UserError, match=r"links to .*whisper, not to .*other"):
        get_base_model(str(other), tmp_path / "base")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "preprocessor_config.json",
                                  "model.safetensors", "tokenizer.json"])
def test_incomplete_directory_is_refused(checkpoint: Path, tmp_path: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(UserError, match=f"lacks {name}"):
        get_base_model(str(checkpoint), tmp_path / "base")
    with pytest.raises(UserError, match=f"lacks {name}: complete it, or delete it"):
        get_base_model("openai/whisper-base", checkpoint)
    assert not (tmp_path / "base").is_symlink()


def test_a_directory_of_transformers_5_gets_the_file_that_it_lacks(checkpoint: Path, tmp_path: Path) -> None:
    """transformers 5 saves the feature extractor's settings in processor_config.json only."""
    (checkpoint / "preprocessor_config.json").unlink()
    (checkpoint / "processor_config.json").write_text('{"feature_extractor": {"feature_size": 80}}')
    target = tmp_path / "download/new"
    for _ in range(2):  # the second time, it is complete
        get_base_model(str(checkpoint), target)
    assert (target / "model.safetensors").read_bytes() == b"weights" and missing_files(target) == []
    assert json.loads((target / "preprocessor_config.json").read_text()) == {"feature_size": 80}
    assert not (checkpoint / "preprocessor_config.json").exists()
    (checkpoint / "processor_config.json").write_text('{"processor_class": "WhisperProcessor"}')
    with pytest.raises(UserError, match=r"lacks preprocessor_config\.json"):
        get_base_model(str(checkpoint), tmp_path / "download/other")


def test_sharded_weights_count_as_complete_when_all_shards_are_there(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert missing_files(checkpoint) == ["model-2.safetensors"]
    (checkpoint / "model-2.safetensors").write_bytes(b"")
    assert missing_files(checkpoint) == []


def test_english_only_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"openai/whisper-base\.en: an English-only model"):
        get_base_model("openai/whisper-base.en", tmp_path / "base")
    checkpoint = write_checkpoint(tmp_path / "english", is_multilingual=False)
    with pytest.raises(UserError, match="English-only"):
        get_base_model(str(checkpoint), tmp_path / "base")
    assert not (tmp_path / "base").is_symlink()


def test_turbo_is_warned_about(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    get_base_model(str(checkpoint), tmp_path / "base")
    assert "not trained to translate" not in capsys.readouterr().err
    turbo = write_checkpoint(tmp_path / "turbo")
    config = json.loads((turbo / "config.json").read_text(encoding="utf-8"))
    (turbo / "config.json").write_text(json.dumps(config | {"encoder_layers": 32, "decoder_layers": 4}))
    get_base_model(str(turbo), tmp_path / "base-turbo")
    assert "not trained to translate" in capsys.readouterr().err


def test_directory_that_is_not_there_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such directory"):
        get_base_model(str(tmp_path / "absent"), tmp_path / "base")


def test_weights_that_are_a_pickle_only_are_refused_unread(tmp_path: Path) -> None:
    """Loading a pickle would run code in it."""
    pickled = write_checkpoint(tmp_path / "pickled")
    harm = tmp_path / "harm"
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(b"cos\nmkdir\n(V" + str(harm).encode() + b"\ntR.")
    with pytest.raises(UserError, match=r"lacks model\.safetensors.*pytorch_model\.bin is a pickle"):
        get_base_model(str(pickled), tmp_path / "base")
    assert not harm.exists() and not (tmp_path / "base").exists()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A hub that has me/whisper: its address, the repository's files, and the files that were fetched."""
    repository = write_checkpoint(tmp_path / "repository")
    (repository / "pytorch_model.bin").write_bytes(b"a pickle")
    fetched: list[str] = []

    def oid(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            files = [{"type": "file", "path": path.name, "oid": oid(path.read_bytes()),
                      "size": path.stat().st_size} for path in repository.iterdir()]
            if path.startswith("/api/models/me/whisper/tree/"):
                self.answer(json.dumps(files).encode())
            elif path.startswith("/api/models/me/whisper"):
                siblings = [{"rfilename": file["path"]} for file in files]
                self.answer(json.dumps({"id": "me/whisper", "sha": COMMIT, "siblings": siblings}).encode())
            elif path.startswith(f"/me/whisper/resolve/{COMMIT}/"):
                name = path.rsplit("/", 1)[1]
                if self.command == "GET":
                    fetched.append(name)
                self.answer((repository / name).read_bytes())
            else:
                self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{oid(content)}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", repository, fetched
    server.shutdown()
    thread.join()
    server.server_close()


def run_script(tmp_path: Path, model: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script as a user runs it: the hub's library reads its environment when it is imported."""
    base = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    return subprocess.run(
        [sys.executable, ROOT / "pyscripts/download_model.py", "--model", model, tmp_path / "download/base"],
        env=base | environment, capture_output=True, text=True, check=False, timeout=120)


def test_hub_model_is_fetched_once_and_without_pickles(hub: tuple[str, Path, list[str]],
                                                       tmp_path: Path) -> None:
    url, repository, fetched = hub
    for _ in range(2):
        result = run_script(tmp_path, "me/whisper", HF_ENDPOINT=url)
        assert result.returncode == 0, result.stderr
    assert sorted(fetched) == sorted(path.name for path in repository.iterdir() if path.suffix != ".bin")
    assert (tmp_path / "download/base/model.safetensors").read_bytes() == b"weights"
    assert "MIT" in result.stderr
    shutil.rmtree(tmp_path / "download")
    assert run_script(tmp_path, "me/whisper", HF_HUB_OFFLINE="1").returncode == 0  # from the hub's cache


def test_model_without_safetensors_is_refused(hub: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    url, repository, _ = hub
    (repository / "model.safetensors").unlink()
    result = run_script(tmp_path, "me/whisper", HF_ENDPOINT=url)
    assert result.returncode == 1
    assert "lacks model.safetensors" in result.stderr
    assert list((tmp_path / "download").iterdir()) == []


def test_unknown_and_unreachable_models_say_what_was_tried(hub: tuple[str, Path, list[str]],
                                                           tmp_path: Path) -> None:
    for url in (hub[0], "http://127.0.0.1:9"):
        result = run_script(tmp_path, "me/absent", HF_ENDPOINT=url)
        assert result.returncode == 1
        assert "--model me/absent: not found. Tried:\n  Hugging Face hub: " in result.stderr
        assert "Traceback" not in result.stderr
        assert list((tmp_path / "download").iterdir()) == []


def test_ct2_directory_that_is_damaged_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "ct2"
    source.mkdir()
    for name in ("model.bin", "vocabulary.json", "config.json", "tokenizer.json"):
        (source / name).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.bin"):
        get_base_model(str(source), tmp_path / "download/base")
    assert list((tmp_path / "download").iterdir()) == []
