#!/usr/bin/env bash
# Fine-tune Whisper on transcription and translation at once, score it, export it to CTranslate2.
#
#   ./run.sh                                 # the default corpus, whisper-base, all stages
#   ./run.sh --stage 3 --stop-stage 5        # train, decode and export; data and features exist already
#   ./run.sh --corpus-name "" --model openai/whisper-small --tag mine       # own lists in data/
#   ./run.sh --status                        # list the steps that are up to date, and why others are not
#
# Stages: 0 download, 1 lists, 2 features, 3 training, 4 decoding and scoring, 5 export.
# The same command again resumes: steps that are up to date are skipped. Steps are functions in utils/stages*.sh.
# Own lists: put data/{train,dev,test}/{transcribe,translate}/{wav.scp,text} in place and give --corpus-name "".
set -euo pipefail
command_line="$0${*:+ $*}"
recipe=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

# All stages
stage=0                             # first stage to run
stop_stage=5                        # last stage to run
model=openai/whisper-base           # Hugging Face name, or a Hugging Face or CTranslate2 directory
tag=                                # name of the experiment, exp/TAG; empty: names of model and configuration
train_set=train                     # data directory to train on
dev_set=dev                         # data directory to choose the best checkpoint on; empty: the last one is kept
test_sets="test"                    # data directories to decode and score
forget_set=auto                     # tested for forgetting; auto: with the default corpus, 60 Czech and 60 Dutch dialogues
forget_dev_set=auto                 # sets on which the chosen --strength may not lose anything; auto: 60 others of each
rehearsal_set=auto                  # a set that is trained with what the base model writes, so that the tuned model
                                    # forgets less; auto: 240 others of Czech; empty: none
long_set=auto                       # sets whose recordings test exports in runtimes; auto: the default corpus' test sets
nj=$(nproc)                         # parallel jobs of stages 1 and 2, and processes of scoring
force=false                         # run steps even if they are up to date
status=false                        # only list the steps that are up to date, and why others are not

# Stage 0: download
download_dir=download               # directory for downloads
corpus=$recipe/local                # directory with download_NAME.py and prepare_NAME.py; own lists need none
corpus_name=prompts                 # NAME in download_NAME.py and prepare_NAME.py; empty: own lists
download_args=                      # options for download_NAME.py: "--source debian"; each script's --help lists them

# Stage 1: lists
prepare_args=                       # options for prepare_NAME.py; the script's --help lists them
languages=                          # languages to use, "fr es"; empty: all
tasks="transcribe translate"        # tasks to use
teacher=                            # a bigger Whisper, as for --model, to translate utterances without translation
teacher_sets=                       # data directories that --teacher translates; empty: --train-set and --dev-set
skip_bad=false                      # drop invalid lines of lists instead of stopping
skip_too_fast=false                 # drop texts that nobody can say in the time of their audio; false: warn only
skip_overlap=false                  # drop training lines whose sentence is in a dev or test set; false: warn only
tags=keep                           # tags in texts (<unk>, [noise], (laughs)): keep, remove, or drop these lines
allow_pipes=false                   # run "command |" entries of wav.scp, in this stage and later

# Stage 2: features
compression=none                    # of features: none (float32), or Kaldi's lossy ones: auto, two-byte, one-byte

# Stage 3: training
train_config=$recipe/conf/whisper_multitask.yaml  # configuration of training, decoding and export
train_args=                         # changes to --train-config: "model.lora.r=8 model.model_train_argv.seed=1"
ngpu=1                              # GPUs on each machine; without a GPU, training uses the CPU
num_nodes=1                         # number of machines; more than one needs Slurm
strength=1                          # share of its trained weight at which the adapter is used; several, "0.5 0.7 1", are
                                    # tried on --dev-set and --forget-dev-set, and the best is kept
overwrite=false                     # delete a training with other settings or data, or a complete one, under this tag

# Stages 4 and 5: decoding, scoring and reports
inference_nj=1                      # parallel decoding jobs, of the teacher, too; each takes a GPU if there are any
beam_size=                          # beam size; 1: greedy search; empty: the configuration's predict.beam_size
also_greedy=                        # decode greedily, too, with the same encoder pass, and report both; empty: the
                                    # configuration's predict.also_greedy
decode_backend=                     # of the base and the tuned model: transformers, ctranslate2 (faster on a CPU), or
                                    # auto (by device); empty: the configuration's predict.backend
normalizer=auto                     # text normalization before scoring: auto, none, basic, whisper-en, zh, or
                                    # whisper-basic, OpenAI's for all languages (doc/scoring.md)
digits=auto                         # spell: score numbers as words, and no accents where references have hardly any;
                                    # keep: as written; auto: spell, and keep beside it, where --normalizer permits
audio=embed                         # audio in report.html: embed, link, none
max_audio_mb=20                     # limit of embedded audio in MB; utterances with the most errors come first

# Stage 5: export
quantization=                       # export types, one or more: int8, int8_float32, float16, bfloat16, float32, ...;
                                    # empty: the configuration's dev_env.quantization, or int8 if it has none
