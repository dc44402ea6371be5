#!/usr/bin/env bash
# Benchmarks of this recipe against the usual alternatives. Run it after ./run.sh, in the same directory:
#
#   tools/bench.sh features                    # log-mel features, against WhisperFeatureExtractor
#   tools/bench.sh train                       # LoRA training against Seq2SeqTrainer with padding
#   tools/bench.sh decode --beam-size 5        # both tasks against faster-whisper and transformers
#   tools/bench.sh transcribe                  # a long recording, both tasks, against faster-whisper in two passes
#   tools/bench.sh hotwords                    # rare words with --hotwords and without
#   tools/bench.sh serve                       # the service with 8 clients at once
#   tools/bench.sh silence                     # training with sampled silence, against all of the silence
#   tools/bench.sh scale                       # time and memory for lists of 1,000 to 1,000,000 keys
#   tools/bench.sh all                         # all of them; results in exp/bench/*.json
#
# Further arguments are passed to tools/bench/bench_NAME.py, whose --help explains them.
set -euo pipefail
recipe=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$recipe/utils/log.sh"

case ${1-} in
  features | train | decode | transcribe | hotwords | serve | silence | scale) benchmarks=("$1"); shift ;;
  all) benchmarks=(features train decode transcribe hotwords serve silence scale); shift ;;
  -h | --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) die "name a benchmark: features, train, decode, transcribe, hotwords, serve, silence, scale or all" ;;
esac

"$recipe/tools/install.sh"
. "$recipe/path.sh"
for benchmark in "${benchmarks[@]}"; do
  mkdir -p exp/bench
  "$recipe/tools/bench/bench_$benchmark.py" --json "exp/bench/$benchmark.json" "$@"
done
