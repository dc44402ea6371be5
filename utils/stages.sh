# shellcheck shell=bash
# shellcheck disable=SC2154  # variables are run.sh's options
# Source me in run.sh: what its steps run. What decides a step's result are a function's arguments, which `step` keeps
# in the marker; how it is run (where, in how many jobs) are run.sh's variables, which may change.

# lock_run: no other run may write what this one does; see utils/steps/steps.sh. Runs with different tags share data/.
lock_run() {
  if ((stage <= 2)); then lock_steps data any; else lock_steps data read; fi
  ((stop_stage < 3)) || lock_steps "$exp" write
}

# share_data: lists and features are made; others may read them, too, from now on.
share_data() {
  $status || ((stop_stage < 3)) || lock_steps data read
}

# get_model MODEL DIRECTORY
get_model() {
  local source=()
  [[ ! -d $1 ]] || source=(--from "$1")
  step data "model_$(basename -- "$2")" --code "$py/download_model.py" "${source[@]}" --to "$2" -- \
    "$py/download_model.py" --model "$1" "$2"
}

# run_corpus SCRIPT LANGUAGES OPTIONS ARGUMENT...: a script of the corpus; OPTIONS are words, quoted as in a shell, none
# executed.
run_corpus() {
  local words
  mapfile -d '' -t words < <(xargs -r printf '%s\0' <<<"$3")
  wait "$!" || die "$1: its options have an open quote"
  "$corpus/$1_$corpus_name.py" --languages "$2" "${words[@]}" "${@:4}"
}

# task_lists SET TASK: the lists that stage 1 merges.
task_lists() { printf '%s\n' "data/$1/$2"/{wav.scp,text,utt2spk}; }

# prepared_lists: what prepare_*.py writes; a teacher's translations take the place of some.
prepared_lists() {
  local set
  for set in "${own_sets[@]}"; do
    task_lists "$set" transcribe
    [[ -n $teacher && " ${teacher_sets[*]} " == *" $set "* ]] || task_lists "$set" translate
  done
}

# label_translations SET...: have the teacher translate what has no translation.
label_translations() {
  local set dir=$teacher from
  if [[ ! -f $teacher/model.bin ]]; then  # CTranslate2's directories are used as they are
    dir=$download_dir/$(basename -- "$teacher")
    get_model "$teacher" "$dir"
  fi
  for set in "$@"; do
    log "Stage 1: $teacher translates data/$set"
    mapfile -t from < <(task_lists "$set" transcribe)
    step data "teacher_$set" --costly --code "$py/label_translations.py" --from "$dir" "${from[@]}" \
      --to "data/$set/translate"/{wav.scp,text,utt2spk,machine_made.json} -- \
      label "$set" --teacher "$dir" --languages "$languages" --allow-pipes "$allow_pipes"
  done
}

# label SET OPTION...
label() {
  $decode_cmd JOB=1:"$inference_nj" "exp/log/teacher_$1.JOB.log" \
    "$py/label_translations.py" "${@:2}" --job JOB --num-jobs "$inference_nj" "data/$1"
  "$py/label_translations.py" "${@:2}" --combine true "data/$1"
}

# merge SET OPTION...: the lists of its tasks become one.
merge() {
  local from
  mapfile -t from < <(task_lists "$1" transcribe; task_lists "$1" translate)
  step data "merge_$1" --code "$py/merge_lists.py" \
    --from "${from[@]}" "data/$1/translate/machine_made.json" "$model_dir"/{tokenizer.json,vocab.json} \
    --to "data/$1"/{wav.scp,text,utt2spk,spk2utt,utt2dur,machine_made.json} -- \
    merge_lists "$1" --tokenizer "$model_dir" --skip-bad "$skip_bad" --allow-pipes "$allow_pipes" "${@:2}"
}

# merge_lists SET OPTION...
merge_lists() { "$py/merge_lists.py" --nj "$nj" "${@:2}" "data/$1"; }

# dump_feats SET OPTION...: jobs that were done before an interruption are not done again.
dump_feats() {
  $train_cmd JOB=1:"$nj" "exp/log/dump_$1.JOB.log" \
    "$py/dump_feats.py" "${@:2}" --job JOB --num-jobs "$nj" --resume "$resumed" "data/$1" "dump/$1"
  "$py/dump_feats.py" --combine true --num-jobs "$nj" "data/$1" "dump/$1"
}

# decode_args SECTION SET: the configuration keys that name a set and its features.
decode_args() { printf -- '--set\n%s\n' "$1.feats_scp=dump/$2/feats.scp" "$1.text=data/$2/text"; }

# train OPTION...: and keep the options of the run beside what came of them.
train() {
  local nodes=()
  ((num_nodes == 1)) || nodes=(--num-nodes "$num_nodes")
  $cuda_cmd --gpu "$ngpu" "${nodes[@]}" "$exp/log/train.log" \
    "$py/train.py" --ngpu "$ngpu" "${nodes[@]}" --config "$train_config" --overwrite "$overwrite" "$@"
  save_options "$recipe/run.sh" "$exp/options.conf"
}

