#!/usr/bin/env python3
"""Write EXP_DIR/report.html: the scores of an experiment to look at, in one file that needs no network.

Tables with intervals, plots of training, languages and lengths, and a list of utterances to search, sort and listen
to. Reads EXP_DIR/decode_*, as pyscripts/score.py left them, and the references and audio of DATA_DIR/SET
(text; wav.scp and utt2dur if they are there).

Example:
  pyscripts/make_html_report.py --data data --audio embed --max-audio-mb 20 exp/lora
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import boolean, log, make_parser, run_main
from utils.errors import UserError


def parse_args() -> Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), metavar="DATA_DIR", help="holds the sets' directories")
    add("--audio", default="embed", choices=["embed", "link", "none"],
        help="embed: in the file, as MP3; link: files where they are, if browsers play their format")
    add("--max-audio-mb", type=float, default=20.0, metavar="MB", help="of embedded audio, the worst utterances' first")
    add("--allow-pipes", type=boolean, default=False, metavar="BOOL", help="run `command |` entries of wav.scp")
    add("--max-utterances", type=int, default=1000, metavar="N", help="listed of each set, the worst")
    add("--forget-set", default="", metavar="SETS", help="sets that show what tuning cost elsewhere")
    add("--title", help="heading of the report (default: the name of EXP_DIR)")
    add("--command", default="", help="what repeats the experiment, for the report")
    add("--bootstrap", type=int, default=1000, metavar="N", help="bootstrap resamples")
    add("exp_dir", metavar="EXP_DIR", type=Path, help="holds the decode_*")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.max_audio_mb < 0 or args.max_utterances < 0:
        raise UserError("--max-audio-mb and --max-utterances: give 0 or more")

    from utils.filesystem import atomic_open
    from utils.provenance import provenance
    from utils.report.audio_clips import clips
    from utils.report.exports import export_tables, word_times_sentence
    from utils.report.plots import loss_plot
    from utils.report.report_html import Report, render_html, set_report
    from utils.report.sentences import by_set, facts, findings, forgotten, reference_warnings
    from utils.report.utterances import list_utterances
    from utils.score.comparison import collect, compare
    from utils.train.records import training_history, training_summary

    decodes = collect(args.exp_dir)
    comparisons = compare(decodes, args.bootstrap)
    forget_sets = args.forget_set.split()
    utterances, total = [], 0
    for name, systems in by_set(decodes):
        listed, count = list_utterances(systems, args.data / name, args.max_utterances)
        utterances += listed
        total += count
    utterances.sort(key=lambda utt: -utt.badness)
    audio = clips(args.audio, [utt.source for utt in utterances if utt.source], args.exp_dir, args.max_audio_mb,
                  args.allow_pipes)
    sets = sorted(by_set(decodes), key=lambda one: one[0] in forget_sets)  # what was tuned for comes first
    report = Report(
        args.title or f"Results of {args.exp_dir.resolve().name}",
        facts(provenance(args.command), training_summary(args.exp_dir), decodes),
        reference_warnings(decodes, args.data)
        + findings([one for one in comparisons if one.system["set"] not in forget_sets]),
        forgotten(comparisons, forget_sets),
        [set_report(systems, comparisons, forget_sets, args.data / name) for name, systems in sets],
        loss_plot(training_history(args.exp_dir)), export_tables(decodes), word_times_sentence(args.exp_dir),
        utterances, total, audio)
    with atomic_open(args.exp_dir / "report.html") as stream:
        stream.write(render_html(report))
    size = (args.exp_dir / "report.html").stat().st_size / 1e6
    log(f"wrote {args.exp_dir / 'report.html'}: {size:.1f} MB, {len(utterances)} utterances, {len(audio)} audio files")


if __name__ == "__main__":
    run_main(main)
