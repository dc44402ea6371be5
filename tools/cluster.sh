#!/usr/bin/env bash
# A small cluster on this machine, with real Slurm (two nodes) or real Grid Engine, for trying the recipe and for tests.
#
#   sudo tools/cluster.sh install slurm      # install Debian's packages; also: sge
#   eval "$(tools/cluster.sh up slurm)"      # start it, and set up this shell for its sbatch, squeue, ...
#   cmd_backend=slurm ./run.sh
#   tools/cluster.sh down slurm              # stop it and remove its files
#
# Also: status ENGINE, and env ENGINE, which prints what `up` printed. All of its files are in $CLUSTER_DIR
# (default: /var/tmp/cluster-USER); the machine's own configuration, if any, is not changed.
# Nodes are configured with 2 GPUs, so that conf/slurm.conf and conf/queue.conf work unchanged.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=../utils/log.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../utils/log.sh"

usage() { sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"; }
[[ ${1-} != --help && ${1-} != -h ]] || { usage; exit 0; }
[[ $# == 2 && $2 =~ ^(slurm|sge)$ ]] || die "usage: cluster.sh install|up|down|status|env slurm|sge (--help explains)"
action=$1
engine=$2

user=$(id -un)
host=$(hostname)
here=${CLUSTER_DIR:-/var/tmp/cluster-$user}/$engine
PATH=$PATH:/usr/sbin:/sbin
[[ $here != *[[:space:]]* ]] || die "$here: the path must not have spaces; set CLUSTER_DIR"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }

# quietly COMMAND...: run a daemon without this script's stdout; its output is shown if it fails.
quietly() {
  "$@" >>"$here/start.log" 2>&1 </dev/null || { cat "$here/start.log" >&2; die "$1 does not start"; }
}

# wait_for WHAT COMMAND...: wait until the command succeeds, at most 30 s; WHAT begins the error message.
wait_for() {
  local what=$1 tries
  shift
  for tries in {1..150}; do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  log "logs are in $here"
  die "$what after $((tries / 5)) s"
}

load_environment() {
  # shellcheck source=/dev/null
  . "$here/env.sh"
}

# stop PIDFILE...: end these daemons and wait for them.
stop() {
  local file pid
  for file; do
    [[ -s $file ]] || continue
    pid=$(<"$file")
    kill "$pid" 2>/dev/null || continue
    for _ in {1..50}; do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.2
    done
    kill -9 "$pid" 2>/dev/null || true
  done
}

install_packages() {
  local packages=(slurm-wlm munge) last=slurmd
  [[ $engine == slurm ]] || { packages=(gridengine-master gridengine-exec gridengine-client) last=sge_execd; }
  ! command -v "$last" >/dev/null || { log "$engine is installed"; return; }
  ((EUID == 0)) || die "installing packages needs root: sudo $0 install $engine"
  command -v apt-get >/dev/null || die "no apt-get here; install ${packages[*]} as your system does it"
  apt-get update >&2
  # The packages may start their own daemons, unless policy-rc.d forbids it; ours use other ports and files.
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2
}

need() {
  local program
  for program; do
    command -v "$program" >/dev/null || die "$program is not installed: $0 install $engine"
  done
}

slurm_conf() {
  local memory
  memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  cat <<CONF
ClusterName=try
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$here/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
SlurmdTimeout=20
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/spool-%n
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/slurmd-%n.pid
SlurmctldLogFile=$here/slurmctld.log
SlurmdLogFile=$here/slurmd-%n.log
GresTypes=gpu
NodeName=DEFAULT CPUs=$(nproc --all) RealMemory=$memory Gres=gpu:2
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port)
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port)
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

nodes_are_idle() { [[ $(sinfo --noheader --states=idle --format=%D) == 2 ]]; }

up_slurm() {
  need munged slurmctld slurmd sbatch
  mkdir -p "$here"/{munge,state,spool-node1,spool-node2}
  (umask 077 && head -c 1024 /dev/urandom >"$here/munge/key")
  slurm_conf >"$here/slurm.conf"
  printf 'Name=gpu File=/dev/%s\n' null zero >"$here/gres.conf"  # Slurm requires an existing device
  echo "export SLURM_CONF=$here/slurm.conf" >"$here/env.sh"
  load_environment
  # --force: munged would refuse a directory that other users cannot read, which is intended here
  quietly munged --force --key-file="$here/munge/key" --socket="$here/munge/socket" --pid-file="$here/munge/pid" \
    --log-file="$here/munge/log" --seed-file="$here/munge/seed"
  quietly slurmctld -i
  quietly slurmd -N node1
  quietly slurmd -N node2
  wait_for "no node is idle" nodes_are_idle
}

down_slurm() {
  timeout 20 scancel --user="$user" 2>/dev/null || true
  stop "$here"/slurmd-node*.pid "$here/slurmctld.pid" "$here/munge/pid"
  stop_steps
}

# stop_steps: kill each slurmstepd whose slurmd was killed, as tests do.
stop_steps() {
  local process
  for process in /proc/[0-9]*; do
    [[ $(cat "$process/comm" 2>/dev/null) == slurmstepd && $(readlink "$process/cwd") == "$here"* ]] || continue
    kill -9 "${process#/proc/}" 2>/dev/null || true
  done
}

# edited NAME=VALUE...: print a configuration from stdin with these values.
edited() {
  local changes=() change
  for change; do
    changes+=(-e "s|^${change%%=*} .*|${change%%=*} ${change#*=}|")
  done
  sed "${changes[@]}"
}

queue_is_open() { [[ -z $(qstat -f -qs auE) && -n $(qstat -f) ]]; }

up_sge() {
  need sge_qmaster sge_execd qsub qconf
  local share=/usr/share/gridengine part pe
  mkdir -p "$here"/{default/common,spool/qmaster/job_scripts,spool/execd,spooldb,start}
  for part in bin lib util utilbin; do
    ln -s "/var/lib/gridengine/$part" "$here/$part"
  done
  echo "$host" >"$here/default/common/act_qmaster"
  echo "$host localhost" >"$here/default/common/host_aliases"  # one name for the loopback address
  edited "admin_user=$user" "spooling_params=$here/spooldb" "qmaster_spool_dir=$here/spool/qmaster" \
    <"$share/default-bootstrap" >"$here/default/common/bootstrap"
  printf 'export SGE_ROOT=%s SGE_CELL=default SGE_QMASTER_PORT=%s SGE_EXECD_PORT=%s\n' \
    "$here" "$(free_port)" "$(free_port)" >"$here/env.sh"
  load_environment
  quietly sh "$share/scripts/init_cluster" "$here" default "$here/spooldb" "$user"
  quietly sge_qmaster
  wait_for "sge_qmaster does not answer" qconf -sh
  configure_sge "$here/start" "$share/util/resources/pe"
  wait_for "no host offers slots" queue_is_open
}

# configure_sge SCRATCH PARALLEL_ENVIRONMENTS: one host, one queue, as many slots as cores.
configure_sge() {
  local pe
  quietly qconf -as "$host"
  qconf -sconf global | edited min_uid=0 min_gid=0 "execd_spool_dir=$here/spool/execd" load_report_time=00:00:02 \
    max_unheard=00:00:10 execd_params=ENABLE_ADDGRP_KILL=true >"$1/global"
  quietly qconf -Mconf "$1/global"
  qconf -ssconf | edited schedule_interval=0:0:1 flush_submit_sec=1 flush_finish_sec=1 >"$1/schedule"
  quietly qconf -Msconf "$1/schedule"
  { qconf -sc; echo "gpu gpu INT <= YES YES 0 0"; } >"$1/complex"
  quietly qconf -Mc "$1/complex"
  printf '%s NONE\n' load_scaling user_lists xuser_lists projects xprojects usage_scaling report_variables >"$1/host"
  printf 'hostname %s\ncomplex_values gpu=2\n' "$host" >>"$1/host"
  quietly qconf -Ae "$1/host"
  quietly sge_execd
  printf 'group_name @allhosts\nhostlist %s\n' "$host" >"$1/group"
  quietly qconf -Ahgrp "$1/group"
  for pe in make mpi smp; do
    quietly qconf -Ap "$2/$pe"
  done
  EDITOR=true quietly qconf -aq all.q
  quietly qconf -mattr queue hostlist @allhosts all.q
  quietly qconf -mattr queue slots "$(nproc --all)" all.q
  quietly qconf -rattr queue load_thresholds NONE all.q
}

down_sge() {
  timeout 20 qdel -u "$user" >/dev/null 2>&1 || true
  stop "$here"/spool/execd/*/execd.pid "$here/spool/qmaster/qmaster.pid"
}

case $action in
  install) install_packages ;;
  up)
    [[ ! -e $here ]] || die "$here is there already; '$0 down $engine' first, or '$0 env $engine'"
    mkdir -p "$here"
    trap '(($? == 0)) || "down_$engine"' EXIT  # stop the daemons that did start; keep their logs
    log "starting $engine in $here"
    "up_$engine"
    cat "$here/env.sh"
    ;;
  down)
    [[ ! -e $here/env.sh ]] || { load_environment && "down_$engine"; }
    rm -rf -- "$here"
    ;;
  env | status)
    [[ -e $here/env.sh ]] || die "no $engine in $here; '$0 up $engine' starts one"
    load_environment
    case $action-$engine in
      env-*) cat "$here/env.sh" ;;
      status-slurm) sinfo && squeue ;;
      status-sge) qstat -f -u '*' ;;
    esac
    ;;
  *) die "unknown action '$action'; --help shows all" ;;
esac
