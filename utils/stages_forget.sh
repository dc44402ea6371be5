# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # as in stages.sh, which sources this file
# What a model may forget: the default corpus' forget set is a sample of dialogues in languages that it does not have.
# Another sample is to choose the adapter's strength on, and a third one, in one of the languages, is for rehearsal.

dialogues=$recipe/egs/fillets/local

# choose_forget_sets: set $forget_sets and $forget_dev_sets; `auto` is a sample of dialogues, if the corpus is the default
# one. $other_sets are all sets that the corpus does not have. Set $long_sets, too.
choose_forget_sets() {
  local has_dialogues=false
  forget_dialogues=false
  [[ $forget_set != auto || $corpus != "$recipe/local" || $corpus_name != prompts ]] || forget_dialogues=true
  if $forget_dialogues && { ((stage <= 1)) || [[ -f data/dialogues/text ]]; }; then has_dialogues=true; fi
  choose_set forget_set dialogues
  choose_set forget_dev_set dialogues_dev
  choose_set rehearsal_set dialogues_rehearsal
  split_sets
  choose_long_sets
}

# choose_set OPTION SET: where the option is `auto`, make it SET if $has_dialogues, else empty.
choose_set() {
  local -n option=$1
  [[ $option != auto ]] || if $has_dialogues; then option=$2; else option=; fi
}

# split_sets: set the arrays of the sets that the options name.
split_sets() {
  read -ra forget_sets <<<"$forget_set"
  read -ra forget_dev_sets <<<"$forget_dev_set"
  read -ra other_sets <<<"$forget_set $forget_dev_set $rehearsal_set"
}

# download_dialogues: download the dialogues that the default forget set is a sample of. Where they cannot be had, go on
# without it.
download_dialogues() {
  local to=$download_dir/fillets
  step data download_dialogues --code "$dialogues/download_fillets.py" --to "$to"/fillets-ng-data{,-cs,-nl} -- \
    "$dialogues/download_fillets.py" "$to" || log "Without them, this run does not measure what tuning makes forget"
}

# prepare_dialogues: write the lists of the default forget set, if its dialogues were downloaded.
prepare_dialogues() {
  local from=$download_dir/fillets
  if [[ ! -d $from/fillets-ng-data-nl ]]; then
    [[ $forget_set != dialogues ]] || forget_set=
    [[ $forget_dev_set != dialogues_dev ]] || forget_dev_set=
    [[ $rehearsal_set != dialogues_rehearsal ]] || rehearsal_set=
    split_sets
    return
  fi
  step data prepare_dialogues --code "$dialogues/prepare_fillets.py" --from "$from" \
    --to data/dialogues{,_dev,_rehearsal}/{transcribe,translate}/{wav.scp,text,utt2spk} -- \
    "$dialogues/prepare_fillets.py" --sample 60 "$from" data
}

# write_rehearsal: have the base model write what $rehearsal_set is trained with.
write_rehearsal() {
  local decoded=$exp/rehearsal greedy=false
  [[ -n $rehearsal_set ]] || return 0
  log "Stage 3: the base model writes the targets of $rehearsal_set"
  decode_set base "$rehearsal_set"
}
