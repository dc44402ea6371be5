#!/usr/bin/env bash
# Fish Fillets NG: dialogues of a game, Czech and Dutch speech with English texts, 3.1 h. README.md says more.
#
#   ./run.sh                                  # 142 MB of Debian's packages, whisper-base
#   ./run.sh --stage 3 --model openai/whisper-small --tag small
#
# Options are those of the driver (../../run.sh --help); what is given here can be given again.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec ../../run.sh --corpus "$PWD/local" --corpus-name fillets --train-config "$PWD/conf/fillets.yaml" \
  --long-set test "$@"
