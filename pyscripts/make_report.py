#!/usr/bin/env python3
"""Collect the scores of an experiment's decode directories into its reports.

Reads EXP_DIR/decode_*/{decode.json,scores.json,utterances.jsonl}, which pyscripts/score.py writes, and
EXP_DIR/train_{summary,history}.json if they are there. Writes
  EXP_DIR/results.json   all scores, for programs
  EXP_DIR/RESULTS.md     tables of scores, differences with p-values, speed, and the command to repeat it
  EXP_DIR/report.html    with --data: the same in one file for the browser, with plots, and a list of utterances to
                         search, sort and listen to; it needs no network
and prints the main table. report.html needs the references and audio of DATA_DIR/SET (text; wav.scp and utt2dur if they
are there).

Example:
  pyscripts/make_report.py --command "./run.sh --tag lora" --data data --audio embed --max-audio-mb 20 exp/lora
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, log, make_parser, run_main
from utils.errors import UserError

if TYPE_CHECKING:
    from utils.score.comparison import Comparison, Decode


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--title", help="heading of the reports (default: the name of EXP_DIR)")
    add("--command", default="", help="command that repeats the experiment, shown in the reports")
    add("--corpus-name", default="", metavar="NAME", help="of the training data, named in the reports")
    add("--forget-set", default="", metavar="SETS",
        help="sets that measure forgetting: the model was not tuned for them")
    add("--data", type=Path, metavar="DATA_DIR",
        help="directory of the sets; without it no report.html is made, and data/ is read for whether a machine wrote "
             "their translations")
    add("--audio", default="embed", choices=["embed", "link", "none"],
        help="embed: in report.html, as MP3; link: files where they are, if browsers play their format")
    add("--max-audio-mb", type=float, default=20.0, metavar="MB",
        help="limit of embedded audio; the worst utterances come first")
    add("--allow-pipes", type=boolean, default="false", metavar="true|false", help="run `command |` entries of wav.scp")
    add("--max-utterances", type=int, default=1000, metavar="N", help="utterances to list of each set, the worst first")
    add("--bootstrap", type=int, default=1000, metavar="N", help="least number of bootstrap resamples")
    add("exp_dir", metavar="EXP_DIR", type=Path, help="the experiment, with decode_* directories")
    args = parser.parse_args()
    if args.max_audio_mb < 0 or args.max_utterances < 0:
        raise UserError("--max-audio-mb and --max-utterances: give 0 or more")
    args.title = args.title or f"Results of {args.exp_dir.resolve().name}"
    return args


def main() -> None:
    args = parse_args()

    from utils.provenance import provenance
    from utils.report.sentences import facts
    from utils.score.comparison import at_their_best, collect, compare
    from utils.train.records import training_summary

    decodes = collect(args.exp_dir)
    comparisons = compare(decodes, args.bootstrap)
    header = facts(provenance(args.command), training_summary(args.exp_dir), decodes, args.corpus_name)
    write_results(args, decodes, comparisons, header)
    page = write_page(args, at_their_best(decodes), comparisons, header) if args.data else ""
    log(f"wrote {args.exp_dir / 'RESULTS.md'} and results.json")
    if page:
        log(page)


def write_results(args: Namespace, decodes: list[Decode], comparisons: list[Comparison], header: list[str]) -> None:
    """Write results.json and RESULTS.md, print the main table."""
    from utils.filesystem import atomic_open, write_json
    from utils.report.exports import screen_lines
    from utils.report.results_md import bullets, render, screen_table
    from utils.report.sentences import findings, forgotten, marked_rows, reference_warnings, training_warnings
    from utils.score.comparison import at_their_best
    from utils.score.recording_scores import systems_on_recordings

    data, forget_sets = args.data or Path("data"), args.forget_set.split()
    if missing := set(forget_sets) - {decode.set for decode in decodes}:
        raise UserError(f"--forget-set {' '.join(sorted(missing))}: not decoded in {args.exp_dir}")
    warnings = training_warnings(args.exp_dir) + reference_warnings(decodes, data)
    report = render(args.title, [*(f"**{warning}**" for warning in warnings), *header], decodes, comparisons,
                    forget_sets)
    recorded = [{**row, "runtime": system.runtime} for system in systems_on_recordings(args.exp_dir)
                for row in system.decode.rows]
    write_json(args.exp_dir / "results.json", [*marked_rows(decodes, data), *recorded])
    with atomic_open(args.exp_dir / "RESULTS.md") as stream:
        stream.write(report)
    sentences = warnings + findings(comparisons) + forgotten(comparisons, forget_sets)
    print(screen_table(at_their_best(decodes)), bullets(sentences), sep="\n\n")
    print(*screen_lines(decodes), sep="\n", flush=True)


def write_page(args: Namespace, decodes: list[Decode], comparisons: list[Comparison], header: list[str]) -> str:
    """Write report.html; returns a line for the log."""
    from utils.filesystem import atomic_open
    from utils.report.audio_clips import clips
    from utils.report.exports import export_tables, word_times_sentence
    from utils.report.headline import headline
    from utils.report.plots import loss_plot
    from utils.report.recordings import recording_rows
    from utils.report.report_html import Report, render_html, set_report
    from utils.report.sentences import by_set, findings, forgotten, reference_warnings, training_warnings
    from utils.report.strength import strength_rows, strength_sentence
    from utils.report.utterances import list_utterances
    from utils.train.records import training_history

    forget_sets = args.forget_set.split()
    utterances, total = [], 0
    for name, systems in by_set(decodes):
        listed, count = list_utterances(systems, args.data / name, args.max_utterances)
        utterances += listed
        total += count
    utterances.sort(key=lambda utt: -utt.error_score)
    audio = clips(args.audio, [utt.source for utt in utterances if utt.source], args.exp_dir, args.max_audio_mb,
                  args.allow_pipes)
    sets = sorted(by_set(decodes), key=lambda group: group[0] in forget_sets)  # forget sets come last
    report = Report(
        args.title, headline(comparisons, forget_sets), header,
        training_warnings(args.exp_dir) + reference_warnings(decodes, args.data)
        + findings([comparison for comparison in comparisons if comparison.system["set"] not in forget_sets]),
        forgotten(comparisons, forget_sets),
        [set_report(systems, comparisons, forget_sets, args.data / name) for name, systems in sets],
        loss_plot(training_history(args.exp_dir)), export_tables(decodes), word_times_sentence(args.exp_dir),
        recording_rows(args.exp_dir), strength_sentence(args.exp_dir), strength_rows(args.exp_dir),
        utterances, total, audio)
    path = args.exp_dir / "report.html"
    with atomic_open(path) as stream:
        stream.write(render_html(report))
    return f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB, {len(utterances)} utterances, {len(audio)} audio files"


if __name__ == "__main__":
    run_main(main)
