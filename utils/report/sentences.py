"""The sentences of reports on an experiment's scores: gains, losses, forgetting, differences that are not clear."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from utils.data.known_corpora import known_corpus
from utils.data.machine_made import machine_made_note, read_machine_made
from utils.decode.decode_directory import greedy_directory
from utils.score.comparison import SIGNIFICANT, Comparison, Decode, Row, is_export, main_form
from utils.score.forms import form_of
from utils.train.records import tokens_fault, training_summary

TITLES = {"wer": "WER", "cer": "CER", "mer": "MER", "ter": "TER", "bleu": "BLEU", "chrf": "chrF"}
MEANINGS = {
    "WER": "word error rate: wrong, missing and extra words for every 100 words said; lower is better",
    "CER": "character error rate: the same for characters, in languages written without spaces; lower is better",
    "MER": "mixed error rate: characters and, for text in Latin letters, words; lower is better",
    "TER": "token error rate: the same for the pieces of words in a small vocabulary, as ESPnet reports it; "
           "lower is better (it is not the translation edit rate)",
    "BLEU": "how many phrases a translation shares with a human's, 0 to 100; higher is better",
    "chrF": "the same for strings of letters, 0 to 100; higher is better",
}
_UNITS = {"wer": "words", "cer": "characters", "mer": "words and characters"}


def significance(p_value: float) -> str:
    """``p < 0.001`` or three digits."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def system_name(system: str) -> str:
    """A name of a system for readers who do not know the recipe's."""
    known = {"base": "base model", "lora": "tuned model"}
    return known.get(system, f"export {system.removeprefix('ct2-')}" if is_export(system) else system)


def difference(comparison: Comparison) -> str:
    """The signed difference with its 95 % interval."""
    low, high = comparison.test.ci95
    return f"{comparison.test.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def verdict(comparison: Comparison) -> str:
    """``better``, ``worse`` or ``not clear``, by p-values corrected for all that are listed together."""
    if not comparison.is_clear:
        return "not clear"
    return "worse" if comparison.is_worse else "better"


def findings(comparisons: Sequence[Comparison]) -> list[str]:
    """A sentence for every score worse than the base model's, and for every score clearly worse by an export.

    Another sentence for each pair of systems names the scores for which the set is too small to tell them apart, with
    the smallest difference that it could have shown there.
    """
    found = []
    for comparison in comparisons:
        system, baseline, name = _pair(comparison)
        if comparison.is_worse and (comparison.is_clear or baseline == "base"):
            found.append(f"WORSE: {system} than {baseline} on {name} {_place(comparison)}: "
                         f"{comparison.system['value']:.1f} against {comparison.baseline['value']:.1f} "
                         f"({significance(comparison.p_value)}{'' if comparison.is_clear else ', not clear'})")
    for (system, baseline, name), group in groupby(comparisons, key=_pair):
        unclear = [comparison for comparison in group
                   if not comparison.is_clear and comparison.interval_width > abs(comparison.test.difference)]
        if unclear:
            found.append(f"TOO SMALL: {name} cannot tell {system} from {baseline} (interval wider than the "
                         f"difference, p >= {SIGNIFICANT}) on {', '.join(map(_unseen, unclear))}")
    return found


def forgotten(comparisons: Sequence[Comparison], forget_sets: Collection[str]) -> list[str]:
    """A sentence for every score on a set that the model was not tuned for: lost, gained, or no clear change."""
    words = {"worse": "LOST", "better": "gained", "not clear": "no clear change"}
    return [f"{words[verdict(comparison)]}: {comparison.system['set']} {_place(comparison)}: "
            f"{comparison.baseline['value']:.1f} with {comparison.baseline['system']}, "
            f"{comparison.system['value']:.1f} with {comparison.system['system']} "
            f"({difference(comparison)}, {significance(comparison.p_value)}"
            f"{'' if comparison.is_clear else f'; less than {comparison.clear_from:.1f} does not show'})"
            for comparison in comparisons if comparison.system["set"] in forget_sets]


def relatives_notes(decodes: Sequence[Decode]) -> list[str]:
    """A sentence on the targets of a set that have a relative in training, if these were looked for.

    Args:
        decodes: of one set.
    """
    found = decodes[0].unseen
    if not found:
        return []
    meaning = ("a relative among the training texts: a sentence with 80 % of the same letters, or one that contains it "
               "or that it contains")
    if not found.n_relatives:
        return [f"No target of {decodes[0].set} has {meaning}."]
    share = 100 * found.n_relatives / found.n_targets
    return [f"RELATIVES: {found.n_relatives} of {found.n_targets} targets of {decodes[0].set} ({share:.0f} %) have "
            f"{meaning}. They may have been learnt by heart; the scores without them are given apart."]


def search_notes(decodes: Sequence[Decode]) -> list[str]:
    """A sentence on the search that the figures of a set are of, if it was decoded with several.

    Args:
        decodes: of one set; see utils.score.comparison.at_their_best.
    """
    beam_size = decodes[0].info.get("beam_size", 1)
    if decodes[0].system != "base" or not greedy_directory(decodes[0].directory).is_dir():
        return []
    greedy = [TITLES[metric] for metric in TITLES if metric in decodes[0].taken]
    search = f"beam search, beam size {beam_size}"
    better = f"greedy search for {', '.join(greedy)}, {search}, for the rest" if greedy else search
    return [f"base is shown at its best on this very set, metric by metric over all languages: {better}. The other "
            f"systems are shown with {search}, which was set before. Figures of both searches are below."]


