# shellcheck shell=bash
# Source this file after path.sh (which puts utils/jobs/ on PATH): it selects where jobs run. Stages start jobs with
#
#   $train_cmd [--mem 8G] [--gpu 1] [--num-threads 4] [--max-jobs-run 20] JOB=1:"$nj" dir/log/x.JOB.log command ...
#
# as in Kaldi: other scripts with the same command line may be named here. Options written here apply to every job of
# that kind; options that a stage adds come later and override them. (A Kaldi recipe that names these drivers in its own
# cmd.sh must add --shell true, because Kaldi's recipes rely on a shell to interpret the arguments.)
#
#   train_cmd    feature extraction, scoring, merging an adapter and converting: CPU
#   cuda_cmd     training: GPU
#   decode_cmd   decoding, the checks of exports, and the teacher: GPU if there is one
#
# local: this machine. slurm: sbatch, see conf/slurm.conf. sge: Grid Engine's qsub, see conf/queue.conf. For one run,
# set it in the environment: `cmd_backend=slurm ./run.sh ...`. tools/cluster.sh makes a small cluster for tests.

cmd_backend=${cmd_backend:-local}

case $cmd_backend in
  # All jobs on this machine: as many at once as it has cores; one GPU job on each device.
  local)
    export train_cmd="cmd_local.py"
    export cuda_cmd="cmd_local.py --gpu 1"
    export decode_cmd="cmd_local.py --gpu 1"
    ;;

  # Each job on a node or a part of one; conf/slurm.conf defines what --mem, --gpu and --time mean to sbatch.
  slurm)
    export train_cmd="cmd_slurm.py --mem 4G"
    export cuda_cmd="cmd_slurm.py --mem 16G --gpu 1"
    export decode_cmd="cmd_slurm.py --mem 8G --gpu 1"
    ;;

  # The same with qsub and conf/queue.conf.
  sge)
    export train_cmd="cmd_sge.py --mem 4G"
    export cuda_cmd="cmd_sge.py --mem 16G --gpu 1"
    export decode_cmd="cmd_sge.py --mem 8G --gpu 1"
    ;;

  # Kaldi's own scripts, from your PATH. They read the same conf files. Paths must not have spaces.
  run.pl | slurm.pl | queue.pl)
    kaldi_cmd=$cmd_backend
    kaldi_conf=$(dirname -- "${BASH_SOURCE[0]}")/conf/${cmd_backend%.pl}.conf
    [[ ! -f $kaldi_conf || -f conf/${cmd_backend%.pl}.conf ]] || kaldi_cmd+=" --config $kaldi_conf"
    export train_cmd="$kaldi_cmd --mem 4G"
    export cuda_cmd="$kaldi_cmd --mem 16G --gpu 1"
    export decode_cmd="$kaldi_cmd --mem 8G --gpu 1"
    ;;

  *)
    echo "cmd.sh: error: unknown cmd_backend '$cmd_backend'; it is local, slurm, sge, or Kaldi's run.pl, slurm.pl, queue.pl" >&2
    return 1
    ;;
esac
