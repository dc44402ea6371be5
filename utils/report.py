"""RESULTS.md: systems side by side, as Markdown that also reads well as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from tabulate import tabulate

from utils.comparison import (
    SHOWN_METRICS,
    SIGNIFICANT,
    Comparison,
    Decode,
    Row,
    figure,
    main_figures,
    shown_rows,
)

TITLES = {"wer": "WER", "cer": "CER", "mer": "MER", "ter": "TER", "bleu": "BLEU", "chrf": "chrF"}
SCREEN_COLUMNS = 100

_NOTE = """\
Per cent; lower WER, CER, MER and TER, higher BLEU and chrF are better. In brackets: 95 % bootstrap intervals,
resampled by utterance, or by speaker where utt2spk names at least 5."""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table with aligned columns: the first ``left`` ones to the left, the others to the right."""
    align = ["left"] * left + ["right"] * (len(header) - left)
    return tabulate(rows, headers=header, tablefmt="pipe", colalign=align, disable_numparse=True)


def _by_set(decodes: Sequence[Decode]) -> list[tuple[str, list[Decode]]]:
    return [(name, list(group)) for name, group in groupby(decodes, key=lambda decode: decode.set)]


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    low, high = row["ci95"]
    return f"{row['value']:.1f} [{low:.1f}, {high:.1f}]"


def score_table(decodes: Sequence[Decode], metrics: Sequence[str], normalized: bool) -> str:
    """One set's figures with their intervals: a line per metric and language, a column per system."""
    by_figure: dict[tuple[str, str, bool], dict[str, Row]] = {}
    for decode in decodes:
        for row in decode.rows:
            by_figure.setdefault(figure(row), {})[decode.system] = row
    shown = shown_rows([next(iter(rows.values())) for rows in by_figure.values()], metrics, normalized)
    lines = [[TITLES[row["metric"]], row["language"], str(row["n_utts"]),
              *(_cell(by_figure[figure(row)].get(decode.system)) for decode in decodes)] for row in shown]
    header = ["metric", "language", "utts", *(decode.system for decode in decodes)]
    return markdown_table(header, lines, left=2)


def screen_table(decodes: Sequence[Decode], columns: int = SCREEN_COLUMNS) -> str:
    """The main table of every set; systems that do not fit beside each other go into a table below."""
    blocks = []
    for name, systems in _by_set(decodes):
        blocks.append(f"{name}: scores on {_kind(main_figures(systems))} text")
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
    return score_table(decodes, SHOWN_METRICS, main_figures(decodes))


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _difference(comparison: Comparison) -> str:
    low, high = comparison.test.ci95
    return f"{comparison.test.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def _verdict(comparison: Comparison) -> str:
    if not comparison.is_clear:
        return "not clear"
    return "worse" if comparison.is_worse else "better"


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Differences between systems with interval, p-value and verdict."""
    lines = [[f"{one.system['system']} – {one.baseline['system']}", one.system["set"],
              TITLES[one.system["metric"]], one.system["language"], _difference(one), _p(one.test.p_value),
              _verdict(one)] for one in comparisons]
    header = ["systems", "set", "metric", "language", "difference", "significance", "verdict"]
    return markdown_table(header, lines, left=4)


def findings(comparisons: Sequence[Comparison]) -> list[str]:
    """A sentence for every figure that got worse than the base model's, or clearly worse by the export,
    and one for every pair of systems that the set is too small to tell apart somewhere."""
    found = []
    for one in comparisons:
        system, baseline, name = _pair(one)
        if one.is_worse and (one.is_clear or baseline == "base"):
            found.append(f"WORSE: {system} than {baseline} on {name} {_place(one)}: "
                         f"{one.system['value']:.1f} against {one.baseline['value']:.1f} "
                         f"({_p(one.test.p_value)}{'' if one.is_clear else ', not clear'})")
    for (system, baseline, name), group in groupby(comparisons, key=_pair):
        unclear = [one for one in group if not one.is_clear and one.interval_width > abs(one.test.difference)]
        if unclear:
            found.append(f"TOO SMALL: {name} cannot tell {system} from {baseline} (interval wider than the "
                         f"difference, p >= {SIGNIFICANT}) on {', '.join(map(_place, unclear))}")
    return found


def _pair(comparison: Comparison) -> tuple[str, str, str]:
    return comparison.system["system"], comparison.baseline["system"], comparison.system["set"]


def _place(comparison: Comparison) -> str:
    return f"{comparison.system['language']} {TITLES[comparison.system['metric']]}"


def speed_table(decodes: Sequence[Decode]) -> str:
    """How long each system took, and how it was run."""
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
    """Which normaliser each metric saw, and sacrebleu's signatures."""
    languages: dict[tuple[str, str, str], set[str]] = {}
    for row in (row for decode in decodes for row in decode.rows if row["language"] != "all"):
        kind = TITLES[row["metric"]], row["normalizer"], row["signature"] or "jiwer"
        languages.setdefault(kind, set()).add(row["language"])
    lines = [[metric, normalizer, " ".join(sorted(names)), signature.replace("|", " ")]
             for (metric, normalizer, signature), names in languages.items()]
    return markdown_table(["metric", "normalizer", "languages", "signature"], lines, left=4)


