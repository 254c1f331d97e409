#!/bin/bash
# slurm.sh start DIR PORT [accounts | beside OTHER] | controller DIR | node DIR NAME | stop DIR
#
# A throw-away Slurm on one machine, on loopback: no systemd, nothing outside DIR. Runs as root (any user's
# jobs) or as an ordinary user (only that one's). Ports PORT, PORT+1, PORT+2. Clients find it by
# SLURM_CONF=DIR/etc/slurm.conf. DIR and all above it must be searchable by everybody, or munge refuses.
#
# With `accounts`, as root: a slurmdbd on a MariaDB of its own as well (ports PORT+3, PORT+4), and where the kernel
# has control groups of version 1, memory limits that the kernel keeps. With `beside`: one in the same accounts as that
# in the folder OTHER, so that each reaches the other by --clusters, which gives out the same ids from now on.
set -u
what=${1:-} P=${2:-} port=${3:-} kind=${4:-} other=${5:-}
H=$(hostname -s) ME=$(id -un) known=${SLURM_CONF:-}
export SLURM_CONF=$P/etc/slurm.conf PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
CLUSTER=paraschut-test${kind:+-$kind}
N=${kind:0:1}n # names of nodes: those of two clusters on one machine must differ
die() { echo "slurm.sh: $*" >&2; exit 1; }