def plain_words(decodes: Sequence[Decode]) -> list[str]:
    """Sentences that explain one set's main scores to readers who do not know these metrics.

    Args:
        decodes: of one set; the base model, if there is one, first.
    """
    before, after = decodes[0], _best_tuned(decodes)
    sentences = []
    for metric in ("wer", "cer", "mer", "bleu"):
        old, new = (_overall(decode, metric) for decode in (before, after))
        if not old or not new:
            continue
        if metric == "bleu":
            sentence = f"its English translations score {new['value']:.0f} of 100 against a human's (BLEU)"
            change = f", where the {system_name(before.system)} scored {old['value']:.0f}"
        else:
            sentence = (f"the {system_name(after.system)} gets {new['value']:.0f} of every 100 spoken "
                        f"{_UNITS[metric]} wrong")
            change = f", where the {system_name(before.system)} got {old['value']:.0f}"
        sentences.append(sentence + (change if before is not after else ""))
    return sentences


def _best_tuned(decodes: Sequence[Decode]) -> Decode:
    """The tuned system; without one, the first export; without that, the base model."""
    tuned = [decode for decode in decodes if decode.system != "base"]
    return next((decode for decode in tuned if not decode.is_exported), tuned[0] if tuned else decodes[0])


def _overall(decode: Decode, metric: str) -> Row | None:
    form = main_form([decode])
    return next((row for row in decode.rows if row["metric"] == metric and row["language"] == "all"
                 and form_of(row) == form), None)


def _pair(comparison: Comparison) -> tuple[str, str, str]:
    return comparison.system["system"], comparison.baseline["system"], comparison.system["set"]


def _place(comparison: Comparison) -> str:
    return f"{comparison.system['language']} {TITLES[comparison.system['metric']]}"


def _unseen(comparison: Comparison) -> str:
    return f"{_place(comparison)} (less than {comparison.clear_from:.1f} does not show)"


def by_set(decodes: Sequence[Decode]) -> list[tuple[str, list[Decode]]]:
    """The decodes of each set, in their order."""
    return [(name, list(group)) for name, group in groupby(decodes, key=lambda decode: decode.set)]


def data_lines(decodes: Sequence[Decode]) -> Iterator[str]:
    """Minutes of audio and number of utterances per task and language, set by set."""
    for set_name, systems in by_set(decodes):
        counts = {(row["task"], row["language"]): row["n_utts"] for decode in systems for row in decode.rows}
        tasks = []
        for task in sorted({task for task, _ in counts}):
            languages = sorted(language for of, language in counts if of == task and language != "all")
            tasks.append(f"{task} " + ", ".join(f"{name} {counts[task, name]}" for name in languages))
        minutes = systems[0].info["audio_seconds"] / 60
        yield f"{set_name}: {minutes:.1f} minutes; utterances: {'; '.join(tasks)}"


def training_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """The content of train_summary.json in words; keys that are missing there are left out."""
    if {"trainable_parameters", "total_parameters"} <= summary.keys():
        trainable, total = summary["trainable_parameters"], summary["total_parameters"]
        yield f"trainable parameters: {trainable:,} of {total:,} ({100 * trainable / total:.2f} %)"
    if "train_seconds" in summary:
        yield f"training time: {summary['train_seconds'] / 60:.1f} minutes"
    for key, title in (("n_train_audios", "training audios"), ("n_train_targets", "training targets"),
                       ("epochs", "epochs"),
                       ("best_step", "last step" if summary.get("best_dev_loss", 0) is None else "best step")):
        if key in summary:
            yield f"{title}: {summary[key]}"
    for set_name, record in summary.get("machine_made", {}).items():
        yield machine_made_note(set_name, record)


def training_warnings(exp_dir: Path) -> list[str]:
    """A sentence if the experiment's model was trained with wrong tokens; reports put it before the scores."""
    base_model = training_summary(exp_dir).get("base_model", "")
    is_whole_model = (exp_dir / "tokenizer.json").exists()
    fault = tokens_fault(exp_dir, exp_dir if is_whole_model else base_model)
    return [f"WRONG TOKENS: {fault}: ./run.sh --stage 3 --overwrite true"] if fault else []


def reference_warnings(decodes: Sequence[Decode], data: Path) -> list[str]:
    """A sentence for every set below ``data`` with machine-made references; reports put it before the scores."""
    records = {name: read_machine_made(data / name) for name, _ in by_set(decodes)}
    return [f"MACHINE-MADE REFERENCES: {machine_made_note(name, record)}; BLEU and chrF on {name} measure "
            "similarity to that model's translations, not quality" for name, record in records.items() if record]


def marked_rows(decodes: Sequence[Decode], data: Path) -> list[Row]:
    """The rows of results.json; those scored against a machine's translations have ``machine_made_references``.

    Those without the targets that have a relative in training have a ``subset``.
    """
    machine = {name for name, _ in by_set(decodes) if read_machine_made(data / name)}
    return [{**row, "machine_made_references": True} if row["task"] == "translate" and row["set"] in machine else row
            for decode in decodes for row in (*decode.rows, *(decode.unseen.rows if decode.unseen else []))]


def facts(origin: Mapping[str, str], summary: Mapping[str, Any], decodes: Sequence[Decode],
          corpus_name: str = "") -> list[str]:
    """The lines at the head of a report: its origin, the model, the data, the training."""
    model = summary.get("base_model") or decodes[0].info.get("model", "not given")
    corpus = [f"corpus: {known_corpus(corpus_name).description}"] if corpus_name else []
    return [*(f"{key}: {value}" for key, value in origin.items()), f"model: {model}", *corpus,
            *data_lines(decodes), *training_lines(summary)]
