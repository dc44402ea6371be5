# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # as in stages.sh, which sources this file
# The steps of stage 3 that choose the share of its trained weight at which an adapter is used.

# choose_strength: decode $dev_set and $forget_dev_set with the adapter at each share of $strength, and keep the best.
choose_strength() {
  local set share decoded=$exp/strength made=()
  [[ $strength != 1 || -f $exp/strength.json ]] || return 0
  if [[ $strength == *[[:space:]]* ]]; then
    for set in "$dev_set" "${forget_dev_sets[@]}"; do
      log "Stage 3: decode $set with the adapter at $strength of its weight"
      find_relatives "$set"
      [[ $set == "$dev_set" ]] || decode_and_score base "$set"
      for share in $strength; do
        greedy=false decode_and_score "lora-$share" "$set"
        made+=("$decoded/decode_${set}_lora-$share"/scores.json)
      done
    done
  fi
  step "$exp" strength --code "$py/choose_strength.py" --from "$exp/adapter_model.safetensors" "${made[@]}" \
    --to "$exp/strength.json" -- \
    "$py/choose_strength.py" --strengths "$strength" --dev-set "$dev_set" --forget-sets "${forget_dev_sets[*]}" "$exp"
}

# decode_and_score SYSTEM SET: decode_set, then score_set.
decode_and_score() {
  decode_set "$1" "$2"
  score_set "$1" "$2"
}
