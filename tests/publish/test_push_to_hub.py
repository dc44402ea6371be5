"""pyscripts/push_to_hub.py with a hub on this machine: the files sent to each repository; the token is not printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import serve_hub

from utils import ROOT

TOKEN = "hf_notARealTokenButSecret"
FILES = {
    "": ("adapter_config.json", "adapter_model.safetensors"),
    "merged": ("config.json", "model.safetensors", "tokenizer.json"),
    "ct2_int8": ("model.bin", "config.json", "vocabulary.json", "tokenizer.json", "preprocessor_config.json"),
}
REPOS = {"": "me/demo-lora", "merged": "me/demo", "ct2_int8": "me/demo-ct2-int8"}


@pytest.fixture
def exp_dir(tmp_path: Path) -> Path:
    """An experiment's files; nothing looks into them but into the cards."""
    directory = tmp_path / "my exp" / "demo"
    for name, files in FILES.items():
        (directory / name).mkdir(parents=True, exist_ok=True)
        for file in files:
            (directory / name / file).write_text(f"{name}/{file}")
        card = f'---\ntags:\n- whisper\n---\n\n```python\nload("{REPOS[name]}")\n```\n'
        (directory / name / "README.md").write_text(card)
    (directory / "checkpoint-1").mkdir()
    for private in ("config.yaml", "train_summary.json", "checkpoint-1/optimizer.pt", "training_args.bin"):
        (directory / private).write_text("of no use to others")
    return directory


def push(exp_dir: Path, url: str, *arguments: str, token: str | None = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items()
                   if not name.lower().endswith("_proxy") and name not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(exp_dir.parent / "hf"), "HF_HUB_DISABLE_XET": "1"}
    if token:
        environment["HF_TOKEN"] = token
    return subprocess.run([sys.executable, ROOT / "pyscripts/push_to_hub.py", *arguments, "me/demo", exp_dir],
                          env=environment, capture_output=True, text=True, timeout=300)


def test_by_default_nothing_is_sent(exp_dir: Path) -> None:
    with serve_hub() as hub:
        done = push(exp_dir, hub.url, token=None)
        assert done.returncode == 0, done.stderr
        assert not hub.tokens and not hub.repos
    for directory, repo in REPOS.items():
        assert f"{repo}: {len(FILES[directory]) + 1} files, " in done.stdout
    assert "ct2_int8/model.bin" in done.stdout and "nothing was sent; --dry-run false sends it" in done.stderr
    assert "checkpoint" not in done.stdout and "config.yaml" not in done.stdout


def test_everything_arrives_in_private_repositories(exp_dir: Path) -> None:
    with serve_hub() as hub:
        done = push(exp_dir, hub.url, "--dry-run", "false")
    assert done.returncode == 0, done.stderr
    assert {f"me/{name.rpartition('/')[2]}" for name in hub.repos} == set(REPOS.values())
    assert all(request["visibility"] == "private" for request in hub.repos.values())
    for directory, repo in REPOS.items():
        sent = hub.files[repo]
        assert sent.keys() == {*FILES[directory], "README.md"}
        assert all(content == (exp_dir / directory / name).read_bytes() for name, content in sent.items())
        assert f"sent: {hub.url}/{repo}/commit/1" in done.stderr
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.stdout + done.stderr


def test_without_a_token_or_welcome_it_is_one_line(exp_dir: Path) -> None:
    with serve_hub() as hub:
        unknown = push(exp_dir, hub.url, "--dry-run", "false", token=None)
        hub.refuse = 403
        refused = push(exp_dir, hub.url, "--dry-run", "false")
    assert unknown.returncode == refused.returncode == 1
    assert unknown.stderr.strip().endswith("set HF_TOKEN, or log in once with: hf auth login")
    assert "push_to_hub.py: error: me/demo-lora: " in refused.stderr and "0 of 3 repositories are" in refused.stderr
    for done in (unknown, refused):
        assert "Traceback" not in done.stderr and TOKEN not in done.stdout + done.stderr
