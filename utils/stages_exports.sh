# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2329  # as in stages.sh, which sources this file
# Steps of stage 5: exports, their comparison with the tuned model, word times, model cards, the hub. stages.sh explains
# what a step is.

# export_model TYPE: merge the tuned model and convert it to CTranslate2.
export_model() {
  export_ct2() {  # TYPE OPTION...
    $train_cmd "$exp/log/export_ct2_$1.log" \
      "$py/export_ct2.py" --config "$train_config" --merged-dir "$exp/merged" "${@:2}" \
      --set "dev_env.ctranslate_model_path=$exp/ct2_$1" --set "dev_env.quantization=$1"
  }
  step "$exp" "export_$1" --costly --code "$py/export_ct2.py" --from "${tuned[@]}" "$exp/strength.json" "$model_dir" \
    --to "$exp/ct2_$1"/{model.bin,vocabulary.json,tokenizer.json} "$exp/merged/config.json" -- \
    export_ct2 "$1" --set "predict.model_path=$exp" --set "dev_env.ori_model_path=$model_dir"
}

# export_forms: export to the forms of --export, for other programs; decode the test sets there, and score them.
export_forms() {
  write_form() {  # FORM MERGED DIRECTORY
    $train_cmd "$exp/log/export_$1.log" "$py/export_form.py" "$@"
  }
  decode_form() {  # SET FORM OPTION...
    $decode_cmd "$exp/log/decode_$1_$2.log" "$py/export_form.py" "${@:3}" --decode "data/$1" \
      --decode-dir "$exp/decode_$1_$2" "$2" "$exp/merged" "$exp/$2"
  }
  local form set
  for form in "${forms[@]}"; do
    log "Stage 5: export to $exp/$form, decoded in its own program"
    step "$exp" "export_$form" --costly --code "$py/export_form.py" --from "${tuned[@]}" "$exp/strength.json" \
      "$exp/merged"/{config.json,model.safetensors} --to "$exp/$form" -- write_form "$form" "$exp/merged" "$exp/$form"
    for set in "${test_sets[@]}"; do
      step "$exp" "decode_${set}_$form" --costly --code "$py/export_form.py" --from "data/$set"/{wav.scp,segments,text} \
        "$exp/$form" --to "$exp/decode_${set}_$form"/{text,decode.json} -- \
        decode_form "$set" "$form" --beam-size "$beam" --window "$window"
      score_system "$form" "$set"
    done
  done
}

# compare_exports SET: write parity.json of each export: how it differs from the tuned model, and why.
compare_exports() {
  compare() {  # SET DECODE_DIR...
    $decode_cmd "$exp/log/check_export_$1.log" \
      "$py/check_export.py" --tolerance inf --merged-dir "$exp/merged" --feats-scp "dump/$1/feats.scp" "${@:2}"
  }
  local tuned_dir=$exp/decode_$1_lora exports=("${types[@]/#/$exp/decode_$1_ct2-}" "${forms[@]/#/$exp/decode_$1_}")
  step "$exp" "compare_exports_$1" --costly --code "$py/check_export.py" \
    --from "$tuned_dir"/{text,decode.json,scores.json} "${exports[@]/%//text}" "${exports[@]/%//decode.json}" \
    "${exports[@]/%//scores.json}" --to "${exports[@]/%//parity.json}" -- \
    compare "$1" "$tuned_dir" "${exports[@]}"
}

# measure_word_times: compare the exports' word times with the base model's. Where there is no $dev_set, the training set
# stands in for it.
measure_word_times() {
  check_word_times() {  # OPTION... EXPORT...
    $decode_cmd "$exp/log/check_word_times.log" \
      "$py/check_word_times.py" --base-dir "$model_dir" --merged-dir "$exp/merged" --output "$exp/word_times.json" "$@"
  }
  local exports=("${types[@]/#/$exp/ct2_}") dev=${dev_set:-$train_set}
  step "$exp" word_times --costly --code "$py/check_word_times.py" \
    --from "$model_dir" "${exports[@]/%//model.bin}" {"data/${test_sets[0]}","data/$dev"}/{wav.scp,segments,text} \
    --to "$exp/word_times.json" "${exports[@]/%//config.json}" -- \
    check_word_times --test "data/${test_sets[0]}" --dev "data/$dev" "${exports[@]}"
}

# write_model_cards: write README.md of adapter, merged model and exports.
write_model_cards() {
  local exports=("${types[@]/#/$exp/ct2_}")
  step "$exp" model_cards --code "$py/write_model_cards.py" \
    --from "data/$train_set/text" "$exp/word_times.json" "$exp"/decode_*/{scores,parity}.json \
    --to "${exports[@]/%//README.md}" "$exp"/{README.md,merged/README.md} -- \
    "$py/write_model_cards.py" --base-dir "$model_dir" --train-text "data/$train_set/text" --license "$license" \
    --data-license "$data_license" --corpus-name "$corpus_name" --repo "$push_to_hub" "$exp"
}

# check_exports: fail if an export is worse than the tuned model by more than --tolerance. It reads the results of
# compare_exports, so another tolerance needs no new comparison.
check_exports() {
  local set directories=()
  ! $status || return 0
  for set in "${test_sets[@]}"; do
    directories+=("$exp/decode_${set}_lora" "${types[@]/#/$exp/decode_${set}_ct2-}" "${forms[@]/#/$exp/decode_${set}_}")
  done
  "$py/check_export.py" --recorded true --tolerance "$tolerance" "${directories[@]}"
}

# push_models: with --push-to-hub, upload adapter and exports to the hub.
push_models() {
  $status || [[ -z $push_to_hub ]] || "$py/push_to_hub.py" --dry-run "$dry_run" "$push_to_hub" "$exp"
}
