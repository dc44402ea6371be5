"""What reports say of an experiment's exports: the table of quantizations, reasons of differences, word times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from utils.export.parity import Parity, difference_lines, fallback_notes, parity_rows, parity_table, read_record
from utils.filesystem import read_json
from utils.report.sentences import by_set
from utils.score.comparison import Decode

WORD_TIMES = "word_times.json"  # in the experiment's directory
EXPLANATION = """\
Size of the directory; speed and memory of decoding (RAM beyond that of the libraries); figures on normalised text, and
what the export changed; hypotheses and tokens that are the tuned model's."""


def records_by_set(decodes: Sequence[Decode]) -> list[tuple[str, list[Parity]]]:
    """The comparisons that pyscripts/check_export.py left, set by set; sets without any are left out."""
    found = [(name, [record for decode in systems if decode.is_exported and (record := read_record(decode.directory))])
             for name, systems in by_set(decodes)]
    return [(name, records) for name, records in found if records]


def export_notes(records: Sequence[Parity]) -> list[str]:
    """Sentences below a set's table: types this machine lacks, how many hypotheses differ and why."""
    return fallback_notes(records) + [lines[0] for one in records if (lines := difference_lines(one))]


def word_times_sentence(exp_dir: Path) -> str:
    """What pyscripts/check_word_times.py found; empty if it was not run."""
    path = exp_dir / WORD_TIMES
    return read_json(path, "Measure again: pyscripts/check_word_times.py")["sentence"] if path.exists() else ""


def export_sections(decodes: Sequence[Decode]) -> list[str]:
    """Paragraphs of RESULTS.md; none without a comparison."""
    parts = []
    for name, records in records_by_set(decodes):
        examples = [line for record in records for line in difference_lines(record)]
        parts += [f"### {name}: exports and the tuned model", parity_table(records), *fallback_notes(records)]
        parts += ["\n".join(["```text", *examples, "```"])] if examples else []
    if sentence := word_times_sentence(decodes[0].directory.parent):
        parts.append(sentence)
    return ["## Exports", EXPLANATION, *parts] if parts else []


def screen_lines(decodes: Sequence[Decode]) -> list[str]:
    """What RESULTS.md says, for the screen."""
    lines = []
    for name, records in records_by_set(decodes):
        lines += ["", f"{name}: exports and the tuned model", "", *parity_table(records).splitlines(), "",
                  *fallback_notes(records), *(line for record in records for line in difference_lines(record))]
    return [*lines, *filter(None, [word_times_sentence(decodes[0].directory.parent)])]


def export_tables(decodes: Sequence[Decode]) -> list[tuple[str, list[list[str]], list[str]]]:
    """For report.html: set, header and rows, notes."""
    return [(name, parity_rows(records), export_notes(records)) for name, records in records_by_set(decodes)]
