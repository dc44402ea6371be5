#!/usr/bin/env bash
# AISHELL-1: read Mandarin, 178 hours. It has no English: a teacher translates it, or a file that you have.
#
#   ./run.sh --tasks transcribe                     # 15.6 GB, whisper-base, Mandarin transcription only
#   ./run.sh --teacher openai/whisper-large-v3      # both tasks; train and dev get the teacher's translations
#   ./run.sh --prepare-args "--translations en.txt" # both tasks; your own, a line `BAC009S0002W0122 text` each
#
# Options are those of the driver (../../run.sh --help); what is given here can be given again.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec ../../run.sh --corpus "$PWD/local" --corpus-name aishell "$@"
