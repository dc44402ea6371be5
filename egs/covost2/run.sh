#!/usr/bin/env bash
# CoVoST 2, speech in 21 languages into English, on Common Voice 4, which you must fetch yourself: README.md says how.
#
#   ./run.sh                                 # the languages whose Common Voice is there, whisper-base
#   ./run.sh --languages "cy sl" --model openai/whisper-small --tag small
#
# Options are those of the driver (../../run.sh --help); what is given here can be given again.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec ../../run.sh --corpus "$PWD/local" --corpus-name covost2 "$@"
