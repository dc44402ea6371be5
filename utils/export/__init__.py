"""Stage 5: merge, convert, compare, word times. The parent project's import is handed on here."""

from utils.export.convert import convert, convert_finetuning_peft_model_into_whisper, merge

__all__ = ["convert", "convert_finetuning_peft_model_into_whisper", "merge"]
