# shellcheck shell=bash
# Source me after path.sh (it puts utils/ on PATH): where jobs run. Every stage starts its jobs with
#
#   $train_cmd [--mem 8G] [--gpu 1] [--num-threads 4] [--max-jobs-run 20] JOB=1:"$nj" dir/log/x.JOB.log command ...
#
# which is Kaldi's contract: run.pl, slurm.pl or queue.pl on your PATH may be named here instead. Options written
# here hold for every job of that kind; those that a stage adds come later and win.
#
#   train_cmd    feature extraction, merging and converting: CPU
#   cuda_cmd     training: GPU
#   decode_cmd   decoding and scoring: GPU if there is one

cmd_backend=local

case $cmd_backend in
  # All on this machine: as many jobs at once as it has cores, GPU jobs one to a device.
  local)
    export train_cmd="cmd_local.py"
    export cuda_cmd="cmd_local.py --gpu 1"
    export decode_cmd="cmd_local.py --gpu 1"
    ;;

  *)
    echo "cmd.sh: error: unknown cmd_backend '$cmd_backend'; it is local" >&2
    return 1
    ;;
esac
