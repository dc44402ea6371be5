"""Runs of one corpus' recipe with a tiny random model, from a copy of egs/ outside the repository."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
# Two training steps of a random model, so the tolerance of the export is large.
_OPTIONS = ("--tag", "tiny", "--nj", "1", "--ngpu", "0", "--audio", "none", "--tolerance", "1000", "--train-args",
            "model.lora.r=2 model.model_train_argv.max_steps=2 model.model_train_argv.eval_steps=2 "
            "model.model_train_argv.use_cpu=true predict.max_frames=1000")


def load_script(corpus: str, name: str) -> ModuleType:
    """The module egs/CORPUS/local/NAME.py; no two corpora may have scripts of the same name."""
    directory = str(ROOT / "egs" / corpus / "local")
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return importlib.import_module(name)


def recipe_copy(directory: Path, corpus: str) -> Path:
    """DIRECTORY/egs/CORPUS, links to the repository's files where outputs do not dirty it; returns that path."""
    egs = directory / "egs" / corpus
    egs.mkdir(parents=True)
    for source, target in ((ROOT, directory), (ROOT / "egs" / corpus, egs)):
        for path in source.iterdir():
            if path.name not in (".git", "egs", "data", "dump", "exp", "download"):
                (target / path.name).symlink_to(path)
    return egs


def start_corpus(egs: Path, model: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """The run.sh of ``egs``, which ``recipe_copy`` made, called from another directory as users may."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        environment.pop(name, None)
    return subprocess.Popen([egs / "run.sh", "--model", model, *_OPTIONS, *arguments], cwd=egs.parent, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                            start_new_session=True)


def run_corpus(egs: Path, model: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``start_corpus`` until it ends."""
    with start_corpus(egs, model, *arguments) as process:
        stdout, stderr = process.communicate(timeout=1800)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
