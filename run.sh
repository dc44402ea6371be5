#!/usr/bin/env bash
# Tune Whisper on transcription and translation at once, score it, export it to CTranslate2.
#
#   ./run.sh                                 # the default corpus, whisper-base, all stages
#   ./run.sh --stage 3 --stop-stage 5        # train, decode and export what is already prepared
#   ./run.sh --stage 1 --nj 8 --model download/whisper-small --tag small   # own lists in data/
#
# Stages: 0 download, 1 lists, 2 features, 3 training, 4 decoding and scoring, 5 export.
# Own lists: put data/{train,dev,test}/{transcribe,translate}/{wav.scp,text} in place and start at stage 1.
set -euo pipefail
command_line="$0 $*"
recipe=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

stage=0                             # first stage to run
stop_stage=5                        # last stage to run
nj=$(nproc)                         # parallel jobs of stages 1 and 2
ngpu=1                              # GPUs for training, on each machine; one without any trains on its CPU
num_nodes=1                         # machines for training, through Slurm
inference_nj=1                      # parallel jobs of decoding in stages 4 and 5, a GPU each
model=openai/whisper-base           # Hugging Face name, or a Hugging Face or CTranslate2 directory
tag=                                # name of the experiment, exp/TAG; empty: model and configuration
train_config=$recipe/conf/whisper_multitask.yaml  # what is trained, and how
train_args=                         # changes to it: "model.lora.r=8 model.model_train_argv.seed=1"
overwrite=false                     # stage 3: throw away a training with other settings under the same tag
languages=                          # languages to use, "fr es"; empty: all
tasks="transcribe translate"        # tasks to use
train_set=train                     # data directory to train on
dev_set=dev                         # data directory to choose the checkpoint on
test_sets="test"                    # data directories to decode and score
forget_set=                         # more of them, for base and tuned model: what did tuning cost elsewhere?
corpus=$recipe/local                # download_*.py and prepare_*.py of a corpus; own lists need none
corpus_name=prompts                 # the * in these names; empty: own lists
download_args=                      # options for the corpus' download_*.py: "--url https://mirror.example/12"
prepare_args=                       # options for its prepare_*.py; each script's --help lists them
download_dir=download               # where downloads go
teacher=                            # stage 1: a bigger Whisper, as --model; translates what has no translation
teacher_sets=                       # data directories it translates; empty: those to train on and to choose on
skip_bad=false                      # stage 1: drop bad lines of lists instead of refusing them
allow_pipes=false                   # run "command |" entries of wav.scp
compression=none                    # stage 2: none, auto, two-byte, one-byte (Kaldi's)
beam_size=1                         # stages 4 and 5: 1 is greedy search
normalizer=auto                     # stages 4 and 5: auto, none, basic, whisper-en, zh
digits=keep                         # with it: keep, or spell numbers out (except whisper-en)
quantization=int8                   # stage 5: one or more of int8, int8_float32, float16, bfloat16, float32, ...
audio=embed                         # report.html's audio: embed, link, none
max_audio_mb=20                     # how much of it is embedded, the worst utterances first
tolerance=1.0                       # stage 5: points of WER or BLEU that an export may lose
license=                            # model card: of what is published; empty: the base weights', if known
data_license=                       # model card: the training data's; empty: that of the recipe's corpus, if it is one
push_to_hub=                        # stage 5: USER/NAME on the Hugging Face hub for adapter and exports
dry_run=true                        # with it: only say what would be sent; false sends it, with HF_TOKEN's token