# decode_and_score SYSTEM SET MODEL_FILE... -- OPTION...: hypotheses and scores in $exp/decode_SET_SYSTEM.
decode_and_score() {
  local system=$1 set=$2 dir=$exp/decode_$2_$1 model_files=() bpe=data/$train_set/token_bpe/bpe.model
  shift 2
  while [[ $1 != -- ]]; do model_files+=("$1"); shift; done
  shift
  step "$exp" "decode_${set}_$system" --costly --code "$py/predict.py" --section "$train_config" predict \
    --section "$train_config" dev_env --from "dump/$set/utt2digest" "${model_files[@]}" \
    --to "$dir"/{text,decode.json} -- \
    decode "$system" "$set" --set "model.model_path=$model_dir" --set "predict.beam_size=$beam_size" "$@"
  step "$exp" "score_${set}_$system" --code "$py/score.py" \
    --from "$dir"/{text,decode.json} "data/$set"/{text,utt2spk} "$bpe" \
    --to "$dir"/{scores.json,utterances.jsonl,suspects.tsv} -- \
    score "$system" "$set" --normalizer "$normalizer" --digits "$digits" --bpe-model "$bpe"
}

# decode SYSTEM SET OPTION...
decode() {
  local dir=$exp/decode_$2_$1
  $decode_cmd JOB=1:"$inference_nj" "$exp/log/decode_$2_$1.JOB.log" \
    "$py/predict.py" --config "$train_config" "${@:3}" --decode-dir "$dir" --system "$1" --set-name "$2" \
    --job JOB --num-jobs "$inference_nj"
  ((inference_nj == 1)) || "$py/predict.py" --combine true --num-jobs "$inference_nj" --decode-dir "$dir"
}

# score SYSTEM SET OPTION...
score() {
  $train_cmd "$exp/log/score_$2_$1.log" \
    "$py/score.py" "${@:3}" --ref "data/$2/text" --utt2spk "data/$2/utt2spk" --nj "$nj" "$exp/decode_$2_$1"
}

# export_ct2 TYPE OPTION...
export_ct2() {
  $train_cmd "$exp/log/export_ct2_$1.log" \
    "$py/export_ct2.py" --config "$train_config" --merged-dir "$exp/merged" "${@:2}" \
    --set "dev_env.ctranslate_model_path=$exp/ct2_$1" --set "dev_env.quantization=$1"
}

# compare_exports SET: with the tuned model; parity.json of each says how they differ, and why.
compare_exports() {
  local tuned_dir=$exp/decode_$1_lora exports=("${quantization[@]/#/$exp/decode_$1_ct2-}")
  step "$exp" "compare_exports_$1" --costly --code "$py/check_export.py" \
    --from "$tuned_dir"/{text,decode.json,scores.json} "${exports[@]/%//text}" "${exports[@]/%//decode.json}" \
    "${exports[@]/%//scores.json}" --to "${exports[@]/%//parity.json}" -- \
    compare "$1" "$tuned_dir" "${exports[@]}"
}

# compare SET DECODE_DIR...
compare() {
  $decode_cmd "$exp/log/check_export_$1.log" \
    "$py/check_export.py" --tolerance inf --merged-dir "$exp/merged" --feats-scp "dump/$1/feats.scp" "${@:2}"
}

# describe_exports: are their word times right? Then model cards.
describe_exports() {
  local exports=("${quantization[@]/#/$exp/ct2_}")
  step "$exp" word_times --costly --code "$py/check_word_times.py" \
    --from "$model_dir" "${exports[@]/%//model.bin}" {"data/${test_sets[0]}","data/$dev_set"}/{wav.scp,text} \
    --to "$exp/word_times.json" "${exports[@]/%//config.json}" -- \
    check_word_times --test "data/${test_sets[0]}" --dev "data/$dev_set" "${exports[@]}"
  step "$exp" model_cards --code "$py/write_model_cards.py" \
    --from "data/$train_set/text" "$exp/word_times.json" "$exp"/decode_*/{scores,parity}.json \
    --to "${exports[@]/%//README.md}" "$exp"/{README.md,merged/README.md} -- \
    "$py/write_model_cards.py" --base-dir "$model_dir" --train-text "data/$train_set/text" --license "$license" \
    --data-license "$data_license" --corpus-name "$corpus_name" --repo "$push_to_hub" "$exp"
}

# check_word_times OPTION... EXPORT...
check_word_times() {
  $decode_cmd "$exp/log/check_word_times.log" \
    "$py/check_word_times.py" --base-dir "$model_dir" --merged-dir "$exp/merged" --output "$exp/word_times.json" "$@"
}

# gate_exports: fail if one of them is worse than the tuned model by more than the tolerance.
gate_exports() {
  local set code=0
  for set in "${test_sets[@]}"; do
    "$py/check_export.py" --recorded true --tolerance "$tolerance" \
      "$exp/decode_${set}_lora" "${quantization[@]/#/$exp/decode_${set}_ct2-}" || code=1
  done
  return "$code"
}

# report: RESULTS.md, results.json and report.html of $exp, again whenever there are new scores.
report() {
  local set references=()
  for set in "${test_sets[@]}" "${forget_sets[@]}"; do
    references+=("data/$set"/{text,wav.scp,utt2dur,machine_made.json})
  done
  step "$exp" report --code "$py/make_report.py" "$py/make_html_report.py" \
    --from "$exp"/decode_*/{scores.json,utterances.jsonl,decode.json,parity.json} "$exp/word_times.json" \
    "$exp"/train_{summary,history}.json \
    "${references[@]}" --to "$exp"/{RESULTS.md,results.json,report.html} -- \
    make_reports --forget-set "$forget_set" --audio "$audio" --max-audio-mb "$max_audio_mb" --allow-pipes "$allow_pipes"
}

# make_reports --forget-set SETS OPTION...
make_reports() {
  "$py/make_report.py" --command "$command_line" "${@:1:2}" "$exp"
  "$py/make_html_report.py" --command "$command_line" --data data "$@" "$exp"
}
