#!/usr/bin/env bash
# Make tools/venv, the environment of the recipe, from tools/requirements.txt (pinned, wheels only: nothing is
# compiled, no root). If the environment is up to date, it returns at once; after an interruption it resumes; two runs
# at the same time wait for each other. Requires Python 3.10 or newer with venv, bash and coreutils. `--dev true` adds
# the packages of tests and checkers (tools/requirements-dev.txt) to the same environment.
#
# Without a GPU, the CPU build of torch is installed (`torch==X+cpu`) if pip's sources have it.
# With PYTHON=/path/to/python set, nothing is installed: only that environment is checked against the requirements.
#
#   tools/install.sh
#   tools/install.sh --dev true             # tools/test.sh does this itself
#   tools/install.sh --torch-index URL      # install torch (a CPU build, another CUDA) from this pip index
#   PYTHON=~/env/bin/python tools/install.sh
set -euo pipefail

tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

python=python3    # the Python to make the environment with
venv=$tools/venv  # directory of the environment; path.sh uses tools/venv
torch_index=      # pip index for torch, instead of pip's configured sources
dev=false         # also install the developers' packages
force=false       # build from scratch even if the environment is up to date
news_every=10     # seconds between progress lines of a long step
# shellcheck source=utils/parse_options.sh
. "$tools/../utils/parse_options.sh"
[[ $# == 0 ]] || die "'$1' is no option (--help lists them all)"

requirements=$tools/requirements.txt
dev_requirements=$tools/requirements-dev.txt
constraints=$tools/constraints.txt
log_file=$venv/install.log
# The stamp, written when the environment is complete. Three lines: checksum of the users' requirements, pip index of
# torch, checksum of the developers' requirements (empty: their packages are not installed).
installed=$venv/.installed
former=$venv/.installed.former  # stamp of the environment while it is being updated
made_from=$(cat -- "$requirements" "$constraints" | sha256sum)
dev_made_from=$(cat -- "$dev_requirements" "$constraints" | sha256sum)

step() { printf '%s [%2d:%02d] %s\n' "${0##*/}" $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }

users_up_to_date() {
  local hash='' index=''
  [[ -x $venv/bin/python && -f $installed ]] || return 1
  { read -r hash && read -r index; } <"$installed" || true
  [[ $hash == "$made_from" && (-z $torch_index || $index == "$torch_index") ]]
}

# dev_stamp: print the third line of the stamp.
dev_stamp() { [[ ! -f $installed ]] || sed -n 3p -- "$installed"; }

up_to_date() { users_up_to_date && { ! $dev || [[ $(dev_stamp) == "$dev_made_from" ]]; }; }

# stamp DEV_MADE_FROM: write the stamp of a complete environment.
stamp() {
  printf '%s\n' "$made_from" "$torch_index" "$1" >"$installed.new"
  mv -- "$installed.new" "$installed"
}

# check_pins PYTHON REQUIREMENTS REMEDY: die if PYTHON does not meet the requirements, and print which.
check_pins() {
  "$1" - "$2" <<'EOF' || die "$1 does not meet $2 (see above): $3"
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

# lock: get an exclusive lock on $venv until this script ends or is killed. The kernel ties the lock to file descriptor
# 9, which this shell keeps open. Python requests it, because not every system has flock(1).
lock() {
  [[ -e $venv/.lock || -e $venv/pyvenv.cfg || -z $(ls -A -- "$venv" 2>/dev/null) ]] \
    || die "--venv: '$venv' is not empty and no environment either; name another directory"
  mkdir -p -- "$venv"
  exec 9>>"$venv/.lock"
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
  step "waiting for another install.sh, which works on $venv"
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

# watched COMMAND...: run COMMAND with its output in the log, and print progress lines.
watched() {
  local job shown=$SECONDS line news
  "$@" >>"$log_file" 2>&1 &
  job=$!  # the process substitution below changes $!
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    ((SECONDS - shown >= news_every)) || continue
    shown=$SECONDS news="still running"
    while IFS= read -r line; do
      [[ $line != [A-Z]* || $line == WARNING* ]] || news=$line  # indented lines are details of pip
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

# install_packages REQUIREMENTS: install them with the pinned constraints.
install_packages() {
  local pins
  pins=$(<"$constraints")
  [[ -z $torch_index ]] || pins=${pins%%'# What torch'*}  # another build of torch needs other CUDA packages
  pip_install -r "$1" -c <(printf '%s\n' "$pins") || give_up "the packages could not be installed"
}

install_users() {
  [[ ! -f $installed ]] || mv -- "$installed" "$former"
  make_venv
  install_torch
  step "the other packages"
  install_packages "$requirements"
  check_pins "$venv/bin/python" "$requirements" "run it again with --force true"
  if has_gpu && ! "$venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    step "WARNING: there is a GPU, but this torch cannot use it: compare nvidia-smi's CUDA version with torch's, and name a fitting build with --torch-index URL"
  fi
  stamp "$([[ ! -f $former ]] || sed -n 3p -- "$former")"  # developers' packages stay installed
  rm -f -- "$former"
}

# install_dev: add the developers' packages. The environment stays usable meanwhile, and keeps its stamp on failure.
install_dev() {
  torch_index=${torch_index:-$(sed -n 2p -- "$installed")}
  step "the developers' packages"
  install_packages "$dev_requirements"
  check_pins "$venv/bin/python" "$dev_requirements" "run it again with --force true"
  stamp "$dev_made_from"
}

if [[ -n ${PYTHON:-} ]]; then
  check_pins "$PYTHON" "$requirements" "install these there, or unset PYTHON"
  ! $dev || check_pins "$PYTHON" "$dev_requirements" "install these there, or unset PYTHON"
  exit 0
fi
$force || ! up_to_date || exit 0

check_python
lock
# Another install.sh may have made the environment while this one waited.
$force || ! up_to_date || exit 0
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM HUP
if $force || ! users_up_to_date; then
  install_users
fi
if $dev && [[ $(dev_stamp) != "$dev_made_from" ]]; then
  install_dev
fi
step "$venv is complete"
