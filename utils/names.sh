# shellcheck shell=bash
# Source me after utils/parse_options.sh: names that become parts of paths.

# require_names VALUE...: die unless every word of every VALUE can be the name of a file or directory of ours.
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
