"""report.html: scores, plots and utterances in one file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from utils.report.exports import EXPLANATION
from utils.report.headline import spoken_name
from utils.report.plots import colours, language_plot, length_plot
from utils.report.recordings import RECORDINGS_NOTE
from utils.report.sentences import (
    MEANINGS,
    TITLES,
    difference,
    plain_words,
    relatives_notes,
    search_notes,
    significance,
    system_name,
    verdict,
)
from utils.report.utterances import ListedUtterance
from utils.score.comparison import (
    MAIN_METRICS,
    SHOWN_METRICS,
    Comparison,
    Decode,
    Row,
    figure,
    main_form,
    shown_rows,
)
from utils.score.forms import FORMS, TITLES_OF_FORMS, form_of
from utils.score.score_files import read_suspects
from utils.score.suspects import KINDS

TEMPLATES = Path(__file__).parent / "templates"


@dataclass
class Cell:
    """A score in a table; ``verdict`` is the comparison with the baseline system, "" if there is none."""

    text: str
    interval: str = ""
    verdict: str = ""
    hint: str = ""


@dataclass
class SetReport:
    """The part of the report on one set."""

    name: str
    is_forget_set: bool
    systems: list[str]
    sentences: list[str]
    notes: list[str]
    table: list[tuple[str, str, int, list[Cell]]]  # metric, language, utterances, a figure per system
    other_tables: list[tuple[str, list[tuple[str, str, int, list[Cell]]]]]  # by form of the texts
    suspects: list[tuple[str, list[int]]]  # kind, number per system
    plots: list[tuple[str, str]]  # description, data: address

    @property
    def glance(self) -> list[tuple[str, int, str, list[Cell], list[Cell]]]:
        """Of each language: utterances, the name of its error rate, the systems' error rates and BLEU."""
        found = []
        for language in dict.fromkeys(row[1] for row in self.table):
            of_language = {metric: (count, cells) for metric, name, count, cells in self.table if name == language}
            rate = next((metric for metric in ("WER", "CER", "MER") if metric in of_language), "")
            count, errors = of_language.get(rate, (0, []))
            translated, bleu = of_language.get("BLEU", (0, []))
            if errors or bleu:
                found.append((language, max(count, translated), rate, errors, bleu))
        return found


@dataclass
class Report:
    """The content of the template."""

    title: str
    headline: Sequence[str]
    facts: Sequence[str]
    findings: Sequence[str]
    losses: Sequence[str]
    sets: Sequence[SetReport]
    loss_plot: str | None
    exports: Sequence[tuple[str, list[list[str]], list[str]]] = ()  # see utils.report.exports.export_tables
    word_times: str = ""
    recordings: Sequence[Sequence[str]] = ()  # see utils.report.recordings
    strength: str = ""
    strength_rows: Sequence[Sequence[str]] = ()  # see utils.report.strength
    utterances: Sequence[ListedUtterance] = ()
    n_utterances: int = 0  # of all sets, listed or not
    audio: Mapping[str, str] = field(default_factory=dict)  # addresses by wav.scp value


def set_report(decodes: Sequence[Decode], comparisons: Sequence[Comparison], forget_sets: Collection[str],
               data_dir: Path | None) -> SetReport:
    """The part of report.html on one set.

    Args:
        decodes: of this set, in order.
        comparisons: of all sets.
        forget_sets: see utils.report.sentences.forgotten.
        data_dir: data/SET with utt2dur, for error rates by length; or None.
    """
    systems = [decode.system for decode in decodes]
    main = main_form(decodes)
    verdicts = {(comparison.system["set"], comparison.system["system"], figure(comparison.system)): comparison
                for comparison in comparisons}
    counts = [Counter(suspect.kind for suspect in read_suspects(decode.directory / "suspects.tsv"))
              for decode in decodes]
    plots = []
    for metric in MAIN_METRICS:
        plots.append((f"{TITLES[metric]} by language", language_plot(decodes, metric)))
        if metric != "bleu" and data_dir:
            plots.append((f"{TITLES[metric]} by length", length_plot(decodes, metric, data_dir / "utt2dur")))
    return SetReport(
        decodes[0].set, decodes[0].set in forget_sets, systems, plain_words(decodes),
        search_notes(decodes) + relatives_notes(decodes), _table(decodes, main, verdicts), _other_tables(decodes, main),
        [(kind, [count[kind] for count in counts]) for kind in KINDS if any(count[kind] for count in counts)],
        [(description, plot) for description, plot in plots if plot])


