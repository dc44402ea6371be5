"""RESULTS.md: tables of scores with a column for each system, in Markdown that is readable as plain text, too."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

from utils.report.exports import export_sections
from utils.report.headline import headline
from utils.report.recordings import RECORDINGS_NOTE, recording_rows
from utils.report.sentences import (
    TITLES,
    by_set,
    difference,
    findings,
    forgotten,
    relatives_notes,
    search_notes,
    significance,
    verdict,
)
from utils.report.strength import strength_rows, strength_sentence
from utils.score.comparison import (
    MAIN_METRICS,
    SHOWN_METRICS,
    Comparison,
    Decode,
    Row,
    at_their_best,
    figure,
    main_form,
    shown_rows,
)
from utils.score.forms import FORMS, SPOKEN, TITLES_OF_FORMS
from utils.score.score_files import read_suspects
from utils.score.suspects import KINDS

SCREEN_COLUMNS = 100

_NOTE = """\
Per cent; lower WER, CER, MER and TER, higher BLEU and chrF are better. In brackets: 95 % bootstrap intervals,
resampled by utterance, or by speaker where utt2spk names at least 5."""

_SPOKEN_NOTE = """\
Spoken form: numbers in words, and no accents in languages whose references have hardly any. A corpus may write these
in one way only, and copying that is not understanding. The written form, with numbers and accents as they are, is
below."""

_RULES_NOTE = """\
`rules` is the version of the normaliser's rules, followed by those that only some languages have (doc/scoring.md).
Figures of different versions cannot be compared; normalised ones without a version are of version 1."""


_DIFFERENCES_NOTE = """\
Differences with their 95 % bootstrap intervals. The p-values are of paired bootstrap tests, corrected for the {n_tests}
comparisons of this table (Holm): below 0.05 a difference is clear. Differences below `clear from` cannot be told from
chance on this set, so "not clear" does not mean that nothing was lost."""


def plain(text: str) -> str:
    """Text on one line with tags escaped, since names may come from anywhere; code spans are not changed."""
    parts = re.split("(`+)", " ".join(text.splitlines()))
    fence = ""
    for index, part in enumerate(parts):
        if index % 2:
            fence = part if not fence else "" if part == fence else fence
        elif not fence:
            parts[index] = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", part)
    return "".join(parts)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with aligned columns: the first ``left`` ones to the left, the others to the right."""
    align = ["left"] * left + ["right"] * (len(header) - left)
    header, *rows = [[plain(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    return tabulate(rows, headers=header, tablefmt="pipe", colalign=align, disable_numparse=True)


def score_cell(row: Row | None) -> str:
    """A score with its 95 % interval; a dash for None."""
    if row is None:
        return "–"
    low, high = row["ci95"]
    return f"{row['value']:.1f} [{low:.1f}, {high:.1f}]"


def score_table(decodes: Sequence[Decode], metrics: Sequence[str], form: str) -> str:
    """One set's scores with their intervals: a line for each metric and language, a column for each system."""
    by_figure: dict[tuple[str, str, str], dict[str, Row]] = {}
    for decode in decodes:
        for row in decode.rows:
            by_figure.setdefault(figure(row), {})[decode.system] = row
    shown = shown_rows([next(iter(rows.values())) for rows in by_figure.values()], metrics, form)
    lines = [[TITLES[row["metric"]], row["language"], str(row["n_utts"]),
              *(score_cell(by_figure[figure(row)].get(decode.system)) for decode in decodes)] for row in shown]
    header = ["metric", "language", "utts", *(decode.system for decode in decodes)]
    return markdown_table(header, lines, left=2)


def screen_table(decodes: Sequence[Decode], columns: int = SCREEN_COLUMNS) -> str:
    """The main table of every set; systems that exceed ``columns`` characters go into a further table."""
    blocks = []
    for name, systems in by_set(decodes):
        blocks.append(f"{name}: scores on the {TITLES_OF_FORMS[main_form(systems)]}")
        while systems:
            count = len(systems)
            while count > 1 and _width(_main_table(systems[:count])) > columns:
                count -= 1
            blocks.append(_main_table(systems[:count]))
            systems = systems[count:]
    return "\n\n".join(blocks)


def _width(table: str) -> int:
    return max(map(len, table.splitlines()))


def _main_table(decodes: Sequence[Decode]) -> str:
    return score_table(decodes, SHOWN_METRICS, main_form(decodes))


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Differences between systems with interval, p-value, the smallest that the set could show, and verdict."""
    lines = [[f"{comparison.system['system']} – {comparison.baseline['system']}", comparison.system["set"],
              TITLES[comparison.system["metric"]], comparison.system["language"], difference(comparison),
              significance(comparison.p_value), f"{comparison.clear_from:.1f}", verdict(comparison)]
             for comparison in comparisons]
    header = ["systems", "set", "metric", "language", "difference", "significance", "clear from", "verdict"]
    return markdown_table(header, lines, left=4)


def speed_table(decodes: Sequence[Decode]) -> str:
    """A table of each system's decoding time and settings."""
    options = ["backend", "compute_type", "window", "beam_size"]
    lines = [[decode.set, decode.system, *(str(decode.info.get(option, "–")) for option in options),
              f"{decode.info['seconds']:.1f}", f"{decode.info['audio_seconds']:.1f}", _speed(decode)]
             for decode in decodes]
    header = ["set", "system", *(option.replace("_", " ") for option in options), "seconds", "audio seconds",
              "audio s per s"]
    return markdown_table(header, lines, left=5)


def _speed(decode: Decode) -> str:
    seconds = decode.info["seconds"]
    return f"{decode.info['audio_seconds'] / seconds:.1f}" if seconds else "–"


def scoring_table(decodes: Sequence[Decode]) -> str:
    """Which normaliser each metric saw; the signature names its rules and, for BLEU and chrF, sacrebleu's settings."""
    languages: dict[tuple[str, str, str], set[str]] = {}
    for row in (row for decode in decodes for row in decode.rows if row["language"] != "all"):
        program = "" if row["task"] == "translate" else "jiwer "
        kind = TITLES[row["metric"]], row["normalizer"], (program + (row["signature"] or "")).strip()
        languages.setdefault(kind, set()).add(row["language"])
    lines = [[metric, normalizer, " ".join(sorted(names)), signature.replace("|", " ")]
             for (metric, normalizer, signature), names in languages.items()]
    return markdown_table(["metric", "normalizer", "languages", "signature"], lines, left=4)


def suspects_table(decodes: Sequence[Decode]) -> str:
    """A table of the number of outputs that are wrong as a whole, by system and kind; empty if there are none."""
    counts = [Counter(suspect.kind for suspect in read_suspects(decode.directory / "suspects.tsv"))
              for decode in decodes]
    kinds = [kind for kind in KINDS if any(count[kind] for count in counts)]
    lines = [[decode.set, decode.system, *(str(count[kind]) for kind in kinds)]
             for decode, count in zip(decodes, counts, strict=True)]
    return markdown_table(["set", "system", *kinds], lines, left=2) if kinds else ""


def render(title: str, header: Sequence[str], decodes: Sequence[Decode], comparisons: Sequence[Comparison],
           forget_sets: Collection[str] = ()) -> str:
    """The text of RESULTS.md.

    Args:
        title: the heading.
        header: see utils.report.sentences.facts.
        decodes: see utils.score.comparison.collect; of each system the better search leads.
        comparisons: see utils.score.comparison.compare.
        forget_sets: sets that measure forgetting: the model was not tuned for them.
    """
    heading = "\n".join(f"- {plain(fact)}" for fact in header)  # not wrapped, so that commands can be copied
    everything, decodes = decodes, at_their_best(decodes)
    verdicts = [f"{sentence}." for sentence in headline(comparisons, forget_sets)]
    parts = [f"# {plain(title)}", *([bullets(verdicts)] if verdicts else []), heading, "## Scores", _NOTE]
    parts += [_SPOKEN_NOTE] if main_form(decodes) == SPOKEN else []
    for name, systems in by_set(decodes):
        parts += [f"### {plain(name)}: {TITLES_OF_FORMS[main_form(systems)]}", _main_table(systems),
                  *map(_wrapped, [*search_notes(systems), *relatives_notes(systems)]), *_unseen_table(name, systems)]
    if comparisons:
        parts += ["## Differences", bullets(findings(comparisons) or ["no score got worse; all differences are clear"]),
                  _DIFFERENCES_NOTE.format(n_tests=len(comparisons)), comparison_table(comparisons)]
    if sentences := forgotten(comparisons, forget_sets):
        parts += ["## What was forgotten", f"On {', '.join(forget_sets)}, for which the model was not tuned:",
                  bullets(sentences)]
    parts += recordings_section(decodes[0].directory.parent)
    parts += strength_section(decodes[0].directory.parent)
    parts += export_sections(decodes)
    if table := suspects_table(decodes):
        parts += ["## Suspicious outputs", "Outputs that are wrong as a whole; decode_*/suspects.tsv names them.",
                  table]
    parts.append("## Other figures")
    for name, systems in by_set(decodes):
        parts += _other_tables(name, systems)
    for name, systems in by_set(everything):
        parts += _search_table(name, systems)
    parts += ["## Speed", speed_table(everything), "## Normalizers and signatures", _RULES_NOTE,
              scoring_table(decodes)]
    return "\n\n".join(parts) + "\n"


def recordings_section(exp_dir: Path) -> list[str]:
    """The systems on recordings, if they were measured there."""
    rows = recording_rows(exp_dir)
    return ["## Recordings", _wrapped(RECORDINGS_NOTE), markdown_table(rows[0], rows[1:], left=2)] if rows else []


def strength_section(exp_dir: Path) -> list[str]:
    """The shares of the adapter's weight that were tried, if any were."""
    rows, sentence = strength_rows(exp_dir), strength_sentence(exp_dir)
    table = [markdown_table(rows[0], rows[1:])] if rows else []
    return ["## Strength", _wrapped(sentence), *table] if sentence else []


def _unseen_table(name: str, decodes: Sequence[Decode]) -> list[str]:
    """The main table without targets that have a relative in training, if there are any."""
    rows = [replace(decode, rows=decode.unseen.rows) for decode in decodes if decode.unseen and decode.unseen.rows]
    return [f"### {plain(name)}: without relatives in training, {TITLES_OF_FORMS[main_form(rows)]}",
            _main_table(rows)] if rows else []


def _other_tables(name: str, decodes: Sequence[Decode]) -> list[str]:
    """The tables beside the main one: the main metrics on other forms of the texts, and chrF."""
    parts = []
    main = main_form(decodes)
    others = [(SHOWN_METRICS, form) for form in FORMS if form != main]
    for metrics, form in (*others, (("chrf",), main), (("chrf",), FORMS[-1])):
        shown = [row for decode in decodes for row in shown_rows(decode.rows, metrics, form)]
        if shown:
            titles = ", ".join(dict.fromkeys(TITLES[row["metric"]] for row in shown))
            parts += [f"### {plain(name)}: {titles}, {TITLES_OF_FORMS[form]}", score_table(decodes, metrics, form)]
    return parts


def _search_table(name: str, decodes: Sequence[Decode]) -> list[str]:
    """Beam search beside greedy search, if a set was decoded with both."""
    if not any(decode.is_greedy for decode in decodes):
        return []
    return [f"### {plain(name)}: beam search and greedy search, {TITLES_OF_FORMS[main_form(decodes)]}",
            score_table(decodes, MAIN_METRICS, main_form(decodes))]


def _wrapped(sentence: str) -> str:
    return textwrap.fill(plain(sentence), SCREEN_COLUMNS, break_long_words=False, break_on_hyphens=False)


def bullets(sentences: Sequence[str]) -> str:
    """A Markdown list of sentences, wrapped."""
    return "\n".join(textwrap.fill(plain(sentence), SCREEN_COLUMNS, initial_indent="- ", subsequent_indent="  ",
                                   break_long_words=False, break_on_hyphens=False) for sentence in sentences)
