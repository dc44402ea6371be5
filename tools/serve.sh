#!/usr/bin/env bash
# Serve an exported model: OpenAI's audio endpoints and a web page; other machines can use it only with an API key.
#
#   tools/serve.sh --model exp/TAG/ct2_int8            # then open http://127.0.0.1:8000
#   tools/serve.sh --help                              # list all options
set -euo pipefail
recipe=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

"$recipe/tools/install.sh"
. "$recipe/path.sh"
exec python3 "$recipe/pyscripts/serve.py" "$@"  # exec: signals reach the server
