# shellcheck shell=bash
# Source me after path.sh: steps that are passed over while they are up to date, and locks against a second run.
#
#   lock_steps data write
#   step data dump_test --code pyscripts/dump_feats.py --from data/test/wav.scp --to dump/test/feats.scp -- \
#     dump test --compression none
#
# runs `dump test --compression none` (a command or a function) unless data/.steps/dump_test.json says that it has been
# done: with the same words after --, with what --from names unchanged, and what --to names still as it was made.
# utils/steps/step.py --help has the other options. What cannot change the result (the number of jobs, where they run)
# should not be among the words. $force and $status are options of the script that sources me.

# shellcheck source=utils/log.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../log.sh"

_step_py=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)/step.py
: "${force:=false}" "${status:=false}"
declare -A _step_fd=() _step_mode=() _step_shown=()
resumed=false  # for a step's command: it was interrupted, and nothing that it is made from has changed since

# lock_steps DIRECTORY write|read|any: keep others from writing in DIRECTORY until this script ends, however it ends.
# write: be alone there. read: others may read. any: alone if nobody else is there, else read. Given again it changes.
lock_steps() {
  local file=$1/.steps/lock said fd=${_step_fd["$1"]:-}
  if [[ -z $fd && $2 == read && -d $1 && ! -w $1 ]]; then  # somebody else's, to read
    [[ -r $file ]] || return 0
    exec {fd}<"$file"
  elif [[ -z $fd ]]; then
    said=$(mkdir -p -- "$1/.steps" 2>&1 && : 2>&1 >>"$file") \
      || die "$1/ cannot be written in: ${said##*: }. Make it writable or make room there, or work in another directory"
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
  : "$resumed"  # the command may look at it
  "$@"
  code=$?  # of a step in a condition, where a failure does not end the script; its command should be a single one
  ((code == 0)) || return "$code"
  "$_step_py" finish "${facts[@]}"
}
