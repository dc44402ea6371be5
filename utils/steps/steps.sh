# shellcheck shell=bash
# Source this file after path.sh: steps that are skipped while they are up to date, and locks against a second run.
#
#   lock_steps data write
#   step data dump_test --code pyscripts/dump_feats.py --from data/test/wav.scp --to dump/test/feats.scp -- \
#     dump test --compression none
#
# runs `dump test --compression none` (a command or a function) unless its marker, data/.steps/dump_test.json, says that
# this has been done with the same words after --, and neither the files after --from nor those after --to have changed
# since. utils/steps/step.py --help explains the other options. Settings that cannot change the result (the number of
# jobs, where they run) do not belong among the words. $force and $status are options of the script that sources this.

# shellcheck source=utils/log.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../log.sh"

_step_py=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)/step.py
: "${force:=false}" "${status:=false}"
declare -A _step_fd=() _step_mode=() _step_shown=()
resumed=false  # for a step's command: whether the step was interrupted and its inputs have not changed since

# lock_steps DIRECTORY write|read|any: lock DIRECTORY against runs that write, until this script ends or is killed.
# write: exclusive. read: shared with other readers. any: exclusive if possible, else shared. A second call changes it.
lock_steps() {
  local file=$1/.steps/lock said fd=${_step_fd["$1"]:-}
  if [[ -z $fd && $2 == read && -d $1 && ! -w $1 ]]; then  # no permission to write: lock for reading
    [[ -r $file ]] || return 0
    exec {fd}<"$file"
  elif [[ -z $fd ]]; then
    said=$(mkdir -p -- "$1/.steps" 2>&1 && : 2>&1 >>"$file") \
      || die "$1/ is not writable: ${said##*: }. Make it writable or make room there, or work in another directory"
    exec {fd}>>"$file"
  fi
  _step_fd["$1"]=$fd
  said=$("$_step_py" lock "$file" --fd "$fd" --mode "$2" --pid $$ -- "${command_line:-$0}") || exit
  _step_mode["$1"]=$said
}

# step DIRECTORY NAME [OPTION...] -- COMMAND [ARGUMENT...]: run COMMAND unless its marker in DIRECTORY is up to date.
step() {
  local name=$2 mode=${_step_mode["$1"]:-none} action=begin code=0 said
  local facts=("$1/.steps/$2.json" "${@:3}") lock=$1/.steps/lock
  ! $force || facts=(--force "${facts[@]}")
  if $status; then
    [[ -n ${_step_shown["$1/$2"]:-} ]] || "$_step_py" status "${facts[@]}"
    _step_shown["$1/$2"]=true
    return
  fi
  shift 2
  while [[ $1 != -- ]]; do shift; done
  shift

  [[ $mode != read ]] || action=check
  said=$("$_step_py" "$action" "${facts[@]}") || code=$?
  case $code in
    0) log "$name: $said"; return ;;
    10 | 11) log "$name: $said" ;;
    *) exit "$code" ;;
  esac
  [[ $mode != read ]] || "$_step_py" blocked "$lock" --pid $$
  if ((code == 11)); then resumed=true; else resumed=false; fi
  : "$resumed"  # the command may use it
  "$@"
  code=$?  # set -e is off if step is called in a condition; COMMAND should then be a single command
  ((code == 0)) || return "$code"
  "$_step_py" finish "${facts[@]}"
}
