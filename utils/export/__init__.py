"""Stage 5: merge, convert, compare, word times. The names below are those that the parent project imports from here."""

from utils.export.convert import convert, convert_finetuning_peft_model_into_whisper, merge

__all__ = ["convert", "convert_finetuning_peft_model_into_whisper", "merge"]
