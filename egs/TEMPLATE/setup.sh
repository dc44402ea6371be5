#!/usr/bin/env bash
# Start a corpus of your own from egs/TEMPLATE.
#
#   egs/TEMPLATE/setup.sh egs/mine
#
# makes egs/mine/{run.sh,local/download_mine.py,local/prepare_mine.py,README.md,RESULTS.md} and says what to fill in.
set -euo pipefail
here=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source=utils/log.sh
. "$here/../../utils/log.sh"

if [[ $# != 1 || $1 == -* ]]; then
  echo "usage: egs/TEMPLATE/setup.sh egs/NAME" >&2
  [[ ${1:-} == --help || ${1:-} == -h ]] && exit 0
  exit 1
fi
target=${1%/}
name=$(basename -- "$target")
[[ $name =~ ^[a-z][a-z0-9_]*$ ]] || die "the name '$name' cannot be that of a Python module: use a-z, 0-9 and _, a letter first"
[[ $name != template && $name != prompts ]] || die "the name '$name' is taken"
[[ -f $(dirname -- "$target")/../run.sh ]] || die "$target: not in the egs/ of a recipe: no run.sh two levels up"
[[ ! -e $target ]] || die "$target exists"

partial=$target.partial.$$
trap 'rm -rf -- "$partial"' EXIT
mkdir -- "$partial"
for path in run.sh RESULTS.md README.corpus.md local/download_template.py local/prepare_template.py; do
  copy=$partial/${path//template/$name}
  copy=${copy/README.corpus/README}
  mkdir -p -- "$(dirname -- "$copy")"
  sed "s/template/$name/g" "$here/$path" >"$copy"
done
chmod +x -- "$partial"/run.sh "$partial"/local/*.py
mv -- "$partial" "$target"

cat <<END
$target is there. Three things to fill in:
  1. The data: link your folder of audio with its table (csv, tsv or jsonl: path, text, translation, language):
       mkdir -p $target/download && ln -s /path/to/your/folder $target/download/$name
     or name archives to download in $target/local/download_$name.py.
  2. Another form than a table: read it in $target/local/prepare_$name.py.
  3. $target/run.sh: languages, tasks and model, as options; README.md and RESULTS.md: what it is and what came out.
Then: $target/run.sh. More in egs/TEMPLATE/README.md.
END
