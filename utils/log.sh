# shellcheck shell=bash
# Source this file: log lines with time and place, and an error message with exit.

# log MESSAGE...: one line on stderr with time, script and line.
log() {
  printf '%(%Y-%m-%dT%H:%M:%S)T (%s:%s) %s\n' -1 "${BASH_SOURCE[1]##*/}" "${BASH_LINENO[0]}" "$*" >&2
}

# die MESSAGE...: one line on stderr that names the script, and exit 1.
die() {
  printf '%s: error: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
