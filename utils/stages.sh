# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2329  # variables are run.sh's, and `step` calls the inner functions
# Source this file in run.sh: the steps of its stages, one function each.
#
# A step's function has two parts. An inner function is the command (a command of one script needs none). The call of
# `step` declares the inputs and outputs of the step, and runs the command unless the step is up to date (see
# utils/steps/steps.sh). Options that change the result must be arguments of the command: the marker keeps these.
# Other variables of run.sh that a command uses may change: they only say how it runs (where, in how many jobs).

# shellcheck source=utils/stages_scores.sh
. "$recipe/utils/stages_scores.sh"
# shellcheck source=utils/stages_exports.sh
. "$recipe/utils/stages_exports.sh"
# shellcheck source=utils/stages_forget.sh
. "$recipe/utils/stages_forget.sh"
# shellcheck source=utils/stages_recordings.sh
. "$recipe/utils/stages_recordings.sh"
# shellcheck source=utils/stages_strength.sh
. "$recipe/utils/stages_strength.sh"

# in_stage N: whether --stage and --stop-stage include stage N.
in_stage() { ((stage <= $1 && $1 <= stop_stage)); }

# begin_run: lock the directories that this run writes, or with --status print the table's head; choose the settings.
begin_run() {
  if $status; then
    log() { :; }
    printf '%-28s %-19s  %s\n' step made "state (markers: data/.steps, $exp/.steps)"
  else
    if ((stage <= 2)) || [[ ! -e $model_dir ]]; then lock_steps data any; else lock_steps data read; fi
    ((stop_stage < 3)) || lock_steps "$exp" write
  fi
  ((stop_stage < 3)) || choose_settings
}

# share_data: lists and features are complete; from here on, runs with other tags may read data/, too.
share_data() {
  $status || ((stop_stage < 3)) || lock_steps data read
}

# choose_settings: set $beam, $greedy, $backend, $window and $types. An option that is given is used, else the
# configuration's value. Log lines name the values of the configuration that are not used.
choose_settings() {
  local chosen key set lists=("data.train=$train_set" ${dev_set:+"data.test=$dev_set"}) filled=(
    "model.model_path=$model_dir" "model.model_train_argv.out_model_path=$exp" "predict.model_path=$exp"
    "dev_env.ori_model_path=$model_dir" "dev_env.ctranslate_model_path=$exp/ct2_TYPE" {predict,dev_env}.result_file=)
  for set in "${test_sets[@]}" "${forget_sets[@]}" "${forget_dev_sets[@]}"; do
    lists+=("predict.eval=$set" "dev_env.dev=$set")
  done
  for set in "${lists[@]}"; do
    key=${set%%=*} set=${set#*=}
    filled+=("$key.feats_scp=dump/$set/feats.scp" "$key.text=data/$set/text" "$key.wav_scp=")
  done
  chosen=$("$py/choose_settings.py" --config "$train_config" --quiet "$status" --filled "${filled[@]}" -- \
    "predict.beam_size=$beam_size" "predict.also_greedy=$also_greedy" "predict.backend=$decode_backend" \
    predict.window= "dev_env.quantization=$quantization") || exit
  { read -r beam && read -r greedy && read -r backend && read -r window && read -ra types; } <<<"$chosen"
  ((${#types[@]})) || types=(int8)
  read -ra forms <<<"$export"
  for key in "${forms[@]}"; do
    [[ $key =~ ^(ggml-(f16|q8_0|q5_1|q5_0)|openai)$ ]] || die "--export $key: there are ggml-f16, ggml-q8_0, ggml-q5_1, \
ggml-q5_0 and openai"
  done
  for key in model.model_path model.model_train_argv.out_model_path; do
    [[ " $train_args" != *" $key="* ]] || log "--train-args: $key is not used; --model and --tag are"
  done
}

# end_run: log what the last stage made.
end_run() {
  local made last=$((stop_stage < 5 ? stop_stage : 5))
  case $last in
    0) made="$download_dir/ has the base model${corpus_name:+ and the corpus}" ;;
    1) made="data/ has the checked and merged lists" ;;
    2) made="dump/ has the features" ;;
    3) made="$exp/ has the tuned model" ;;
    *) made="$exp/RESULTS.md has the scores, report.html shows them" ;;
  esac
  ((stage <= last)) || made="nothing to do from --stage $stage to --stop-stage $stop_stage"
  log "Done: $made"
}

