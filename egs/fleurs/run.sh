#!/usr/bin/env bash
# FLEURS: the same sentences in 102 languages; those that Whisper knows are transcribed and translated into English.
#
#   ./run.sh                                  # French and Swahili
#   ./run.sh --languages "de zh cy" --tag mine
#
# Options are those of the driver (../../run.sh --help); what is given here can be given again.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec ../../run.sh --corpus "$PWD/local" --corpus-name fleurs --languages "fr sw" "$@"
