#!/usr/bin/env bash
# template: what the corpus is, in one line.
#
#   ./run.sh                                  # all stages
#   ./run.sh --stage 3 --model openai/whisper-small --tag small
#
# Options are those of the driver (../../run.sh --help); what is given here can be given again.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec ../../run.sh --corpus "$PWD/local" --corpus-name template "$@"
