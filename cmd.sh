# shellcheck shell=bash
# Source me after path.sh (it puts utils/jobs/ on PATH): where jobs run. Every stage starts its jobs with
#
#   $train_cmd [--mem 8G] [--gpu 1] [--num-threads 4] [--max-jobs-run 20] JOB=1:"$nj" dir/log/x.JOB.log command ...
#
# which is Kaldi's contract: other scripts that keep it may be named here. Options written here hold for every job of
# that kind; those that a stage adds come later and win. (A Kaldi recipe that names these drivers in its own cmd.sh
# adds --shell true: there a shell reads the arguments.)
#
#   train_cmd    feature extraction, merging and converting: CPU
#   cuda_cmd     training: GPU
#   decode_cmd   decoding and scoring: GPU if there is one
#
# local: this machine. slurm: sbatch, see conf/slurm.conf. sge: Grid Engine's qsub, see conf/queue.conf. For one run
# the environment decides: `cmd_backend=slurm ./run.sh ...`. No cluster at hand? tools/cluster.sh makes one to try.

cmd_backend=${cmd_backend:-local}

case $cmd_backend in
  # All on this machine: as many jobs at once as it has cores, GPU jobs one to a device.
  local)
    export train_cmd="cmd_local.py"
    export cuda_cmd="cmd_local.py --gpu 1"
    export decode_cmd="cmd_local.py --gpu 1"
    ;;

  # A job a node or a part of one; what --mem, --gpu and --time mean to sbatch stands in conf/slurm.conf.
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

  # Kaldi's own scripts, from your PATH. They read the same conf files, and want paths without spaces.
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
