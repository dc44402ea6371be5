"""Secrets appear in no log, no message and no report."""

from __future__ import annotations

import io

import pytest

from utils.cli import log, run_main
from utils.errors import UserError
from utils.jobs.job_log import write_header
from utils.masking import mask_secrets
from utils.provenance import provenance
from utils.train.arguments import training_arguments

SECRET = "Xq7-vB2.longsecret"


@pytest.mark.parametrize("text", [
    "./run.sh --download-args --url=https://host/12?token={}&x=1",
    "https://user:{}@host/path: cannot be reached",
    "https://{}@host/path", "https://host/a?x=1&X-Amz-Signature={}#end", "download --api-key {} fr",
    "--hub-token={}", "HF_TOKEN={} ./run.sh", "MY_API_KEY='{}'", "--api-key 'two {} words' fr",
    "Authorization: Bearer {}", "password={};x",
])
def test_what_is_named_a_secret_is_masked(text: str) -> None:
    masked = mask_secrets(text.format(SECRET))
    assert SECRET not in masked and "***" in masked


def test_tokens_are_known_by_their_beginnings_and_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mask_secrets("as hf_abcdefghij1234567 and sk-abcdefghij1234567") == "as *** and ***"
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("OTHER_TOKEN", "true")  # too short to be one
    assert mask_secrets(f"<{SECRET}> true") == "<***> true"


@pytest.mark.parametrize("text", [
    "./run.sh --tag r8 --train-args 'model.lora.r=8 model.model_train_argv.seed=1'",
    "data/train/text:3: text of u1|fr|translate has 500 tokens, Whisper has room for 443",
    "--tokenizer download/whisper-base", "https://host:80/a?languages=fr&split=train", "the token <|yue|>", "",
])
def test_everything_else_stays(text: str) -> None:
    assert mask_secrets(text) == text


def test_logs_errors_and_reports_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"https://me:{SECRET}@host/x"

    def main() -> None:
        log(f"fetching {address}")
        raise UserError(f"{address}: the server answers 404")

    with pytest.raises(SystemExit):
        run_main(main)
    header = io.BytesIO()
    write_header(header, ["fetch.py", "--url", address])
    said = capsys.readouterr().err + header.getvalue().decode() + provenance(f"./run.sh --url {address}")["command"]
    assert SECRET not in said and said.count("https://***@host/x") == 4


def test_a_secret_in_the_configuration_is_refused() -> None:
    """Otherwise the secret would be written to config.yaml beside the results."""
    with pytest.raises(UserError, match="HF_TOKEN in the environment") as refused:
        training_arguments({"out_model_path": "x", "hub_token": SECRET}, has_dev_set=False)
    assert SECRET not in str(refused.value)