# Stage 0: download

# download_model MODEL DIRECTORY: make DIRECTORY a complete Hugging Face checkpoint of MODEL.
download_model() {
  local source=()
  [[ ! -d $1 ]] || source=(--from "$1")
  step data "model_$(basename -- "$2")" --code "$py/download_model.py" "${source[@]}" --to "$2" -- \
    "$py/download_model.py" --model "$1" "$2"
}

# download_corpus: run the corpus' download script.
download_corpus() {
  step data "download_$corpus_name" --code "$corpus/download_$corpus_name.py" --to "$download_dir/$corpus_name" -- \
    run_corpus download "$languages" "$download_args" "$download_dir/$corpus_name"
}

# run_corpus SCRIPT LANGUAGES OPTIONS ARGUMENT...: run a script of the corpus. OPTIONS are words, quoted as in a shell;
# they are never executed.
run_corpus() {
  local words
  mapfile -d '' -t words < <(xargs -r printf '%s\0' <<<"$3")
  wait "$!" || die "$1: its options have an open quote"
  "$corpus/$1_$corpus_name.py" --languages "$2" "${words[@]}" "${@:4}"
}

# Stage 1: lists

# task_lists SET TASK: print the lists that merge_tasks reads.
task_lists() { printf '%s\n' "data/$1/$2"/{wav.scp,segments,text,utt2spk}; }

# prepare_corpus: write the lists of each set and task. --to leaves out the lists that a teacher's translations replace.
prepare_corpus() {
  local set lists
  mapfile -t lists < <(
    for set in "${own_sets[@]}"; do
      task_lists "$set" transcribe
      [[ -n $teacher && " ${teacher_sets[*]} " == *" $set "* ]] || task_lists "$set" translate
    done)
  step data "prepare_$corpus_name" --code "$corpus/prepare_$corpus_name.py" \
    --from "$download_dir/$corpus_name" --to "${lists[@]}" -- \
    run_corpus prepare "$languages" "$prepare_args" "$download_dir/$corpus_name" data
}

# download_teacher: download the teacher and set $teacher_dir. A CTranslate2 directory is used in place.
download_teacher() {
  teacher_dir=$teacher
  [[ -f $teacher/model.bin ]] || {
    teacher_dir=$download_dir/$(basename -- "$teacher")
    download_model "$teacher" "$teacher_dir"
  }
}

# label_translations SET: have the teacher translate the utterances that have no translation.
label_translations() {
  label() {  # SET OPTION...
    $decode_cmd JOB=1:"$inference_nj" "exp/log/teacher_$1.JOB.log" \
      "$py/label_translations.py" "${@:2}" --job JOB --num-jobs "$inference_nj" "data/$1"
    "$py/label_translations.py" "${@:2}" --combine true "data/$1"
  }
  local lists
  mapfile -t lists < <(task_lists "$1" transcribe)
  step data "teacher_$1" --costly --code "$py/label_translations.py" --from "$teacher_dir" "${lists[@]}" \
    --to "data/$1/translate"/{wav.scp,segments,text,utt2spk,machine_made.json} -- \
    label "$1" --teacher "$teacher_dir" --languages "$languages" --allow-pipes "$allow_pipes"
}

