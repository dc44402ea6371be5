# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2329  # as in stages.sh, which sources this file
# Steps that measure models on recordings, in the runtimes that users run them in.

recording_runtimes="faster-whisper faster-whisper-batched recognizer"

# choose_long_sets: set $long_sets; `auto` makes recordings of the test sets of the default corpus, which has none.
choose_long_sets() {
  if [[ $long_set == auto ]]; then
    long_set=
    [[ $corpus != "$recipe/local" || $corpus_name != prompts ]] || long_set="${test_sets[*]}"
  fi
  read -ra long_sets <<<"$long_set"
}

# make_long_sets: join utterances of each SET of $long_sets into recordings, data/SET_long.
make_long_sets() {
  local set
  for set in "${long_sets[@]}"; do
    step data "long_$set" --code "$py/make_long_set.py" --from "data/$set"/{wav.scp,segments,text,utt2spk} \
      --to "data/${set}_long"/{wav.scp,segments,text} -- "$py/make_long_set.py" "data/$set" "data/${set}_long"
  done
}

# measure_recordings: decode recordings with the base model and all exports, and score them.
measure_recordings() {
  local set type
  for set in "${long_sets[@]}"; do
    log "Stage 5: recordings of $set in $recording_runtimes"
    measure_system base "$set" "${types[0]}"
    for type in "${types[@]}"; do
      measure_system "ct2-$type" "$set" "$type"
    done
  done
}

# measure_system SYSTEM SET TYPE: decode the recordings of SET with the base model (base) or an export (ct2-TYPE) in
# each runtime, computed in TYPE, and score them.
measure_system() {
  decode_recordings() {  # SYSTEM SET OPTION...
    $decode_cmd "$exp/log/recordings_$2_$1.log" \
      "$py/decode_recordings.py" --system "$1" "${@:3}" "data/$2_long" "$exp/recordings"
  }
  score_recordings() {  # SYSTEM SET RUNTIME OPTION...
    $train_cmd "$exp/log/score_recordings_$2_$3_$1.log" \
      "$py/score.py" "${@:4}" --ref "data/$2_long/text" --nj "$nj" "$exp/recordings/decode_$2_long-$3_$1"
  }
  local model=$model_dir runtime dirs=()
  [[ $1 == base ]] || model=$exp/ct2_${1#ct2-}
  for runtime in $recording_runtimes; do
    dirs+=("$exp/recordings/decode_$2_long-${runtime}_$1")
  done
  step "$exp" "recordings_$2_$1" --costly --code "$py/decode_recordings.py" --from "data/$2_long"/{segments,text} "$model" \
    --to "${dirs[@]/%//text}" "${dirs[@]/%//times.json}" -- \
    decode_recordings "$1" "$2" --model "$model" --compute-type "$3" --runtimes "$recording_runtimes"
  for runtime in $recording_runtimes; do
    step "$exp" "score_recordings_$2_${runtime}_$1" --code "$py/score.py" \
      --from "$exp/recordings/decode_$2_long-${runtime}_$1/text" "data/$2_long/text" \
      --to "$exp/recordings/decode_$2_long-${runtime}_$1/scores.json" -- \
      score_recordings "$1" "$2" "$runtime" --normalizer "$normalizer" --digits "$digits"
  done
}

# check_recordings: fail if an export is worse than the base model on recordings by more than --tolerance.
check_recordings() {
  $status || ((${#long_sets[@]} == 0)) || "$py/check_recordings.py" --tolerance "$tolerance" "$exp"
}
