"""The comparison in stage 5 of an export with the tuned model that it was made from, by tokens and by scores."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.data.lists import read_list
from utils.decode.decode_directory import read_decode_info
from utils.errors import UserError
from utils.filesystem import read_json, write_json
from utils.score.bootstrap import PairedTest
from utils.score.comparison import MAIN_METRICS, SIGNIFICANT, compare_with, main_form, read_decode
from utils.score.forms import form_of, leading_form
from utils.score.metrics import METRICS

if TYPE_CHECKING:
    from transformers import WhisperTokenizer

PARITY_JSON = "parity.json"  # in an export's decode directory
SHOWN_DIFFERENCES = 3


@dataclass
class Difference:
    """A hypothesis that differs from the tuned model's, and the first token that differs."""

    key: str
    tuned: str
    exported: str
    position: int  # of the first token that differs
    tokens: list[str]  # the tuned model's token there, and the export's; "" is the end
    probabilities: list[float] | None = None  # of these two, by the tuned model
    cause: str = ""


@dataclass
class Parity:
    """The comparison of an export with the tuned model on one set; parity.json has it as JSON."""

    set: str
    tuned: str  # names of the systems
    exported: str
    quantization: str  # the type of the export
    compute_type: str  # the type that the machine computed in
    size_mb: float
    speed: float  # seconds of audio for each second of decoding
    memory_mb: float | None
    tuned_size_mb: float | None
    tuned_speed: float
    tuned_memory_mb: float | None
    figures: list[tuple[str, str, float, float]]  # metric, language, tuned, exported; of the leading form
    n_hypotheses: int
    n_same: int
    n_tokens: int  # the tuned model's
    n_wrong_tokens: int  # edit distance to the export's tokens
    differences: list[Difference] = field(default_factory=list)
    tuned_backend: str = field(kw_only=True, default="–")  # the library that decoded with the tuned model
    p_values: dict[str, float] = field(kw_only=True)  # of each metric's difference over all languages
    visible_losses: dict[str, float] = field(kw_only=True, default_factory=dict)  # the smallest the set could show

    @property
    def same_tokens(self) -> float:
        """The percentage of the tuned model's tokens that the export writes, too."""
        return 100 * (1 - self.n_wrong_tokens / max(self.n_tokens, 1))

    @property
    def fallback(self) -> str:
        """The type that the machine computed in because it lacks the export's type; empty if it has that type."""
        asked, taken = self.quantization, self.compute_type
        if asked == "int8":  # the weights have 8 bits; the type of activations depends on the device
            return "" if taken.startswith("int8") else taken
        return "" if taken == asked else taken

    def spread(self, count: int) -> list[Difference]:
        """``count`` differences at even distances in the list, so that every language and task has some."""
        total = len(self.differences)
        if count >= total:
            return self.differences
        return [self.differences[index * total // count] for index in range(count)]

    def examples(self) -> list[Difference]:
        """The first few differences: examined ones, if any were examined."""
        examined = [difference for difference in self.differences if difference.cause]
        return (examined or self.differences)[:SHOWN_DIFFERENCES]

    def lost(self, tolerance: float) -> list[str]:
        """The scores over all languages that are worse by more than ``tolerance`` points, and significantly so.

        Each is judged by itself, unlike the verdicts of reports: a correction for many tests would let losses pass.
        """
        return [line for line, p_value in self._losses(tolerance) if p_value < SIGNIFICANT]

    def undecided(self, tolerance: float) -> list[str]:
        """Sentences on scores that are worse by more than ``tolerance`` points, but not significantly."""
        return [f"(?) {self.exported} on {self.set}: {line} is worse by more than {tolerance}, but not significantly: "
                "the set is too small to tell" for line, p_value in self._losses(tolerance) if p_value >= SIGNIFICANT]

    def limits(self, tolerance: float = math.inf) -> str:
        """A sentence on the smallest losses that this set could have shown; empty where nothing differs.

        Args:
            tolerance: points; a loss of as much that could hide is pointed out.
        """
        seen = {metric.upper(): loss for metric, loss in self.visible_losses.items() if loss > 0}
        if not seen:
            return ""
        hidden = [metric for metric, loss in seen.items() if loss > tolerance]
        smallest = ", ".join(f"{metric} {loss:.2f}" for metric, loss in seen.items())
        return (f"{self.exported} on {self.set}: losses below {smallest} do not show on this set"
                + (f"; {' and '.join(hidden)} may have lost {tolerance} unseen" if hidden else ""))

    def _losses(self, tolerance: float) -> list[tuple[str, float]]:
        losses = []
        for metric, language, before, after in self.figures:
            if language == "all" and _loss(metric, before, after) > tolerance:
                p_value = self.p_values[metric]
                losses.append((f"{metric.upper()} {before:.2f} -> {after:.2f} (p = {p_value:.3f})", p_value))
        return losses


def _loss(metric: str, before: float, after: float) -> float:
    return before - after if METRICS[metric].higher_is_better else after - before


def compare_export(tuned: Path, exported: Path, merged_dir: Path | None = None) -> Parity:
    """Compare two scored decode directories of one set.

    Args:
        tuned, exported: decode directories with scores.json; the export's decode.json names its model directory.
        merged_dir: the whole tuned model, whose size is reported, and whose tokenizer splits the texts into tokens;
            None: the export's does.

    Raises:
        UserError: the two are of different sets, were scored differently, or a file is missing.
    """
    from utils.data.tokenizer import load_tokenizer

    before, after = _figures(tuned), _figures(exported)
    texts = [read_list(path / "text", allow_empty=True) for path in (tuned, exported)]
    if before.keys() != after.keys() or texts[0].keys() != texts[1].keys():
        raise UserError(f"{tuned} and {exported} differ in utterances, languages or metrics; decode and "
                        "score both again")
    infos = [read_decode_info(path) for path in (tuned, exported)]
    model_dir = model_of(exported)
    tests = _tests(tuned, exported)
    found = _compare_tokens(load_tokenizer(merged_dir or model_dir), *texts)
    speeds = [info["audio_seconds"] / max(info["seconds"], 1e-9) for info in infos]
    return Parity(
        infos[1]["set"], infos[0]["system"], infos[1]["system"], infos[1]["system"].removeprefix("ct2-"),
        infos[1].get("compute_type", ""), _size_mb(model_dir), round(speeds[1], 2), _memory_mb(infos[1]),
        _size_mb(merged_dir) if merged_dir else None, round(speeds[0], 2), _memory_mb(infos[0]),
        [(metric, language, value, after[metric, language]) for (metric, language), value in sorted(before.items())],
        *found, tuned_backend=infos[0].get("backend", "–"),
        p_values={metric: test.p_value for metric, test in tests.items()},
        visible_losses={metric: test.clear_from(SIGNIFICANT) for metric, test in tests.items()})


def _tests(tuned: Path, exported: Path) -> dict[str, PairedTest]:
    """The p-value of each main metric's difference over all languages, by the paired bootstrap."""
    baseline, system = read_decode(tuned), read_decode(exported)
    rows = [row for row in system.rows if row["language"] == "all" and row["metric"] in MAIN_METRICS
            and form_of(row) == main_form([system])]
    return {comparison.system["metric"]: comparison.test for comparison in compare_with(baseline, system, rows)}


def model_of(exported: Path) -> Path:
    """The directory of the export that wrote the hypotheses.

    Raises:
        UserError: the directory has no model.
    """
    directory = Path(read_decode_info(exported).get("model", ""))
    if not directory.is_dir() or not any(directory.iterdir()):
        raise UserError(f"{exported}/decode.json: no exported model in {directory}; decode again with it")
    return directory


def _figures(directory: Path) -> dict[tuple[str, str], float]:
    rows = read_json(directory / "scores.json", "Score first: pyscripts/score.py")
    return {(row["metric"], row["language"]): row["value"] for row in rows
            if row["metric"] in MAIN_METRICS and form_of(row) == leading_form(rows)}


def _memory_mb(info: dict[str, Any]) -> float | None:
    """The peak memory of decoding, without the libraries loaded before it; None in older directories."""
    if "peak_memory_mb" not in info:
        return None
    return round(info["peak_memory_mb"] - info["memory_before_mb"], 1)


def _size_mb(directory: Path) -> float:
    return round(sum(path.stat().st_size for path in directory.iterdir() if path.is_file()) / 1e6, 1)


def _compare_tokens(tokenizer: WhisperTokenizer, tuned: dict[str, str],
                    exported: dict[str, str]) -> tuple[int, int, int, int, list[Difference]]:
    from rapidfuzz.distance import Levenshtein

    from utils.data.prompts import text_ids

    n_tokens = n_wrong = 0
    differences = []
    for key, text in tuned.items():
        ours, theirs = (text_ids(tokenizer, key, side) if side else [] for side in (text, exported[key]))
        n_tokens += len(ours)
        if text == exported[key]:
            continue
        n_wrong += Levenshtein.distance(ours, theirs)
        position = next((index for index, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
                        min(len(ours), len(theirs)))
        tokens = [tokenizer.decode(ids[position:position + 1]) for ids in (ours, theirs)]
        differences.append(Difference(key, text, exported[key], position, tokens))
    return len(tuned), len(tuned) - len(differences), n_tokens, n_wrong, differences


def write_parity(parity: Parity, exported: Path) -> None:
    """Write parity.json; of the differences it has those that were examined, or a few examples."""
    known = [difference for difference in parity.differences if difference.cause] or parity.examples()
    write_json(exported / PARITY_JSON, {**asdict(parity), "differences": [asdict(difference) for difference in known]})


def read_parity(exported: Path) -> Parity | None:
    """The comparison that :func:`write_parity` wrote; None if that export was not compared."""
    path = exported / PARITY_JSON
    if not path.exists():
        return None
    remedy = "Compare again: pyscripts/check_export.py"
    values: dict[str, Any] = read_json(path, remedy)
    try:
        return Parity(**{**values, "differences": [Difference(**difference) for difference in values["differences"]]})
    except (TypeError, KeyError):
        raise UserError(f"{path}: was written by another version. {remedy}") from None