# merge_tasks SET OPTION...: check the lists of the set's tasks and merge them. Those of the training set are compared
# with the lists of the sets that are evaluated on, merged or not yet.
merge_tasks() {
  merge_lists() {  # SET OPTION...
    "$py/merge_lists.py" --nj "$nj" "${@:2}" "data/$1"
  }
  local set lists options=(--skip-bad "$skip_bad" --skip-too-fast "$skip_too_fast" --tags "$tags" \
    --allow-pipes "$allow_pipes")
  mapfile -t lists < <(task_lists "$1" transcribe; task_lists "$1" translate)
  if [[ $1 == "$train_set" ]]; then
    options+=(--skip-overlap "$skip_overlap")
    for set in $dev_set "${test_sets[@]}" "${forget_sets[@]}" "${forget_dev_sets[@]}"; do
      [[ $set != "$train_set" ]] || continue
      options+=(--held-out "data/$set")
      lists+=("data/$set"/{transcribe,translate}/text)
    done
  fi
  step data "merge_$1" --code "$py/merge_lists.py" \
    --from "${lists[@]}" "data/$1/translate/machine_made.json" "$model_dir"/{tokenizer.json,vocab.json} \
    --to "data/$1"/{wav.scp,segments,text,utt2spk,spk2utt,utt2dur,machine_made.json} -- \
    merge_lists "$1" --tokenizer "$model_dir" "${options[@]}" "${@:2}"
}

# train_bpe: train a small vocabulary for the token error rate.
train_bpe() {
  step data train_bpe --code "$py/train_bpe.py" --from "data/$train_set/text" --to "data/$train_set/token_bpe" -- \
    "$py/train_bpe.py" "data/$train_set/text" "data/$train_set/token_bpe"
}

# Stage 2: features

# dump_features SET: compute log-mel features. Jobs that were complete before an interruption are not run again.
dump_features() {
  dump_feats() {  # SET OPTION...
    $train_cmd JOB=1:"$nj" "exp/log/dump_$1.JOB.log" \
      "$py/dump_feats.py" "${@:2}" --job JOB --num-jobs "$nj" --resume "$resumed" "data/$1" "dump/$1"
    "$py/dump_feats.py" --combine true --num-jobs "$nj" "data/$1" "dump/$1"
  }
  step data "dump_$1" --costly --code "$py/dump_feats.py" \
    --from "$model_dir/preprocessor_config.json" "data/$1"/{wav.scp,segments} \
    --to "dump/$1"/{feats.scp,utt2num_frames,utt2digest} --parts "dump/$1"/feats.*.scp -- \
    dump_feats "$1" --model "$model_dir" --compression "$compression" --allow-pipes "$allow_pipes"
}

# Stage 3: training

# train_model: train on $train_set; options.conf beside the model keeps the options of the run. Without $dev_set nothing
# is evaluated while training.
train_model() {
  train() {  # OPTION...
    local nodes=()
    ((num_nodes == 1)) || nodes=(--num-nodes "$num_nodes")
    $cuda_cmd --gpu "$ngpu" "${nodes[@]}" "$exp/log/train.log" \
      "$py/train.py" --ngpu "$ngpu" "${nodes[@]}" --config "$train_config" --overwrite "$overwrite" "$@"
    save_options "$recipe/run.sh" "$exp/options.conf"
  }
  local changes files evaluation rehearsal=() written=
  evaluation=(--set model.model_train_argv.eval_strategy=no --set model.model_train_argv.evaluation_strategy=no)
  if [[ -n $dev_set ]]; then
    evaluation=(--set "data.test.feats_scp=dump/$dev_set/feats.scp" --set "data.test.text=data/$dev_set/text")
  fi
  if [[ -n $rehearsal_set ]]; then
    written=$exp/rehearsal/decode_${rehearsal_set}_base/text
    rehearsal=(--set "data.rehearsal.feats_scp=dump/$rehearsal_set/feats.scp" --set "data.rehearsal.text=$written")
  fi
  read -ra changes <<<"$train_args"
  files=("${tuning_sets[@]/%//text}" "${tuning_sets[@]/%//utt2digest}")
  step "$exp" train --costly --code "$py/train.py" --section "$train_config" model \
    --from "${files[@]/#/data/}" "${files[@]/#/dump/}" "$model_dir"/{tokenizer.json,vocab.json} \
    ${written:+"$written"} --to "${tuned[@]}" "$exp"/{config.yaml,train_summary.json} -- \
    train --set "data.train.feats_scp=dump/$train_set/feats.scp" --set "data.train.text=data/$train_set/text" \
    "${rehearsal[@]}" "${evaluation[@]}" "${changes[@]/#/--set=}" \
    --set "model.model_path=$model_dir" --set "model.model_train_argv.out_model_path=$exp"
}
