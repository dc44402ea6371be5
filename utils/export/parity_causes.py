"""The cause of each difference between an export's hypothesis and the tuned model's, found at its first token."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperTokenizer
from transformers.modeling_outputs import BaseModelOutput

from utils.cli import log
from utils.config import Lists
from utils.data.prompts import prompt_ids, text_ids
from utils.data.tokenizer import load_tokenizer
from utils.decode.batches import Batch, decode_set, plan_batches
from utils.decode.ct2_decoder import Ct2Decoder
from utils.decode.decode_directory import read_decode_info
from utils.export import convert
from utils.export.parity import Difference
from utils.features.feature_set import Utterance, open_set, stack_feats
from utils.features.log_mel import LogMel
from utils.model.checkpoints import load_base_model
from utils.model.modeling import MultitaskWhisper

QUANTIZATION = "quantization (the float32 export agrees with the tuned model)"
NEAR_TIE = "quantization at a near tie (the float32 export agrees; to the tuned model both tokens are about as likely)"
PADDING = "padding (in the tuned model's batches the float32 export agrees)"
ROUNDING = "rounding at a near tie (the float32 export differs, too)"
BF16 = "precision (the tuned model was encoded in bf16)"
SEARCH = "the search (a hypothesis that looped and was decoded again, or beams that end differently)"
CONVERSION = "NOT EXPLAINED: the float32 export differs at a clear choice: look at ids, settings and weights"
_NEAR_TIE = math.log(2)  # nats: the less probable token is at least half as probable


def examine(differences: Sequence[Difference], merged_dir: Path, lists: Lists, tuned: Path, exported: Path) -> None:
    """Fill in ``probabilities`` and ``cause`` of some differences.

    A float32 export decodes these utterances twice: padded as in the export's batches, and as in the tuned model's. The
    tuned model gives the probabilities of both tokens at the first place where the hypotheses differ.

    Args:
        differences: are changed in place.
        merged_dir: the whole tuned model.
        lists: features (or audio) of the set.
        tuned, exported: decode directories; decode.json has the settings of batches and search.

    Raises:
        UserError: a file is missing.
    """
    tokenizer = load_tokenizer(merged_dir)
    utterances, read_feats = open_set(lists, "the set", LogMel(merged_dir))
    infos = [read_decode_info(directory) for directory in (tuned, exported)]
    plans = [_batches_of(utterances, {difference.key for difference in differences}, info) for info in infos]
    log(f"finding the causes of {len(differences)} differences with a float32 export")
    with tempfile.TemporaryDirectory(prefix=".float32.", dir=merged_dir.parent) as temporary:
        convert(merged_dir, Path(temporary) / "ct2", "float32")
        decoder = Ct2Decoder(Path(temporary) / "ct2", tokenizer, beam_size=infos[0].get("beam_size", 1))
        as_tuned, as_exported = (decode_set(decoder, read_feats, batches)[0] for batches in plans)
    model = load_base_model(merged_dir).eval()
    places = {key: (utterance.source, batch.num_frames)
              for batch in plans[0] for utterance in batch.utterances for key in utterance.keys}
    for difference in differences:
        if difference.key not in places:
            continue
        source, num_frames = places[difference.key]
        ours, theirs = _log_probabilities(model, tokenizer, difference, read_feats(source), num_frames)
        difference.probabilities = [round(math.exp(ours), 4), round(math.exp(theirs), 4)]
        agrees, agrees_as_tuned = (texts[difference.key] == difference.tuned for texts in (as_exported, as_tuned))
        difference.cause = cause(agrees, agrees_as_tuned, ours - theirs, decoder.beam_size,
                                 "bf16" in infos[0].get("compute_type", ""))


def _batches_of(utterances: Sequence[Utterance], keys: set[str], info: Mapping[str, Any]) -> list[Batch]:
    """Batches of the utterances with one of ``keys`` only, padded as in the full batches: padding changes results."""
    plan = plan_batches(utterances, info.get("max_frames", 24_000), info.get("window", "short"),
                        info.get("tail_frames", 0))
    return [Batch(chosen, batch.num_frames) for batch in plan
            if (chosen := [utterance for utterance in batch.utterances if not keys.isdisjoint(utterance.keys)])]


def cause(agrees: bool, agrees_in_tuned_batches: bool, margin: float, beam_size: int, in_bf16: bool = False) -> str:
    """The cause of a difference, one of the constants above.

    Args:
        agrees: the float32 export, padded as the export was, writes what the tuned model writes.
        agrees_in_tuned_batches: it does so if it is padded as the tuned model was.
        margin: log probability of the tuned model's own token minus that of the export's, in nats.
        beam_size: of the search.
        in_bf16: whether the tuned model was encoded in bf16.
    """
    near_tie = abs(margin) < _NEAR_TIE
    if agrees:
        return NEAR_TIE if near_tie else QUANTIZATION
    if agrees_in_tuned_batches:
        return PADDING
    if near_tie:
        return BF16 if in_bf16 else ROUNDING
    if in_bf16 and margin < 0:  # to the tuned model in float32, the export's choice is the better one
        return BF16
    return SEARCH if margin < 0 or beam_size > 1 else CONVERSION


@torch.inference_mode()
def _log_probabilities(model: MultitaskWhisper, tokenizer: WhisperTokenizer, difference: Difference,
                       feats: np.ndarray, num_frames: int) -> tuple[float, float]:
    """The tuned model's log probabilities of its own token and of the export's, after the tokens before them."""
    end = model.config.eos_token_id
    texts = [[*(text_ids(tokenizer, difference.key, text) if text else []), end]
             for text in (difference.tuned, difference.exported)]
    prefix = prompt_ids(tokenizer, difference.key) + texts[0][:difference.position]
    encoded = model.model.encoder(stack_feats([feats], num_frames)).last_hidden_state
    logits = model(encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                   decoder_input_ids=torch.tensor([prefix])).logits[0, -1]
    settings = model.generation_config
    for ids in (settings.suppress_tokens, settings.begin_suppress_tokens if not difference.position else None):
        logits[ids or []] = -torch.inf
    scores = logits.log_softmax(dim=-1)
    return float(scores[texts[0][difference.position]]), float(scores[texts[1][difference.position]])
