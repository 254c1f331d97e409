#!/bin/bash
# sge.sh start DIR PORT | controller DIR | node DIR | stop DIR
#
# A throw-away Grid Engine on one machine, on loopback: no init scripts, nothing outside DIR. Runs as root
# (any user's jobs) or as an ordinary user (only that one's). Ports PORT, PORT+1; 16 slots in all.q; parallel
# environment smp. Clients find it by what DIR/env holds.
set -euo pipefail
what=${1:-} R=${2:-} port=${3:-}
L=/usr/lib/gridengine U=/usr/share/gridengine C=$R/default/common
die() {
  echo "sge.sh: $*" >&2
  tail -n 5 "$R"/spool/qmaster/messages "$R"/spool/execd/*/messages >&2 2>/dev/null || true
  exit 1
}
[ -n "$R" ] || { echo "usage: $0 start DIR PORT | controller DIR | node DIR | stop DIR" >&2; exit 2; }
[ "$what" = start ] || port=$(cat "$R/port")
known=${SGE_ROOT:-/var/lib/gridengine}/${SGE_CELL:-default}/common/act_qmaster
export SGE_ROOT=$R SGE_CELL=default SGE_QMASTER_PORT=$port SGE_EXECD_PORT=$((port + 1)) SGE_SINGLE_LINE=1
export LC_ALL=C PATH=$L:$PATH # the commands themselves: those in /usr/bin are shell scripts around them

alive() { # a process that has ended may still have a number, until somebody asks how it ended
  local p s
  p=$(cat "$1" 2>/dev/null) && s=$(awk '/^State/ { print $2 }' "/proc/$p/status" 2>/dev/null) && [ -n "$s" ] && [ "$s" != Z ]
}
wait_for() {
  local i
  for ((i = 0; i < 600; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done
  die "timed out: $*"
}
set_keys() { # key value ...: replaces the values in lines of "key value"
  local e=()
  while [ $# -gt 0 ]; do e+=(-e "s|^($1[[:space:]]+).*|\\1$2|"); shift 2; done
  sed -E "${e[@]}"
}
q() { local o; o=$(qconf "$@" 2>&1) || die "qconf $*: $o"; }
daemon() { # jobs inherit execd's environment, so it starts with next to none
  (cd / && exec env -i SGE_ROOT="$R" SGE_CELL=default SGE_ARCH="$("$R/util/arch")" SGE_QMASTER_PORT="$port" \
    SGE_EXECD_PORT=$((port + 1)) SGE_EXECD_PIDFILE="$R/execd.pid" PATH=/usr/local/bin:/usr/bin:/bin \
    "$L/$1" </dev/null >/dev/null 2>&1) || die "$1 did not start"
}
ready() { qstat -f -q all.q | awk 'NR == 3 && NF == 5 { ok = 1 } END { exit !ok }'; }

case $what in
start)
  master=$(cat "$known" 2>/dev/null || true)
  [ -z "$master" ] || [ "$master" = localhost ] || die "this machine belongs to the Grid Engine of $master: not here"
  getent hosts "$(hostname)" >/dev/null || die "the name $(hostname) does not resolve: add it to /etc/hosts"
  ! alive /var/spool/gridengine/qmaster/qmaster.pid || die "this machine runs a Grid Engine: not here"
  for p in "$port" $((port + 1)); do
    ! (: <>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || die "port $p is in use"
  done
  mkdir -p "$C" "$R"/spool/{qmaster/job_scripts,db,execd} "$R"/{bin,lib,utilbin}
  chmod 755 "$R"
  echo "$port" >"$R/port"
  ln -sfn $U/util "$R/util"
  arch=$("$R/util/arch")
  for d in bin lib utilbin; do ln -sfn $L "$R/$d/$arch"; done
  printf '%s\n' SGE_ROOT="$R" SGE_CELL=default SGE_ARCH="$arch" SGE_QMASTER_PORT="$port" \
    SGE_EXECD_PORT=$((port + 1)) >"$R/env"
  set_keys admin_user "$(id -un)" spooling_params "$R/spool/db" binary_path $L qmaster_spool_dir "$R/spool/qmaster" \
    <$U/default-bootstrap >"$C/bootstrap"
  echo localhost >"$C/act_qmaster" # must be writable by the admin user: qmaster rewrites it
  # All names of this host are aliases of localhost, whatever the resolver thinks of them.
  names=$({ hostname; hostname -s; hostname -f; awk '$1 ~ /^127\./ { $1 = ""; print }' /etc/hosts; } 2>/dev/null |
    tr ' ' '\n' | grep -vxE 'localhost|' | sort -u | xargs)
  echo "localhost $names" >"$C/host_aliases"
  # No login shells: what the profile of whoever runs the tests does is not to be tested.
  set_keys execd_spool_dir "$R/spool/execd" mailer /bin/true administrator_mail none min_uid 0 min_gid 0 \
    login_shells none \
    load_report_time 00:00:05 max_unheard 00:00:30 gid_range 20000-20999 reporting_params \
    'accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00' \
    <$U/default-configuration >"$R/conf"
  {
    $L/spoolinit berkeleydb libspoolb "$R/spool/db" init
    $L/spooldefaults configuration "$R/conf"
    $L/spooldefaults complexes "$R/util/resources/centry"
    $L/spooldefaults usersets "$R/util/resources/usersets"
    $L/spooldefaults managers "$(id -un)"
  } >/dev/null
  daemon sge_qmaster
  wait_for qconf -sh
  q -as localhost
  printf 'group_name @allhosts\nhostlist localhost\n' >"$R/hostgroup"
  q -Ahgrp "$R/hostgroup"
  set_keys control_slaves FALSE accounting_summary FALSE <"$R/util/resources/pe/smp" >"$R/pe"
  q -Ap "$R/pe"
  qconf -sq | set_keys qname all.q hostlist @allhosts slots 16 load_thresholds NONE pe_list smp shell /bin/bash \
    >"$R/queue"
  q -Aq "$R/queue"
  qconf -ssconf | set_keys schedule_interval 0:0:1 flush_submit_sec 1 flush_finish_sec 1 job_load_adjustments NONE \
    load_adjustment_decay_time 0:0:0 >"$R/scheduler"
  q -Msconf "$R/scheduler"
  daemon sge_execd
  wait_for ready ;;
controller)
  daemon sge_qmaster
  wait_for qconf -sh ;;
node)
  daemon sge_execd
  wait_for ready ;;
stop)
  for f in "$R/execd.pid" "$R/spool/qmaster/qmaster.pid"; do ! alive "$f" || kill -CONT "$(cat "$f")"; done
  timeout 20 qdel -f -u "$(id -un)" >/dev/null 2>&1 || true
  ! alive "$R/execd.pid" || timeout 20 qconf -kej localhost >/dev/null 2>&1 || true
  for ((i = 0; i < 100; i++)); do alive "$R/execd.pid" || break; sleep 0.05; done
  for f in "$R/execd.pid" "$R/spool/qmaster/qmaster.pid"; do ! alive "$f" || kill -9 "$(cat "$f")"; done ;;
*) die "no such command: $what" ;;
esac
