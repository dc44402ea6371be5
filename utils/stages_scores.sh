# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2329  # as in stages.sh, which sources this file
# Steps of stages 4 and 5 that make scores: decoding, scoring, reports. stages.sh explains what a step is.

# searches SYSTEM: print the system, and, where it is decoded greedily, too, the name of that.
searches() {
  printf '%s\n' "$1"
  [[ $greedy != true || $beam == 1 ]] || printf '%s\n' "$1-greedy"
}

# decode_set SYSTEM SET: decode SET with the base model (base), the tuned model (lora), its adapter at a share of its
# trained weight (lora-SHARE) or an export (ct2-TYPE), into $decoded.
decode_set() {
  decode() {  # SYSTEM SET OPTION...
    local dir=$decoded/decode_$2_$1
    rm -rf -- "$dir-greedy"
    $decode_cmd JOB=1:"$inference_nj" "$exp/log/decode_$2_$1.JOB.log" \
      "$py/predict.py" --config "$train_config" "${@:3}" --decode-dir "$dir" --system "$1" --set-name "$2" \
      --job JOB --num-jobs "$inference_nj"
    ((inference_nj == 1)) || "$py/predict.py" --combine true --num-jobs "$inference_nj" --decode-dir "$dir"
  }
  local section=predict.eval files options exported=() made
  mapfile -t made < <(searches "$1")
  made=("${made[@]/#/$decoded/decode_$2_}")
  case $1 in
    base) files=("$model_dir") options=(--set "predict.model_path=$model_dir" --set predict.window=full) ;;
    lora-*) files=("$exp/adapter_model.safetensors") options=(--set "predict.model_path=$exp" --strength "${1#lora-}") ;;
    lora) files=("${tuned[@]}" "$exp/strength.json") options=(--set "predict.model_path=$exp") ;;
    ct2-*)
      section=dev_env.dev exported=(--backend ctranslate2)
      files=("$exp/ct2_${1#ct2-}"/{model.bin,vocabulary.json,tokenizer.json})
      options=(--set "dev_env.ctranslate_model_path=$exp/ct2_${1#ct2-}")
      ;;
  esac
  step "$exp" "decode_$2_$1" --costly --code "$py/predict.py" --section "$train_config" predict \
    --section "$train_config" dev_env --from "dump/$2/utt2digest" "${files[@]}" \
    --to "${made[@]/%//text}" "${made[@]/%//decode.json}" -- \
    decode "$1" "$2" --set "model.model_path=$model_dir" --set "predict.beam_size=$beam" \
    --set "predict.also_greedy=$greedy" --set "predict.backend=$backend" "${exported[@]}" \
    --set "$section.feats_scp=dump/$2/feats.scp" --set "$section.text=data/$2/text" "${options[@]}"
}

# find_relatives SET: find the targets of SET that have a relative among the training texts: reports score the others
# apart.
find_relatives() {
  step "$exp" "relatives_$1" --code "$py/find_relatives.py" --from "data/$train_set/text" "data/$1/text" \
    --to "$exp/relatives_$1.tsv" -- \
    "$py/find_relatives.py" --train-text "data/$train_set/text" "data/$1/text" "$exp/relatives_$1.tsv"
}

# score_set SYSTEM SET: score the hypotheses of decode_set.
score_set() {
  local system
  for system in $(searches "$1"); do
    score_system "$system" "$2"
  done
}

# score_system SYSTEM SET: score one decode directory.
score_system() {
  score() {  # SYSTEM SET OPTION...
    $train_cmd "$exp/log/score_$2_$1.log" \
      "$py/score.py" "${@:3}" --ref "data/$2/text" --utt2spk "data/$2/utt2spk" --nj "$nj" "$decoded/decode_$2_$1"
  }
  local dir=$decoded/decode_$2_$1 bpe=data/$train_set/token_bpe/bpe.model
  step "$exp" "score_$2_$1" --code "$py/score.py" \
    --from "$dir"/{text,decode.json} "data/$2"/{text,utt2spk} "$bpe" "$exp/relatives_$2.tsv" \
    --to "$dir"/{scores.json,utterances.jsonl,suspects.tsv,unseen.json} -- \
    score "$1" "$2" --normalizer "$normalizer" --digits "$digits" --bpe-model "$bpe" \
    --relatives "$exp/relatives_$2.tsv"
}

# score_earlier_exports SET: score what an earlier stage 5 decoded. Other options or rules would make scores that cannot be
# compared.
score_earlier_exports() {
  local dir
  for dir in "$exp/decode_$1"_{ct2-,ggml-,openai}*; do
    [[ ! -f $dir/decode.json ]] || score_system "${dir#"$exp/decode_$1_"}" "$1"
  done
}

# write_report: write RESULTS.md, results.json and report.html in $exp; again whenever there are new scores.
write_report() {
  make_reports() {  # OPTION...
    "$py/make_report.py" --command "$command_line" --data data "$@" "$exp"
  }
  local set references=()
  for set in "${test_sets[@]}" "${forget_sets[@]}"; do
    references+=("data/$set"/{text,wav.scp,utt2dur,machine_made.json})
  done
  step "$exp" report --code "$py/make_report.py" \
    --from "$exp"/decode_*/{scores.json,utterances.jsonl,decode.json,parity.json} "$exp/word_times.json" \
    "$exp"/train_{summary,history}.json "$exp/strength.json" \
    "$exp"/recordings/decode_*/{scores,times}.json \
    "${references[@]}" --to "$exp"/{RESULTS.md,results.json,report.html} -- \
    make_reports --corpus-name "$corpus_name" --forget-set "$forget_set" --audio "$audio" \
    --max-audio-mb "$max_audio_mb" --allow-pipes "$allow_pipes"
}
