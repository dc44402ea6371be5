#!/usr/bin/env bash
# How fast this recipe is, beside what users run otherwise. After ./run.sh, in the directory it ran in:
#
#   tools/bench.sh features                    # log-mel against WhisperFeatureExtractor
#   tools/bench.sh train                       # LoRA training against Seq2SeqTrainer with padding
#   tools/bench.sh decode --beam-size 5        # both tasks against faster-whisper and transformers
#   tools/bench.sh transcribe                  # a long recording, both tasks, against faster-whisper in two passes
#   tools/bench.sh hotwords                    # rare words with --hotwords and without; needs no peer
#   tools/bench.sh serve                       # the service with 8 clients at once; needs no peer
#   tools/bench.sh silence                     # what training's sample of the silence loses; needs no peer
#   tools/bench.sh scale                       # what lists of 1,000 to 1,000,000 keys cost us
#   tools/bench.sh all                         # one after the other, figures in exp/bench/*.json
#
# What follows the first word goes to tools/bench/bench_WORD.py, whose --help has the rest.
set -euo pipefail
recipe=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$recipe/utils/log.sh"

case ${1-} in
  features | train | decode | transcribe | hotwords | serve | silence | scale) benchmarks=("$1"); shift ;;
  all) benchmarks=(features train decode transcribe hotwords serve silence scale); shift ;;
  -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) die "which benchmark? features, train, decode, transcribe, hotwords, serve, silence, scale or all" ;;
esac

"$recipe/tools/install.sh"
. "$recipe/path.sh"
for benchmark in "${benchmarks[@]}"; do
  mkdir -p exp/bench
  "$recipe/tools/bench/bench_$benchmark.py" --json "exp/bench/$benchmark.json" "$@"
done
