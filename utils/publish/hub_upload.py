"""Publishing an experiment on the Hugging Face hub: the repositories with their files, and the upload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError
from utils.publish.model_card import parts, read_header

# The files that users of a model need. Checkpoints, optimizer states and lists with local paths stay here.
_WANTED = ("README.md", "adapter_config.json", "adapter_model*.safetensors", "config.json", "generation_config.json",
           "model*.safetensors", "model.safetensors.index.json", "model.bin", "vocabulary.json", "tokenizer.json",
           "tokenizer_config.json", "preprocessor_config.json", "vocab.json", "merges.txt", "added_tokens.json")


@dataclass(frozen=True)
class Upload:
    """A repository and the files to send to it."""

    repo: str
    files: list[Path]

    @property
    def n_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def plan(exp_dir: Path, repo: str) -> list[Upload]:
    """The uploads of an experiment: the adapter, the whole model and every export, each to its own repository.

    Raises:
        UserError: there is neither an adapter nor an export, or a model card is missing or names another repository.
    """
    uploads = []
    for suffix, directory in parts(exp_dir).items():
        name = repo + suffix
        card = directory / "README.md"
        if not read_header(card).get("tags") or f'"{name}"' not in card.read_text(encoding="utf-8"):
            raise UserError(f"{card} does not say how to use {name}. Write it: pyscripts/write_model_cards.py "
                            f"--repo {repo}")
        files = sorted({path for pattern in _WANTED for path in directory.glob(pattern)})
        uploads.append(Upload(name, files))
    if not uploads:
        raise UserError(f"{exp_dir}: neither an adapter nor an export is there. Train and export first: ./run.sh")
    return uploads


def send(uploads: list[Upload], private: bool) -> list[str]:
    """Make the repositories and send the files, one commit for each repository.

    The hub is HF_ENDPOINT if that is set; the token is that of HF_TOKEN or of ``hf auth login``.

    Returns:
        Addresses of the commits.

    Raises:
        UserError: there is no token, or the hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise UserError("no token for the Hugging Face hub: set HF_TOKEN, or log in once with: hf auth login")
    api = HfApi()
    addresses: list[str] = []
    for upload in uploads:
        try:
            api.create_repo(upload.repo, private=private, exist_ok=True)
            operations = [CommitOperationAdd(path.name, path) for path in upload.files]
            commit = api.create_commit(upload.repo, operations, commit_message="Upload by whisper-multitask-recipes")
        except (HfHubHTTPError, OSError, ValueError) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"{upload.repo}: {first} ({len(addresses)} of {len(uploads)} repositories are "
                            "complete; give the same command again)") from None
        addresses.append(commit.commit_url)
    return addresses
