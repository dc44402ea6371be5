#!/usr/bin/env bash
# LibriSpeech: read English, one task. By default the 5-hour set; README.md has the 960-hour command.
#
#   ./run.sh                                  # 0.8 GB, whisper-base
#   ./run.sh --stage 3 --model openai/whisper-small --tag small
#
# Options are those of the driver (../../run.sh --help); what is given here can be given again.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec ../../run.sh --corpus "$PWD/local" --corpus-name librispeech --tasks transcribe "$@"