export=                             # more forms, each tested in its own program: ggml-q5_0, ggml-q8_0, ..., openai
tolerance=1.0                       # points of WER, CER, MER or BLEU that an export may lose
license=                            # license of the model, for its card; empty: that of the base weights, if known
data_license=                       # license of the training data, for the card; empty: that of the corpus, if known
push_to_hub=                        # USER/NAME on the Hugging Face hub for adapter and exports; sent by --dry-run false
dry_run=true                        # with --push-to-hub: only list what would be uploaded; false: upload, with HF_TOKEN

# shellcheck source=utils/parse_options.sh
. "$recipe/utils/parse_options.sh"
[[ $# == 0 ]] || die "unexpected argument '$1'; options start with --"
[[ -z $teacher || $tasks == *translate* ]] || die "--teacher translates: it needs translate in --tasks"
[[ $also_greedy =~ ^(true|false|)$ ]] || die "--also-greedy is true or false, not '$also_greedy'"
[[ $strength =~ ^[0-9.\ ]+$ ]] || die "--strength $strength: give shares, as \"0.5 0.7 1\""
[[ $digits =~ ^(auto|keep|spell)$ ]] || die "--digits $digits: there are auto, keep and spell"
[[ $normalizer =~ ^(auto|none|basic|whisper-en|zh|whisper-basic)$ ]] ||
  die "--normalizer $normalizer: there are auto, none, basic, whisper-en, zh and whisper-basic"
require_names "$tag" "$(basename -- "$model")" "$corpus_name"
require_names "$train_set" "$dev_set" "$test_sets" "$forget_set" "$forget_dev_set" "$rehearsal_set" "$teacher_sets"
$status || "$recipe/tools/install.sh"
. "$recipe/path.sh"
. "$recipe/cmd.sh"
. "$recipe/utils/steps/steps.sh"
. "$recipe/utils/stages.sh"

py=$recipe/pyscripts
model_dir=$download_dir/$(basename -- "$model")
exp=exp/${tag:-$(basename -- "$model")_$(basename -- "$train_config" .yaml)}
decoded=$exp                        # where decode_set and score_set write
read -ra test_sets <<<"$test_sets"
choose_forget_sets
read -ra teacher_sets <<<"${teacher_sets:-$train_set $dev_set}"
tuning_sets=("$train_set" ${dev_set:+"$dev_set"})
own_sets=("${tuning_sets[@]}" "${test_sets[@]}")
tuned=("$exp"/{adapter_model.safetensors,model.safetensors})  # an adapter, or a whole model

begin_run

if in_stage 0; then
  log "Stage 0: download the base model ($model) and the corpus (${corpus_name:-own lists}): $download_dir/"
  download_model "$model" "$model_dir"
  [[ -z $corpus_name ]] || download_corpus
  ! $forget_dialogues || download_dialogues
fi

[[ -e $model_dir ]] || ((stop_stage < 1 || stage > stop_stage)) || download_model "$model" "$model_dir"
if in_stage 1; then
  log "Stage 1: lists of each task, checked and merged: data/"
  [[ -z $corpus_name || ! -d $download_dir/$corpus_name ]] || prepare_corpus
  ! $forget_dialogues || prepare_dialogues
  if [[ -n $teacher ]]; then
    download_teacher
    for set in "${teacher_sets[@]}"; do
      log "Stage 1: $teacher translates data/$set"
      label_translations "$set"
    done
  fi
  for set in "${own_sets[@]}"; do
    merge_tasks "$set" --tasks "$tasks" --languages "$languages"
  done
  for set in "${other_sets[@]}"; do
    merge_tasks "$set"
  done
  make_long_sets
  train_bpe
fi

if in_stage 2; then
  log "Stage 2: log-mel features, $nj jobs: data/ -> dump/"
  for set in "${own_sets[@]}" "${other_sets[@]}"; do
    dump_features "$set"
  done
fi

share_data

if in_stage 3; then
  log "Stage 3: training: dump/ -> $exp/"
  write_rehearsal
  train_model
  choose_strength
fi

if in_stage 4; then
  for set in "${test_sets[@]}" "${forget_sets[@]}"; do
    find_relatives "$set"
    log "Stage 4: decode $set with the base model, at its native 30-s window"
    decode_set base "$set"
    score_set base "$set"
    log "Stage 4: decode $set with the tuned model, window: $window"
    decode_set lora "$set"
    score_set lora "$set"
    score_earlier_exports "$set"
  done
  write_report
fi

if in_stage 5; then
  for type in "${types[@]}"; do
    log "Stage 5: export to $exp/ct2_$type"
    export_model "$type"
    for set in "${test_sets[@]}"; do
      log "Stage 5: decode $set with $exp/ct2_$type"
      decode_set "ct2-$type" "$set"
      score_set "ct2-$type" "$set"
    done
  done
  export_forms
  measure_recordings
  log "Stage 5: compare the exports with the tuned model, check their word times, write model cards"
  for set in "${test_sets[@]}"; do
    compare_exports "$set"
  done
  measure_word_times
  write_model_cards
  write_report
  check_exports
  check_recordings
  push_models
fi

end_run