conf() {
  cat <<C
ClusterName=$CLUSTER
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
AuthInfo=socket=${other:-$P}/run/munge.socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$P/state
SlurmdSpoolDir=$P/spool/%n
SlurmctldPidFile=$P/run/slurmctld.pid
SlurmdPidFile=$P/run/slurmd.%n.pid
SlurmctldLogFile=$P/log/slurmctld.log
SlurmdLogFile=$P/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=2,bf_max_job_test=100,default_queue_depth=100,max_array_tasks=20000
MinJobAge=300
MaxJobCount=50000
MaxArraySize=20001
MessageTimeout=5
SlurmdTimeout=10
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
DefMemPerCPU=64
GresTypes=gpu
NodeName=${N}[1-2] NodeHostname=$H NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=8 RealMemory=8000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES DefaultTime=10:00 MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=5 State=UP
C
}
limits() { # memory limits by the kernel
  cat <<C
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
C
}
cgroup_conf() {
  cat <<C
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
AllowedRAMSpace=100
C
}
dbd_conf() {
  cat <<C
AuthType=auth/munge
AuthInfo=socket=$P/run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 3))
SlurmUser=root
PidFile=$P/run/slurmdbd.pid
LogFile=$P/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 4))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
C
}
sql() { mariadb --no-defaults -uroot -S "$P/run/mysql.sock" -e "$1" >/dev/null 2>&1; }
start_accounts() {
  sed -i -e 's/^AccountingStorageType=.*/AccountingStorageType=accounting_storage\/slurmdbd/' \
    -e 's/^MinJobAge=.*/MinJobAge=10/' "$SLURM_CONF" # so that the accounts alone know what has ended
  cat >>"$SLURM_CONF" <<C
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 3))
AccountingStoragePass=$P/run/munge.socket
C
  if [ -d /sys/fs/cgroup/memory ]; then
    sed -i '/^ProctrackType\|^TaskPlugin\|^JobAcctGatherType\|^JobAcctGatherParams/d' "$SLURM_CONF"
    limits >>"$SLURM_CONF"
    cgroup_conf >"$P/etc/cgroup.conf"
  fi
  (umask 077 && dbd_conf >"$P/etc/slurmdbd.conf")
  mkdir -p "$P/db" # MariaDB's own output is of no use to anybody else
  mariadb-install-db --no-defaults --datadir="$P/db" --user=root --auth-root-authentication-method=normal \
    --skip-test-db >"$P/log/mariadb.log" 2>&1 || die "MariaDB cannot be set up"
  mariadbd --no-defaults --datadir="$P/db" --user=root --bind-address=127.0.0.1 --port=$((port + 4)) \
    --socket="$P/run/mysql.sock" --pid-file="$P/run/mariadbd.pid" --innodb-buffer-pool-size=64M \
    --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=0 >>"$P/log/mariadb.log" 2>&1 </dev/null &
  for _ in $(seq 200); do sql 'select 1' && break; sleep 0.1; done
  for host in 127.0.0.1 localhost; do
    sql "create user slurm@'$host' identified by 'slurm'; grant all on slurm_acct.* to slurm@'$host'" || die "MariaDB did not start"
  done
  (cd "$P/etc" && slurmdbd) || die "slurmdbd did not start"
  for _ in $(seq 200); do sacctmgr -n list cluster >/dev/null 2>&1 && break; sleep 0.1; done
  known_to_accounts
}
known_to_accounts() {
  sacctmgr -i add cluster $CLUSTER >/dev/null 2>&1
  sacctmgr -i add account lab cluster=$CLUSTER >/dev/null 2>&1
  sacctmgr -i add user "$ME" account=lab cluster=$CLUSTER >/dev/null || die "the accounts do not take a user"
}
join_accounts() {
  local next
  next=$(SLURM_CONF=$other/etc/slurm.conf scontrol show config | sed -n 's/^NEXT_JOB_ID *= *//p')
  sed -i -e 's/^AccountingStorageType=.*/AccountingStorageType=accounting_storage\/slurmdbd/' "$SLURM_CONF"
  grep '^AccountingStorage\(Host\|Port\|Pass\)=' "$other/etc/slurm.conf" >>"$SLURM_CONF"
  echo "FirstJobId=${next:-1}" >>"$SLURM_CONF"
  known_to_accounts
}
alive() { # a process that has ended may still have a number, until somebody asks how it ended
  local s
  s=$(awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null)
  [ -n "$s" ] && [ "$s" != Z ]
}
ready() {
  scontrol ping 2>/dev/null | grep -q 'is UP' &&
    [ "$(sinfo -h -N -p main -o '%N %T' 2>/dev/null | grep -cE ' (idle|mixed|allocated)$')" = 2 ]
}
case $what in
start)
  [ -n "$P" ] && [ -n "$port" ] || die "usage: $0 start DIR PORT [accounts | beside OTHER]"
  for f in /etc/slurm/slurm.conf /etc/slurm-llnl/slurm.conf /run/slurm/conf/slurm.conf "$known"; do
    [ ! -s "$f" ] || grep -qx "ClusterName=paraschut-test\(-accounts\|-beside\)\?" "$f" || die "this machine belongs to a cluster ($f): not here"
  done
  for p in $(seq "$port" $((port + $([ "$kind" = accounts ] && echo 4 || echo 2)))); do
    ! (: <>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || die "port $p is in use"
  done
  mkdir -p "$P"/{etc,run,state,log} "$P/spool/${N}1" "$P/spool/${N}2" && chmod 755 "$P" "$P"/* || die "cannot use $P"
  conf >"$SLURM_CONF"
  # They are counted, and that is all that there is of them.
  printf "NodeName=${N}[1-2] Name=gpu File=%s\n" /dev/null /dev/zero >"$P/etc/gres.conf"
  if [ "$kind" = beside ]; then
    join_accounts
  else
    (umask 077 && head -c 128 /dev/urandom >"$P/etc/munge.key")
    munged --socket="$P/run/munge.socket" --key-file="$P/etc/munge.key" --pid-file="$P/run/munged.pid" \
      --log-file="$P/log/munged.log" --seed-file="$P/etc/munge.seed" || die "munged did not start"
    [ "$kind" != accounts ] || start_accounts
  fi
  slurmctld || die "slurmctld did not start"
  slurmd -N ${N}1 && slurmd -N ${N}2 || die "slurmd did not start"
  # `scontrol ping` answers at once while the controller is not there yet; sinfo would wait.
  for _ in $(seq 300); do ready && exit 0; sleep 0.1; done
  tail -n 20 "$P"/log/*.log >&2
  die "not up after 30 s" ;;
controller) slurmctld || die "slurmctld did not start" ;;
node) slurmd -N "$3" || die "slurmd did not start" ;;
stop)
  pids=$(cat "$P"/run/slurmctld.pid "$P"/run/slurmd.*.pid "$P"/run/slurmdbd.pid "$P"/run/mariadbd.pid \
    "$P"/run/munged.pid 2>/dev/null)
  ! ready >/dev/null 2>&1 || timeout 10 scancel -u "$ME" >/dev/null 2>&1
  for p in $pids; do kill -CONT "$p" 2>/dev/null; kill "$p" 2>/dev/null; done
  for _ in $(seq 100); do
    left=
    for p in $pids; do ! alive "$p" || left="$left $p"; done
    [ -n "$left" ] || exit 0
    sleep 0.1
  done
  for p in $left; do kill -9 "$p"; done ;;
*) echo "usage: $0 start DIR PORT [accounts | beside OTHER] | controller DIR | node DIR NAME | stop DIR" >&2; exit 2 ;;
esac
