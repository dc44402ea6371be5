"""The scores of several experiments in one table."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from utils.decode.decode_directory import is_greedy_search
from utils.errors import UserError
from utils.report.results_md import markdown_table, score_cell
from utils.report.sentences import TITLES
from utils.score.comparison import SHOWN_METRICS, Row, is_export, read_rows
from utils.score.forms import RAW, TITLES_OF_FORMS, form_of, leading_form

METRICS = (*SHOWN_METRICS, "chrf")
_IN_WORDS = {"base": "base model", "lora": "tuned"}  # systems; exports keep their names
MACHINE_MADE = " (machine-made references)"


def find_experiments(root: Path) -> list[Path]:
    """Every exp/TAG with a results.json under ``root``: first those of the default corpus, then those of egs/*."""
    patterns = ("exp/*/results.json", "egs/*/exp/*/results.json")
    return [path.parent for pattern in patterns for path in sorted(root.glob(pattern))]


def read_results(exp_dirs: Sequence[Path], root: Path) -> dict[str, list[Row]]:
    """The rows of each experiment's results.json by the experiment's name: its path, relative to ``root`` if below it.

    Raises:
        UserError: a results.json is missing or damaged, or an experiment is given twice.
    """
    found: dict[str, list[Row]] = {}
    for directory in exp_dirs:
        rows = read_rows(directory / "results.json", "Make it again: pyscripts/make_report.py")
        place = directory.resolve()
        name = str(place.relative_to(root.resolve())) if place.is_relative_to(root.resolve()) else str(directory)
        if name in found:
            raise UserError(f"{directory}: named twice")
        found[name] = [row for row in rows if "subset" not in row]
    return found


def rules_version(rows: Sequence[Row]) -> str:
    """The version of the normaliser's rules that an experiment was scored with; several are joined by commas.

    Empty for one that was scored on raw text only.
    """
    signatures = [row["signature"] or "" for row in rows if form_of(row) != RAW]
    found = {match[1] if (match := re.search(r"rules:(\w+)", signature)) else "1" for signature in signatures}
    return ", ".join(sorted(found))


def joined_table(results: dict[str, list[Row]], metrics: Collection[str], form: str = "") -> str:
    """A Markdown table with a line for each set, metric, language and experiment, and a column for each system.

    Scores that can be compared are in neighbouring lines. Experiments name the form of their texts and the version of
    their normaliser's rules where these differ.

    Args:
        form: of the texts; empty: the leading one of each experiment.

    Raises:
        UserError: there is no such score.
    """
    lines: dict[tuple, dict[str, Row]] = {}
    versions = {name: rules_version(rows) for name, rows in results.items()}
    shown = {name: form or leading_form(rows) for name, rows in results.items()}
    for experiment, rows in results.items():
        name = experiment
        if len({*shown.values()}) > 1:
            name += f" ({TITLES_OF_FORMS[shown[experiment]]})"
        if len({*versions.values()} - {""}) > 1:
            name += f" (rules {versions[experiment]})" if versions[experiment] else ""
        for row in rows:
            if row["metric"] in metrics and form_of(row) == shown[experiment]:
                set_name = row["set"] + MACHINE_MADE * row.get("machine_made_references", False)
                kind = (set_name, METRICS.index(row["metric"]), row["language"] == "all", row["language"], name)
                lines.setdefault(kind, {})[row["system"]] = row
    if not lines:
        raise UserError("these experiments have no such scores")
    named = list(dict.fromkeys(system for by_system in lines.values() for system in by_system))
    systems = sorted(named, key=lambda system: (system != "base", is_export(system), system))
    body = [[set_name, TITLES[METRICS[metric]], language, name, str(max(row["n_utts"] for row in of.values())),
             *(score_cell(of.get(system)) for system in systems)]
            for (set_name, metric, _, language, name), of in sorted(lines.items())]
    return markdown_table(["set", "metric", "language", "experiment", "utts", *systems], body, left=4)


def pasted_rows(results: dict[str, list[Row]], metrics: Collection[str], form: str = "") -> str:
    """A Markdown table with a line for each experiment and system, to paste into a corpus' RESULTS.md.

    Its columns are set, language and metric; what all of them have in common is left out of their names. Greedy search
    is left out where beam search leads, and so are recordings.

    Args:
        form: of the texts; empty: the leading one of each experiment.

    Raises:
        UserError: there is no such score.
    """
    cells: dict[str, dict[tuple[str, str, str], str]] = {}
    for experiment, rows in results.items():
        shown = form or leading_form(rows)
        for row in rows:
            counts = "runtime" not in row and not is_greedy_search(row["system"])
            if row["metric"] in metrics and form_of(row) == shown and counts:
                line = cells.setdefault(f"{experiment}, {_IN_WORDS.get(row['system'], row['system'])}", {})
                line[row["set"], row["language"], row["metric"]] = f"{row['value']:.1f}"
    columns = sorted({column for line in cells.values() for column in line},
                     key=lambda column: (column[0], column[1] == "all", column[1], METRICS.index(column[2])))
    if not columns:
        raise UserError("these experiments have no such scores")
    several_sets = len({set_name for set_name, _, _ in columns}) > 1
    header = ["", *(f"{set_name} " * several_sets + f"{language} {TITLES[metric]}"
                    for set_name, language, metric in columns)]
    return markdown_table(header, [[name, *(line.get(column, "") for column in columns)]
                                   for name, line in cells.items()])


def joined_json(results: dict[str, list[Row]]) -> str:
    """All rows with their ``experiment``, as a JSON list."""
    rows = [{"experiment": name, **row} for name, of in results.items() for row in of]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
