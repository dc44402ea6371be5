# shellcheck shell=bash
# Source this file, from any directory: it sets the environment of all scripts of the recipe, and does nothing else.
# PATH gets the interpreter and utils/jobs/ (so that cmd.sh can name the job drivers as Kaldi does).
#
# The interpreter is tools/venv's, or the one that $PYTHON names (tools/install.sh checks that it has what is needed).

_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

if [[ -n ${PYTHON:-} ]]; then
  _bin=$("$PYTHON" -c 'import os, sys; print(os.path.dirname(sys.executable))') || {
    echo "path.sh: error: PYTHON=$PYTHON does not run" >&2
    return 1
  }
elif [[ -e $_root/tools/venv/.installed ]]; then
  _bin=$_root/tools/venv/bin
else
  echo "path.sh: error: no complete environment in $_root/tools/venv; run $_root/tools/install.sh" >&2
  return 1
fi

# Sourcing twice must not make PATH longer.
[[ $PATH == "$_bin:$_root/utils/jobs":* ]] || PATH=$_bin:$_root/utils/jobs:$PATH
export PATH
export PYTHONPATH=$_root
export PYTHONUNBUFFERED=1  # a job's log is written without delay
export PYTHONUTF8=1        # otherwise LC_ALL=C would make Python read lists as ASCII
export LC_ALL=C            # the same sort order in all tools, as Kaldi requires
unset _root _bin
