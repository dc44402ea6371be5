# shellcheck shell=bash
# Source this file in a script after its defaults are set: every variable that exists then is an option.
#
#   stage=0      # first stage to run
#   skip_bad=false
#   . utils/parse_options.sh
#
# This reads `--stage 3`, `--stage=3`, `--skip-bad true` and `--skip_bad true`, and leaves the arguments after the
# options in "$@". The semantics are Kaldi's:
#   * `--config FILE` (may be repeated) is read first; the command line overrides it. A file has lines `name=value`,
#     `# comments` and blank lines. It is read, never executed: `$` and backticks are plain characters;
#   * an option whose default is true or false takes only these values, and `--skip-bad` alone is `--skip-bad true`;
#   * an unknown option, a missing value or a bad line in a file ends the script with one line that names it, exit 1;
#   * `--help` prints $help_message, or else the comment at the top of the script and its options. An option is shown
#     if it has a comment: `name=default  # what it is`. A comment on a line of its own above an option is the heading
#     of a group;
#   * `--` ends the options.
# Two more functions for scripts: require_names checks options that become parts of paths, save_options writes a file
# for --config. Needs bash 4.2. Everything else is named _po_* because options may have any other name.

# shellcheck source=utils/log.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/log.sh"

# _po_known NAME: whether the script has this option.
_po_known() {
  local _po_name=${1//-/_}
  [[ $_po_name =~ ^[a-zA-Z][a-zA-Z0-9_]*$ && -v $_po_name ]]
}

# _po_is_option WORD: whether WORD is an option of the script, or --config.
_po_is_option() { [[ $1 == --config ]] || { [[ $1 == --* ]] && _po_known "${1#--}"; }; }

# _po_is_flag NAME: whether the option is a flag, true or false.
_po_is_flag() {
  local _po_name=${1//-/_}
  [[ $1 != config && (${!_po_name} == true || ${!_po_name} == false) ]]
}

# _po_set WHERE NAME VALUE: give option NAME its VALUE. WHERE ("x.conf:3: " or nothing) begins an error message.
_po_set() {
  _po_known "${2#--}" || die "${1}unknown option '$2' (--help lists them all)"
  local _po_name=${2#--}
  _po_name=${_po_name//-/_}
  if [[ ${!_po_name} == true || ${!_po_name} == false ]] && [[ $3 != true && $3 != false ]]; then
    die "${1}option '$2' is true or false, not '$3'"
  fi
  printf -v "$_po_name" %s "$3"
}

# _po_read_config FILE: set the options named in FILE.
_po_read_config() {
  [[ -f $1 && -r $1 ]] || die "--config: cannot read '$1'"
  local _po_line _po_name _po_value _po_number=0
  while IFS= read -r _po_line || [[ -n $_po_line ]]; do
    _po_number=$((_po_number + 1))
    _po_line=${_po_line%$'\r'}
    [[ $_po_line =~ ^[[:space:]]*(#.*)?$ ]] && continue
    [[ $_po_line =~ ^[[:space:]]*([a-zA-Z][a-zA-Z0-9_-]*)=(.*)$ ]] \
      || die "$1:$_po_number: expected 'name=value', got '$_po_line'"
    _po_name=${BASH_REMATCH[1]}
    _po_value=${BASH_REMATCH[2]}
    # A value may be quoted, as in a shell. Without quotes it ends before a comment.
    if [[ $_po_value =~ ^\"([^\"]*)\"[[:space:]]*(#.*)?$ || $_po_value =~ ^\'([^\']*)\'[[:space:]]*(#.*)?$ ]]; then
      _po_value=${BASH_REMATCH[1]}
    else
      _po_value=${_po_value%%[[:space:]]#*}
      _po_value=${_po_value%"${_po_value##*[![:space:]]}"}
    fi
    _po_set "$1:$_po_number: " "$_po_name" "$_po_value"
  done <"$1"
}

# _po_help SCRIPT: print $help_message, or else the comment at the top of SCRIPT and its options with their values.
_po_help() {
  if [[ -n ${help_message:-} ]]; then
    printf '%s\n' "$help_message"
    return
  fi
  local _po_script=$1 _po_line _po_head=true _po_names=false _po_heading=
  while IFS= read -r _po_line; do
    [[ $_po_line == *parse_options.sh* && $_po_line != \#* ]] && break
    if $_po_head; then
      case $_po_line in
        '#!'*) continue ;;
        '#'*) _po_line=${_po_line#\#}; printf '%s\n' "${_po_line# }"; continue ;;
      esac
      _po_head=false
    fi
    if [[ $_po_line =~ ^([a-zA-Z][a-zA-Z0-9_]*)=[^#]*[[:space:]]#[[:space:]]*(.*)$ && -v ${BASH_REMATCH[1]} ]]; then
      $_po_names || printf '\nOptions (and their present values):\n'
      [[ -z $_po_heading ]] || printf '\n%s\n' "$_po_heading"
      _po_names=true _po_heading=
      set -- "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
      printf '  --%-20s %s (%s)\n' "${1//_/-}" "$2" "${!1}"
    elif $_po_names && [[ $_po_line =~ ^[[:space:]]+#[[:space:]]*(.*)$ ]]; then
      printf '  %22s %s\n' '' "${BASH_REMATCH[1]}"  # a comment of several lines
    elif [[ $_po_line =~ ^#[[:space:]]+(.*)$ ]]; then
      _po_heading=${BASH_REMATCH[1]}
    elif [[ -n $_po_line ]]; then
      _po_heading=
    fi
  done <"$_po_script"
  if $_po_names; then
    printf '  --%-20s %s\n' config "a file of lines name=value, read before the command line"
  fi
}

# _po_parse SCRIPT ARGUMENT...: set the options; _po_rest gets the other arguments.
_po_parse() {
  local _po_script=$1 _po_option _po_index _po_configs=() _po_names=() _po_values=()
  shift
  while (($#)); do
    case $1 in
      --help | -h)  # the values shown include the options before --help, which a calling script may have set
        for _po_index in "${!_po_names[@]}"; do
          _po_set "" "${_po_names[_po_index]}" "${_po_values[_po_index]}"
        done
        _po_help "$_po_script"
        exit 0
        ;;
      --) shift; break ;;
      --*=*) _po_option=${1%%=*}; set -- "$_po_option" "${1#*=}" "${@:2}" ;;
      --*)
        _po_option=$1
        _po_is_option "$1" || die "unknown option '$1' (--help lists them all)"
        # In `--nj --stage 3` a value is missing; in `--decode-opts "--beam 5"` it is not.
        if (($# < 2)) || _po_is_option "$2"; then
          _po_is_flag "${1#--}" || die "option '$1' needs a value"
          set -- "$1" true "${@:2}"
        fi
        ;;
      *) break ;;
    esac
    if [[ $_po_option == --config ]]; then
      _po_configs+=("$2")
    fi
    if [[ $_po_option != --config || -v config ]]; then
      _po_names+=("$_po_option")
      _po_values+=("$2")
    fi
    shift 2
  done
  _po_rest=("$@")
  for _po_index in "${!_po_configs[@]}"; do
    _po_read_config "${_po_configs[_po_index]}"
  done
  for _po_index in "${!_po_names[@]}"; do
    _po_set "" "${_po_names[_po_index]}" "${_po_values[_po_index]}"
  done
}

# save_options SCRIPT FILE: write the options of SCRIPT with their values to FILE, for --config. Passwords in addresses
# and values of several lines are left out.
save_options() {
  local _po_line _po_value _po_quote _po_partial
  _po_partial=$(dirname -- "$2")/.$(basename -- "$2").$$.partial
  {
    printf '# Written by %s at %(%Y-%m-%d %H:%M:%S)T: the options of this run, for --config\n' "${1##*/}" -1
    while IFS= read -r _po_line && [[ $_po_line != *parse_options.sh* || $_po_line == \#* ]]; do
      [[ $_po_line =~ ^([a-zA-Z][a-zA-Z0-9_]*)=[^#]*[[:space:]]#[[:space:]] && -v ${BASH_REMATCH[1]} ]] || continue
      _po_value=${!BASH_REMATCH[1]}
      [[ $_po_value != *$'\n'* ]] || continue
      _po_quote='"'
      [[ $_po_value != *'"'* ]] || _po_quote="'"
      printf '%s=%s%s%s\n' "${BASH_REMATCH[1]}" "$_po_quote" "$_po_value" "$_po_quote"
    done <"$1" | sed -E 's#://[^/@ ]+@#://#g'
  } >"$_po_partial" || die "$2 cannot be written"
  mv -- "$_po_partial" "$2"
}

# require_names VALUE...: die unless every word of every VALUE can be the name of a file or directory.
require_names() {
  local value words word shown
  for value in "$@"; do
    printf -v shown %q "$value"
    [[ $value != *[[:cntrl:]]* ]] || die "a name with a line end or control character in it: $shown. Use another name"
    read -ra words <<<"$value"
    for word in "${words[@]}"; do
      [[ $word != [-.]* && $word != */* ]] || die "'$word' cannot be a name: it begins with - or . or has a / in it. Use another name"
    done
  done
}

_po_parse "${BASH_SOURCE[1]}" "$@"
set -- ${_po_rest[@]+"${_po_rest[@]}"}
unset _po_rest