def _other_tables(decodes: Sequence[Decode], main: str) -> list[tuple[str, list[tuple[str, str, int, list[Cell]]]]]:
    """Tables that are folded: without relatives in training, and of the other forms of the texts."""
    unseen = [replace(decode, rows=decode.unseen.rows) for decode in decodes if decode.unseen]
    tables = [(f"without relatives in training, {TITLES_OF_FORMS[main]}", _table(unseen, main, {}))]
    tables += [(TITLES_OF_FORMS[form], _table(decodes, form, {})) for form in FORMS if form != main]
    return [(title, table) for title, table in tables if table]


def _table(decodes: Sequence[Decode], form: str,
           verdicts: Mapping[tuple[str, str, tuple], Comparison]) -> list[tuple[str, str, int, list[Cell]]]:
    by_figure: dict[tuple[str, str, str], dict[str, Row]] = {}
    for decode in decodes:
        for row in (row for row in decode.rows if form_of(row) == form):
            by_figure.setdefault(figure(row), {})[decode.system] = row
    first = [next(iter(rows.values())) for rows in by_figure.values()]
    return [(TITLES[row["metric"]], row["language"], row["n_utts"],
             [_cell(by_figure[figure(row)].get(decode.system), verdicts) for decode in decodes])
            for row in shown_rows(first, (*SHOWN_METRICS, "chrf"), form)]


def _cell(row: Row | None, verdicts: Mapping[tuple[str, str, tuple], Comparison]) -> Cell:
    if row is None:
        return Cell("–")
    low, high = row["ci95"]
    cell = Cell(f"{row['value']:.1f}", f"{low:.1f} – {high:.1f}")
    if comparison := verdicts.get((row["set"], row["system"], figure(row))):
        unclear = "perhaps worse" if comparison.is_worse else "not clear"
        cell.verdict = verdict(comparison) if comparison.is_clear else unclear
        cell.hint = (f"{difference(comparison)} against {comparison.baseline['system']}, "
                     f"{significance(comparison.p_value)}")
        if not comparison.is_clear:
            cell.hint += f"; less than {comparison.clear_from:.1f} does not show"
    return cell


def render_html(report: Report) -> str:
    """The HTML of a report. Texts from data are escaped, and the security policy allows only the template's script."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    numbers = {source: number for number, source in enumerate(report.audio)}
    systems = list(dict.fromkeys(system for set_report in report.sets for system in set_report.systems))
    context: dict[str, Any] = {
        "report": report, "style": Markup(style), "script": Markup(script), "digest": digest, "kinds": KINDS,
        "export_explanation": EXPLANATION, "recordings_note": RECORDINGS_NOTE,
        "meanings": MEANINGS, "audio_numbers": numbers, "audio_json": _json([*report.audio.values()]),
        "systems": systems, "system_names": {system: system_name(system) for system in systems},
        "colours": colours(systems), "language_names": {
            language: "all languages" if language == "all" else spoken_name(language)
            for set_report in report.sets for _, language, _, _ in set_report.table},
        "languages": sorted({utt.language for utt in report.utterances}),
        "tasks": sorted({utt.task for utt in report.utterances}),
    }
    return environment.get_template("report.html.j2").render(context)


def _json(value: Any) -> Markup:
    """JSON for a <script> element, in which ``<`` is escaped so that no text can end the element."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))