# shellcheck source=utils/parse_options.sh
. "$recipe/utils/parse_options.sh"
[[ $# == 0 ]] || die "unexpected argument '$1'; options start with --"
[[ -z $teacher || $tasks == *translate* ]] || die "--teacher translates: it needs translate in --tasks"
. "$recipe/utils/names.sh"
require_names "$tag" "$(basename -- "$model")" "$corpus_name" "$train_set" "$dev_set" "$test_sets" "$forget_set" "$teacher_sets"
"$recipe/tools/install.sh"
. "$recipe/path.sh"
. "$recipe/cmd.sh"

py=$recipe/pyscripts
model_name=$(basename -- "$model")
model_dir=$download_dir/$model_name
exp=exp/${tag:-${model_name}_$(basename -- "$train_config" .yaml)}
in_stage() { ((stage <= $1 && $1 <= stop_stage)); }
read -ra test_sets <<<"$test_sets"
read -ra forget_sets <<<"$forget_set"
read -ra teacher_sets <<<"${teacher_sets:-$train_set $dev_set}"
read -ra quantization <<<"$quantization"

# run_corpus SCRIPT OPTIONS ARGUMENT...: a script of the corpus; OPTIONS are words, quoted as in a shell, none executed.
run_corpus() {
  local words
  mapfile -d '' -t words < <(xargs -r printf '%s\0' <<<"$2")
  wait "$!" || die "$1: its options have an open quote: $2"
  "$corpus/$1_$corpus_name.py" --languages "$languages" "${words[@]}" "${@:3}"
}

# decode_args SECTION SET: the configuration keys that name a set and its features.
decode_args() { printf -- '--set\n%s\n' "$1.feats_scp=dump/$2/feats.scp" "$1.text=data/$2/text"; }

# label_translations SET...: have the teacher translate what has no translation.
label_translations() {
  local set dir=$teacher options=(--languages "$languages" --allow-pipes "$allow_pipes")
  if [[ ! -f $teacher/model.bin ]]; then  # CTranslate2's directories are used as they are
    dir=$download_dir/$(basename -- "$teacher")
    "$py/download_model.py" --model "$teacher" "$dir"
  fi
  for set in "$@"; do
    log "Stage 1: $teacher translates data/$set"
    $decode_cmd JOB=1:"$inference_nj" "exp/log/teacher_$set.JOB.log" \
      "$py/label_translations.py" --teacher "$dir" "${options[@]}" --job JOB --num-jobs "$inference_nj" "data/$set"
    "$py/label_translations.py" --teacher "$dir" "${options[@]}" --combine true "data/$set"
  done
}

if in_stage 0; then
  log "Stage 0: download the base model ($model) and the corpus (${corpus_name:-own lists}): $download_dir/"
  "$py/download_model.py" --model "$model" "$model_dir"
  if [[ -n $corpus_name ]]; then
    run_corpus download "$download_args" "$download_dir/$corpus_name"
  fi
fi

if in_stage 1; then
  log "Stage 1: lists of each task, checked and merged: data/"
  [[ -e $model_dir ]] || "$py/download_model.py" --model "$model" "$model_dir"  # its tokenizer counts the texts
  if [[ -n $corpus_name && -d $download_dir/$corpus_name ]]; then
    run_corpus prepare "$prepare_args" "$download_dir/$corpus_name" data
  fi
  [[ -z $teacher ]] || label_translations "${teacher_sets[@]}"
  merge() {
    "$py/merge_lists.py" --nj "$nj" --tokenizer "$model_dir" --skip-bad "$skip_bad" --allow-pipes "$allow_pipes" "$@"
  }
  for set in "$train_set" "$dev_set" "${test_sets[@]}"; do
    merge --tasks "$tasks" --languages "$languages" "data/$set"
  done
  for set in "${forget_sets[@]}"; do
    merge "data/$set"
  done
  "$py/train_bpe.py" "data/$train_set/text" "data/$train_set/token_bpe"
fi

if in_stage 2; then
  log "Stage 2: log-mel features, $nj jobs: data/ -> dump/"
  for set in "$train_set" "$dev_set" "${test_sets[@]}" "${forget_sets[@]}"; do
    $train_cmd JOB=1:"$nj" "exp/log/dump_$set.JOB.log" \
      "$py/dump_feats.py" --model "$model_dir" --job JOB --num-jobs "$nj" --compression "$compression" \
      --allow-pipes "$allow_pipes" "data/$set" "dump/$set"
    "$py/dump_feats.py" --combine true --num-jobs "$nj" "data/$set" "dump/$set"
  done
fi

if in_stage 3; then
  log "Stage 3: training: dump/ -> $exp/"
  read -ra changes <<<"$train_args"
  mapfile -t sets < <(decode_args data.train "$train_set"; decode_args data.test "$dev_set")
  nodes=()
  ((num_nodes == 1)) || nodes=(--num-nodes "$num_nodes")
  $cuda_cmd --gpu "$ngpu" "${nodes[@]}" "$exp/log/train.log" \
    "$py/train.py" --ngpu "$ngpu" "${nodes[@]}" --config "$train_config" --overwrite "$overwrite" "${sets[@]}" "${changes[@]/#/--set=}" \
    --set "model.model_path=$model_dir" --set "model.model_train_argv.out_model_path=$exp"
fi

# decode_and_score SYSTEM SET COMMAND...: hypotheses and scores in $exp/decode_SET_SYSTEM.
decode_and_score() {
  local system=$1 set=$2 dir=$exp/decode_$2_$1
  shift 2
  $decode_cmd JOB=1:"$inference_nj" "$exp/log/decode_${set}_$system.JOB.log" \
    "$@" --config "$train_config" --decode-dir "$dir" --system "$system" --set-name "$set" \
    --job JOB --num-jobs "$inference_nj" --set "model.model_path=$model_dir" --set "predict.beam_size=$beam_size"
  ((inference_nj == 1)) || "$py/predict.py" --combine true --num-jobs "$inference_nj" --decode-dir "$dir"
  $train_cmd "$exp/log/score_${set}_$system.log" \
    "$py/score.py" --ref "data/$set/text" --utt2spk "data/$set/utt2spk" --normalizer "$normalizer" \
    --digits "$digits" --bpe-model "data/$train_set/token_bpe/bpe.model" --nj "$nj" "$dir"
}

# report: RESULTS.md, results.json and report.html of $exp.
report() {
  "$py/make_report.py" --command "$command_line" --forget-set "$forget_set" "$exp"
  "$py/make_html_report.py" --command "$command_line" --forget-set "$forget_set" --data data --audio "$audio" \
    --max-audio-mb "$max_audio_mb" --allow-pipes "$allow_pipes" "$exp"
}

if in_stage 4; then
  for set in "${test_sets[@]}" "${forget_sets[@]}"; do
    mapfile -t eval < <(decode_args predict.eval "$set")
    log "Stage 4: decode $set with the base model, at its native 30-s window"
    decode_and_score base "$set" "$py/predict.py" "${eval[@]}" \
      --set "predict.model_path=$model_dir" --set predict.window=full
    log "Stage 4: decode $set with the tuned model, unpadded"
    decode_and_score lora "$set" "$py/predict.py" "${eval[@]}" --set "predict.model_path=$exp"
  done
  report
fi

if in_stage 5; then
  for type in "${quantization[@]}"; do
    log "Stage 5: export to $exp/ct2_$type"
    $train_cmd "$exp/log/export_ct2_$type.log" \
      "$py/export_ct2.py" --config "$train_config" --merged-dir "$exp/merged" \
      --set "predict.model_path=$exp" --set "dev_env.ori_model_path=$model_dir" \
      --set "dev_env.ctranslate_model_path=$exp/ct2_$type" --set "dev_env.quantization=$type"
    for set in "${test_sets[@]}"; do
      log "Stage 5: decode $set with $exp/ct2_$type"
      mapfile -t dev < <(decode_args dev_env.dev "$set")
      decode_and_score "ct2-$type" "$set" "$py/predict.py" --backend ctranslate2 "${dev[@]}" \
        --set "dev_env.ctranslate_model_path=$exp/ct2_$type"
    done
  done
  worse=()
  for set in "${test_sets[@]}"; do
    log "Stage 5: compare the exports with the tuned model on $set"
    $decode_cmd "$exp/log/check_export_$set.log" \
      "$py/check_export.py" --tolerance "$tolerance" --merged-dir "$exp/merged" --feats-scp "dump/$set/feats.scp" \
      "$exp/decode_${set}_lora" "${quantization[@]/#/$exp/decode_${set}_ct2-}" || worse+=("$set")
  done
  log "Stage 5: word times, model cards"
  $decode_cmd "$exp/log/check_word_times.log" \
    "$py/check_word_times.py" --base-dir "$model_dir" --merged-dir "$exp/merged" --test "data/${test_sets[0]}" \
    --dev "data/$dev_set" --output "$exp/word_times.json" "${quantization[@]/#/$exp/ct2_}"
  "$py/write_model_cards.py" --base-dir "$model_dir" --train-text "data/$train_set/text" --license "$license" \
    --data-license "$data_license" --corpus-name "$corpus_name" --repo "$push_to_hub" "$exp"
  report
  [[ ${#worse[@]} == 0 ]] || die "the exports are not let through: see above what was found on ${worse[*]}"
  if [[ -n $push_to_hub ]]; then
    "$py/push_to_hub.py" --dry-run "$dry_run" "$push_to_hub" "$exp"
  fi
fi

log "Done: $exp/RESULTS.md has the scores, report.html shows them"
