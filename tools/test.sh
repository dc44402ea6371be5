#!/usr/bin/env bash
# Run all checks and tests, from any directory: installs packages if needed, then ruff, mypy, shellcheck and pytest.
#
#   tools/test.sh                           # everything but the four below
#   tools/test.sh --egs                     # each corpus of egs/ from download to export, on a replica of its archives
#   tools/test.sh --kill                    # a recipe that is killed repeatedly, and one on a full disk
#   tools/test.sh --real                    # the tests on the real corpus and weights instead
#   tools/test.sh --cluster                 # the tests on a real Slurm and Grid Engine: tools/cluster.sh install both
#   tools/test.sh tests/test_install.py -x  # other arguments are passed to pytest
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"
. utils/log.sh

which_tests="not egs and not kill and not real and not cluster" workers=auto  # a worker per core
case ${1-} in
  --help | -h) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"; exit 0 ;;
  --egs) which_tests=egs; shift ;;
  --kill) which_tests=kill workers=0; shift ;;
  --real) which_tests=real workers=0; shift ;;
  --cluster) which_tests=cluster workers=0; shift; set -- -rs "$@" ;;  # -rs names an engine that is not installed
esac

tools/install.sh --dev true
. ./path.sh

log "ruff"
ruff check --quiet .

log "mypy"
mypy --no-error-summary

log "shellcheck"
scripts=()
while IFS= read -r -d '' script; do
  [[ ! -f $script ]] || scripts+=("$script")
done < <(git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run)
shellcheck --external-sources "${scripts[@]}"

log "pytest: $which_tests"
[[ $workers == 0 ]] || export OMP_NUM_THREADS=1
exec python3 -m pytest -m "$which_tests" --numprocesses "$workers" --dist loadfile --no-loadscope-reorder "$@"
