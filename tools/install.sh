#!/usr/bin/env bash
# Make tools/venv, the environment of the recipe, from tools/requirements.txt (pinned, wheels only: nothing is
# compiled, no root). Given again it returns at once, after an interruption it goes on, and two at a time wait for
# each other. Assumed: Python 3.10 or newer with venv, bash, coreutils.
#
# Without a GPU, torch comes as a CPU build where pip's sources have one (`torch==X+cpu`).
# With PYTHON=/path/to/python set, nothing is installed: that environment is checked against the requirements.
#
#   tools/install.sh
#   tools/install.sh --torch-index URL      # take torch (a CPU build, another CUDA) from this pip index
#   PYTHON=~/env/bin/python tools/install.sh
set -euo pipefail

tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

python=python3    # the interpreter to build on
venv=$tools/venv  # where the environment goes; path.sh looks for tools/venv
torch_index=      # pip index to take torch from instead of pip's configured sources
force=false       # build from scratch even if the environment is up to date
news_every=10     # seconds between two words about a step that takes long
# shellcheck source=utils/parse_options.sh
. "$tools/../utils/parse_options.sh"
[[ $# == 0 ]] || die "'$1' is no option (--help lists them all)"

requirements=$tools/requirements.txt
constraints=$tools/constraints.txt
log_file=$venv/install.log
installed=$venv/.installed  # written last: what a complete environment was made from
made_from=$(cat -- "$requirements" "$constraints" | sha256sum)

step() { printf '%s [%2d:%02d] %s\n' "${0##*/}" $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }

up_to_date() {
  local hash='' index=''
  [[ -x $venv/bin/python && -f $installed ]] || return 1
  { read -r hash && read -r index; } <"$installed" || true
  [[ $hash == "$made_from" && (-z $torch_index || $index == "$torch_index") ]]
}

# check_pins PYTHON REMEDY: give up if it does not meet the requirements, and say which.
check_pins() {
  "$1" - "$requirements" <<'EOF' || die "$1 does not meet $requirements (see above): $2"
import re, sys
from importlib.metadata import PackageNotFoundError, version
bad = [] if sys.version_info >= (3, 10) else [f"  python: 3.10 or newer wanted, found {sys.version.split()[0]}"]
for name, wanted in re.findall(r"^([\w-]+)==(\S+)", open(sys.argv[1], encoding="utf-8").read(), re.M):
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "none"
    if found.split("+")[0] != wanted:  # 2.13.0+cpu is a build of 2.13.0
        bad.append(f"  {name}: {wanted} wanted, found {found}")
sys.exit("\n".join(bad) or 0)
EOF
}

# lock: be the only one at work on $venv until this script ends, however it ends. The kernel ties the lock to
# file descriptor 9, which this shell keeps open; Python only asks for it, because flock(1) is not everywhere.
lock() {
  [[ -e $venv/.lock || -e $venv/pyvenv.cfg || -z $(ls -A -- "$venv" 2>/dev/null) ]] \
    || die "--venv: '$venv' is not empty and no environment either; name another directory"
  mkdir -p -- "$venv"
  exec 9>>"$venv/.lock"
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
  step "another install.sh is at work on $venv: waiting for it"
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

# watched COMMAND...: run it with its output in the log, and now and then say how far it is.
watched() {
  local job shown=$SECONDS line news
  "$@" >>"$log_file" 2>&1 &
  job=$!  # the process substitution below changes $!
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    ((SECONDS - shown >= news_every)) || continue
    shown=$SECONDS news="still at it"
    while IFS= read -r line; do
      [[ $line != [A-Z]* || $line == WARNING* ]] || news=$line  # indented lines are details
    done < <(tail -n 50 -- "$log_file")
    step "  ... ${news:0:80}"
  done
  wait "$job"
}

pip_install() {
  watched "$venv/bin/python" -m pip install --only-binary=:all: --no-input --disable-pip-version-check \
    --progress-bar off "$@"
}

give_up() {
  tail -n 12 -- "$log_file" >&2
  die "$1 (all of it: $log_file). Given again, the command goes on where it stopped"
}

has_gpu() {
  local devices
  devices=$(timeout 30 nvidia-smi -L 2>/dev/null) && [[ $devices == *GPU* ]]
}

check_python() {
  command -v "$python" >/dev/null || die "there is no '$python': install Python 3.10 or newer, or name one with --python"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
    || die "'$python' is older than Python 3.10: name a newer one with --python"
  "$python" -c 'import venv, ensurepip' 2>/dev/null \
    || die "'$python' cannot make environments: add its venv module (on Debian: apt-get install python3-venv), or name another Python with --python"
}

make_venv() {
  local old
  if $force || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    for old in "$venv"/* "$venv"/.[!.]*; do
      [[ $old == "$venv/.lock" ]] || rm -rf -- "$old"
    done
    step "making $venv with $("$python" -V)"
    watched "$python" -m venv "$venv" || give_up "no environment could be made"
  fi
}

install_torch() {
  local torch line
  while read -r torch line; do [[ $torch != torch==* ]] || break; done <"$requirements"
  if [[ -n $torch_index ]]; then
    step "$torch from $torch_index"
    pip_install --no-deps --force-reinstall --index-url "$torch_index" "$torch" || give_up "$torch_index gave no $torch"
  elif has_gpu; then
    step "$torch for CUDA: several GB"
    pip_install --no-deps "$torch,!=${torch#*==}+cpu" || give_up "$torch could not be installed"
  else
    step "$torch+cpu: no GPU here"
    pip_install --no-deps "$torch+cpu" && return
    step "pip's sources have no $torch+cpu: taking $torch, which may bring several GB of CUDA packages (--torch-index can name an index with a CPU build)"
    pip_install --no-deps "$torch" || give_up "$torch could not be installed"
  fi
}

install_rest() {
  local pins
  pins=$(<"$constraints")
  [[ -z $torch_index ]] || pins=${pins%%'# What torch'*}  # another build needs other CUDA packages
  step "the other packages"
  pip_install -r "$requirements" -c <(printf '%s\n' "$pins") || give_up "the packages could not be installed"
}

if [[ -n ${PYTHON:-} ]]; then
  check_pins "$PYTHON" "install these there, or unset PYTHON"
  exit 0
fi
$force || ! up_to_date || exit 0

check_python
lock
# What was waited for may have done the work.
$force || ! up_to_date || exit 0
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM HUP
rm -f -- "$installed"
make_venv
install_torch
install_rest
check_pins "$venv/bin/python" "run it again with --force true"
if has_gpu && ! "$venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  step "WARNING: there is a GPU, but this torch cannot use it: compare nvidia-smi's CUDA version with torch's, and name a fitting build with --torch-index URL"
fi
printf '%s\n%s\n' "$made_from" "$torch_index" >"$installed.new"
mv -- "$installed.new" "$installed"
step "$venv is complete"
