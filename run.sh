#!/usr/bin/env bash
# Tune Whisper on transcription and translation at once, score it, export it to CTranslate2.
#
#   ./run.sh                                 # the default corpus, whisper-base, all stages
#   ./run.sh --stage 3 --stop-stage 5        # train, decode and export what is already prepared
#   ./run.sh --stage 1 --nj 8 --model download/whisper-small --tag small   # own lists in data/
#   ./run.sh --status                        # what is done, what is out of date and why
#
# Stages: 0 download, 1 lists, 2 features, 3 training, 4 decoding and scoring, 5 export.
# The same command again does what is left to do. Steps that run as several jobs are functions in utils/stages.sh.
# Own lists: put data/{train,dev,test}/{transcribe,translate}/{wav.scp,text} in place and start at stage 1.
set -euo pipefail
command_line="$0${*:+ $*}"
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
overwrite=false                     # stage 3: throw away a training with other settings or data under the same tag
force=false                         # run steps although they are up to date
status=false                        # only show which steps are up to date, and why others are not
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
$status || "$recipe/tools/install.sh"
. "$recipe/path.sh"
. "$recipe/cmd.sh"
. "$recipe/utils/steps/steps.sh"
. "$recipe/utils/stages.sh"

py=$recipe/pyscripts
model_name=$(basename -- "$model")
model_dir=$download_dir/$model_name
exp=exp/${tag:-${model_name}_$(basename -- "$train_config" .yaml)}
in_stage() { ((stage <= $1 && $1 <= stop_stage)); }
read -ra test_sets <<<"$test_sets"
read -ra forget_sets <<<"$forget_set"
read -ra teacher_sets <<<"${teacher_sets:-$train_set $dev_set}"
read -ra quantization <<<"$quantization"
own_sets=("$train_set" "$dev_set" "${test_sets[@]}")
tuned=("$exp"/{adapter_model.safetensors,model.safetensors})  # an adapter, or a whole model

if $status; then
  log() { :; }
  printf '%-28s %-19s  %s\n' step made "state (markers: data/.steps, $exp/.steps)"
else
  lock_run
fi

if in_stage 0; then
  log "Stage 0: download the base model ($model) and the corpus (${corpus_name:-own lists}): $download_dir/"
  get_model "$model" "$model_dir"
  if [[ -n $corpus_name ]]; then
    step data "download_$corpus_name" --code "$corpus/download_$corpus_name.py" --to "$download_dir/$corpus_name" -- \
      run_corpus download "$languages" "$download_args" "$download_dir/$corpus_name"
  fi
fi

if in_stage 1; then
  log "Stage 1: lists of each task, checked and merged: data/"
  [[ -e $model_dir ]] || get_model "$model" "$model_dir"  # its tokenizer counts the texts
  if [[ -n $corpus_name && -d $download_dir/$corpus_name ]]; then
    mapfile -t lists < <(prepared_lists)
    step data "prepare_$corpus_name" --code "$corpus/prepare_$corpus_name.py" \
      --from "$download_dir/$corpus_name" --to "${lists[@]}" -- \
      run_corpus prepare "$languages" "$prepare_args" "$download_dir/$corpus_name" data
  fi
  [[ -z $teacher ]] || label_translations "${teacher_sets[@]}"
  for set in "${own_sets[@]}"; do
    merge "$set" --tasks "$tasks" --languages "$languages"
  done
  for set in "${forget_sets[@]}"; do
    merge "$set"
  done
  step data train_bpe --code "$py/train_bpe.py" --from "data/$train_set/text" --to "data/$train_set/token_bpe" -- \
    "$py/train_bpe.py" "data/$train_set/text" "data/$train_set/token_bpe"
fi

if in_stage 2; then
  log "Stage 2: log-mel features, $nj jobs: data/ -> dump/"
  for set in "${own_sets[@]}" "${forget_sets[@]}"; do
    step data "dump_$set" --costly --code "$py/dump_feats.py" \
      --from "$model_dir/preprocessor_config.json" "data/$set/wav.scp" \
      --to "dump/$set"/{feats.scp,utt2num_frames,utt2digest} --parts "dump/$set"/feats.*.scp -- \
      dump_feats "$set" --model "$model_dir" --compression "$compression" --allow-pipes "$allow_pipes"
  done
fi

share_data

if in_stage 3; then
  log "Stage 3: training: dump/ -> $exp/"
  read -ra changes <<<"$train_args"
  mapfile -t sets < <(decode_args data.train "$train_set"; decode_args data.test "$dev_set")
  step "$exp" train --costly --code "$py/train.py" --section "$train_config" model \
    --from {data,dump}/{"$train_set","$dev_set"}/{text,utt2digest} \
    --to "${tuned[@]}" "$exp"/{config.yaml,train_summary.json} -- \
    train "${sets[@]}" "${changes[@]/#/--set=}" \
    --set "model.model_path=$model_dir" --set "model.model_train_argv.out_model_path=$exp"
fi

if in_stage 4; then
  for set in "${test_sets[@]}" "${forget_sets[@]}"; do
    mapfile -t eval < <(decode_args predict.eval "$set")
    log "Stage 4: decode $set with the base model, at its native 30-s window"
    decode_and_score base "$set" "$model_dir" -- \
      "${eval[@]}" --set "predict.model_path=$model_dir" --set predict.window=full
    log "Stage 4: decode $set with the tuned model, unpadded"
    decode_and_score lora "$set" "${tuned[@]}" -- "${eval[@]}" --set "predict.model_path=$exp"
  done
  report
fi

if in_stage 5; then
  for type in "${quantization[@]}"; do
    log "Stage 5: export to $exp/ct2_$type"
    exported=("$exp/ct2_$type"/{model.bin,vocabulary.json,tokenizer.json})
    step "$exp" "export_$type" --costly --code "$py/export_ct2.py" --from "${tuned[@]}" "$model_dir" \
      --to "${exported[@]}" "$exp/merged/config.json" -- \
      export_ct2 "$type" --set "predict.model_path=$exp" --set "dev_env.ori_model_path=$model_dir"
    for set in "${test_sets[@]}"; do
      log "Stage 5: decode $set with $exp/ct2_$type"
      mapfile -t dev < <(decode_args dev_env.dev "$set")
      decode_and_score "ct2-$type" "$set" "${exported[@]}" -- \
        --backend ctranslate2 "${dev[@]}" --set "dev_env.ctranslate_model_path=$exp/ct2_$type"
    done
  done
  log "Stage 5: compare the exports with the tuned model, check their word times, write model cards"
  for set in "${test_sets[@]}"; do
    compare_exports "$set"
  done
  describe_exports
  report
  $status || gate_exports
  if ! $status && [[ -n $push_to_hub ]]; then
    "$py/push_to_hub.py" --dry-run "$dry_run" "$push_to_hub" "$exp"
  fi
fi

log "Done: $exp/RESULTS.md has the scores, report.html shows them"
