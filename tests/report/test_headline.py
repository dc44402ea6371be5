"""The result of an experiment in a few sentences."""

from __future__ import annotations

from utils.report.headline import headline
from utils.score.bootstrap import PairedTest
from utils.score.comparison import Comparison


def compared(system: str, metric: str, language: str, difference: float, clear: bool = True,
             set_name: str = "test") -> Comparison:
    baseline = "base" if system == "lora" else "lora"
    rows = [{"system": name, "set": set_name, "metric": metric, "language": language} for name in (system, baseline)]
    test = PairedTest(difference, (difference - 1, difference + 1), 0.001)
    return Comparison(*rows, test=test, p_value=0.001 if clear else 0.5)


def test_gains_losses_and_exports_are_said() -> None:
    found = headline([
        compared("lora", "wer", "fr", -3), compared("lora", "cer", "zh", -2), compared("lora", "wer", "es", -2, False),
        compared("lora", "bleu", "all", 5), compared("lora", "wer", "en", 2),
        compared("ct2-int8", "wer", "all", 0, False), compared("ggml-q5_0", "bleu", "fr", -4),
        compared("lora", "wer", "cs", 9, set_name="other")], ["other"])
    assert found == [
        "The tuned model is clearly better than the base model at transcribing French and Chinese, and translating "
        "over all languages, and clearly worse at transcribing English",
        "Exporting costs nothing that these sets can show (ct2-int8)",
        "ggml-q5_0 is clearly worse than the tuned model at translating French",
        "What tuning made it forget: it is clearly worse at transcribing Czech"]


def test_what_is_not_clear_is_not_claimed() -> None:
    assert headline([compared("lora", "wer", "fr", -1, False), compared("lora", "bleu", "cs", -1, False, "other")],
                    ["other"]) == [
        "Nowhere does the tuned model differ clearly from the base model",
        "On speech that it was not tuned for, nothing is clearly worse than with the base model"]
    assert headline([]) == []