def data_lines(decodes: Sequence[Decode]) -> Iterator[str]:
    """Minutes of audio and number of utterances per task and language, set by set."""
    for set_name, systems in _by_set(decodes):
        counts = {(row["task"], row["language"]): row["n_utts"] for decode in systems for row in decode.rows}
        tasks = []
        for task in sorted({task for task, _ in counts}):
            languages = sorted(language for of, language in counts if of == task and language != "all")
            tasks.append(f"{task} " + ", ".join(f"{name} {counts[task, name]}" for name in languages))
        minutes = systems[0].info["audio_seconds"] / 60
        yield f"{set_name}: {minutes:.1f} minutes; utterances: {'; '.join(tasks)}"


def training_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """What train_summary.json says, in words; what it leaves out stays out."""
    if {"trainable_parameters", "total_parameters"} <= summary.keys():
        trainable, total = summary["trainable_parameters"], summary["total_parameters"]
        yield f"trainable parameters: {trainable:,} of {total:,} ({100 * trainable / total:.2f} %)"
    if "train_seconds" in summary:
        yield f"training time: {summary['train_seconds'] / 60:.1f} minutes"
    for key, title in (("n_train_audios", "training audios"), ("n_train_targets", "training targets"),
                       ("epochs", "epochs"), ("best_step", "best step")):
        if key in summary:
            yield f"{title}: {summary[key]}"


def render(title: str, origin: Mapping[str, str], summary: Mapping[str, Any], decodes: Sequence[Decode],
           comparisons: Sequence[Comparison]) -> str:
    """RESULTS.md.

    Args:
        title: the heading.
        origin: see utils.provenance; shown in its order.
        summary: train_summary.json, or empty.
        decodes: see utils.comparison.collect.
        comparisons: see utils.comparison.compare.
    """
    model = summary.get("base_model") or decodes[0].info.get("model", "not given")
    facts = [*(f"{key}: {value}" for key, value in origin.items()), f"model: {model}",
             *data_lines(decodes), *training_lines(summary)]
    heading = "\n".join(f"- {fact}" for fact in facts)  # not wrapped: a command is to be copied
    parts = [f"# {title}", heading, "## Scores", _NOTE]
    for name, systems in _by_set(decodes):
        parts += [f"### {name}: {_kind(main_figures(systems))} text", _main_table(systems)]
    if comparisons:
        parts += ["## Differences", bullets(findings(comparisons) or ["no figure got worse; all are clear"]),
                  comparison_table(comparisons)]
    parts.append("## Other figures")
    for name, systems in _by_set(decodes):
        parts += _other_tables(name, systems)
    parts += ["## Speed", speed_table(decodes), "## Normalizers and signatures", scoring_table(decodes)]
    return "\n\n".join(parts) + "\n"


def _other_tables(name: str, decodes: Sequence[Decode]) -> list[str]:
    """What the main table has not: the main metrics on raw text, and chrF on both."""
    parts = []
    for metrics, normalized in ((SHOWN_METRICS, False), (("chrf",), True), (("chrf",), False)):
        is_main = metrics == SHOWN_METRICS and normalized == main_figures(decodes)
        shown = [row for decode in decodes for row in shown_rows(decode.rows, metrics, normalized)]
        if shown and not is_main:
            titles = ", ".join(dict.fromkeys(TITLES[row["metric"]] for row in shown))
            parts += [f"### {name}: {titles} on {_kind(normalized)} text",
                      score_table(decodes, metrics, normalized)]
    return parts


def _kind(normalized: bool) -> str:
    return "normalised" if normalized else "raw"


def bullets(sentences: Sequence[str]) -> str:
    """A Markdown list of sentences, wrapped."""
    return "\n".join(textwrap.fill(sentence, SCREEN_COLUMNS, initial_indent="- ", subsequent_indent="  ",
                                   break_long_words=False, break_on_hyphens=False) for sentence in sentences)
