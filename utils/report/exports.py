"""The part of reports on an experiment's exports: the table of exports, causes of differences, word times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from utils.export.parity import Parity, read_parity
from utils.filesystem import read_json
from utils.report.sentences import by_set
from utils.score.comparison import Decode

if TYPE_CHECKING:
    pass

WORD_TIMES = "word_times.json"  # in the experiment's directory
EXPLANATION = """\
Size of the directory; speed and memory of decoding (RAM without that of the libraries); scores on normalised text, in
brackets the change by the export; shares of hypotheses and tokens that equal the tuned model's."""


def records_by_set(decodes: Sequence[Decode]) -> list[tuple[str, list[Parity]]]:
    """The comparisons by pyscripts/check_export.py, set by set; sets without any are left out."""
    found = [(name, [record for decode in systems if decode.is_exported and (record := read_parity(decode.directory))])
             for name, systems in by_set(decodes)]
    return [(name, records) for name, records in found if records]


def export_notes(records: Sequence[Parity]) -> list[str]:
    """The sentences below a set's table: types that this machine lacks, losses too small to show, differences."""
    examples = [lines[0] for record in records if (lines := difference_lines(record))]
    return [*fallback_notes(records), *limit_notes(records), *examples]


def word_times_sentence(exp_dir: Path) -> str:
    """The result of pyscripts/check_word_times.py as a sentence; empty if it was not run."""
    path = exp_dir / WORD_TIMES
    return read_json(path, "Measure again: pyscripts/check_word_times.py")["sentence"] if path.exists() else ""


def export_sections(decodes: Sequence[Decode]) -> list[str]:
    """The paragraphs of RESULTS.md on exports; none if none was compared."""
    parts = []
    for name, records in records_by_set(decodes):
        examples = [line for record in records for line in difference_lines(record)]
        parts += [f"### {name}: exports and the tuned model", parity_table(records), *fallback_notes(records),
                  *limit_notes(records)]
        parts += ["\n".join(["```text", *examples, "```"])] if examples else []
    if sentence := word_times_sentence(decodes[0].directory.parent):
        parts.append(sentence)
    return ["## Exports", EXPLANATION, *parts] if parts else []


def screen_lines(decodes: Sequence[Decode]) -> list[str]:
    """The lines on exports that are printed; they say what RESULTS.md says."""
    lines = []
    for name, records in records_by_set(decodes):
        lines += ["", f"{name}: exports and the tuned model", "", *parity_table(records).splitlines(), "",
                  *fallback_notes(records), *limit_notes(records),
                  *(line for record in records for line in difference_lines(record))]
    return [*lines, *filter(None, [word_times_sentence(decodes[0].directory.parent)])]


def export_tables(decodes: Sequence[Decode]) -> list[tuple[str, list[list[str]], list[str]]]:
    """The tables for report.html: for each set its name, its header and rows, and the notes below."""
    return [(name, parity_rows(records), export_notes(records)) for name, records in records_by_set(decodes)]


def parity_table(records: Sequence[Parity]) -> str:
    """:func:`parity_rows` as a Markdown table."""
    header, *rows = parity_rows(records)
    align = ["left", "left"] + ["right"] * (len(header) - 2)
    return tabulate(rows, header, tablefmt="pipe", colalign=align, disable_numparse=True)


def parity_rows(records: Sequence[Parity]) -> list[list[str]]:
    """The exports on one set beside the tuned model: size, speed, memory, scores, shares of equal output.

    Returns:
        The names of the columns, then a row for each system.
    """
    first = records[0]
    figures = [(metric, language) for metric, language, *_ in first.figures if language == "all"]
    header = ["system", "runs as", "MB", "audio s per s", "RAM MB", *(metric.upper() for metric, _ in figures),
              "same hypotheses", "same tokens"]
    before = {(metric, language): value for metric, language, value, _ in first.figures}
    rows = [[first.tuned, first.tuned_backend, _number(first.tuned_size_mb), f"{first.tuned_speed:.1f}",
             _number(first.tuned_memory_mb), *(f"{before[shown]:.2f}" for shown in figures), "–", "–"]]
    for record in records:
        after = {(metric, language): (value, value - old) for metric, language, old, value in record.figures}
        rows.append([record.exported, record.compute_type + (" (!)" if record.fallback else ""),
                     _number(record.size_mb), f"{record.speed:.1f}", _number(record.memory_mb),
                     *("{:.2f} ({:+.2f})".format(*after[figure]) for figure in figures),
                     f"{100 * record.n_same / max(record.n_hypotheses, 1):.1f} %", f"{record.same_tokens:.1f} %"])
    return [header, *rows]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def fallback_notes(records: Sequence[Parity]) -> list[str]:
    """A sentence for every export whose type this machine cannot compute in."""
    return [f"(!) {record.exported} was written and checked as files, but the machine that decoded has no "
            f"{record.quantization}: speed, memory and figures are those of {record.fallback}" for record in records
            if record.fallback]


def limit_notes(records: Sequence[Parity]) -> list[str]:
    """A sentence for every export on the smallest losses that the set could have shown."""
    return [limits for record in records if (limits := record.limits())]


def difference_lines(parity: Parity) -> list[str]:
    """The number of hypotheses that differ and their causes, then a few examples with the place of the difference."""
    if not parity.differences:
        return []
    n_different = parity.n_hypotheses - parity.n_same
    causes: dict[str, int] = {}
    for difference in parity.differences:
        if difference.cause:
            causes[difference.cause] = causes.get(difference.cause, 0) + 1
    counted = "; ".join(f"{count} x {cause}" for cause, count in sorted(causes.items()))
    lines = [f"{parity.exported} on {parity.set}: {n_different} of {parity.n_hypotheses} hypotheses differ"
             + (f"; {sum(causes.values())} examined: {counted}" if counted else "")]
    for difference in parity.examples():
        tokens = " / ".join(repr(token) if token else "the end" for token in difference.tokens)
        where = f"token {difference.position}: {tokens}"
        if difference.probabilities:
            where += ", probabilities by the tuned model {:.2f} / {:.2f}".format(*difference.probabilities)
        lines += [f"  {difference.key}: {where}{': ' + difference.cause if difference.cause else ''}",
                  f"    {parity.tuned}: {difference.tuned}", f"    {parity.exported}: {difference.exported}"]
    return lines
