#!/bin/bash
# Paraschut: job 20260101000000/1, attempt 1. Made for this submission alone.
umask 0022
psu_id=$ID
psu_executor=test
psu_folder=/folder
psu_base=/
psu_token=abc-1
psu_log="$psu_folder/$psu_token.log"
psu_started=$(date +%s)
psu_file="$psu_folder/ended/$psu_executor~$psu_id~$psu_token"
[ ! -e "$psu_file" ] || rm -f "$psu_file" # of this job's run before the scheduler put it back into the queue
psu_signal=
psu_ready=
psu_pid=
psu_witness=
psu_note() { # signal: kept for the record; one that is to end the job is not hidden by another
  psu_caught=1
  case $1:$psu_signal in USR?:?*) ;; *) psu_signal=$1 ;; esac
  [ -z "$psu_pid" ] || psu_pass "$1"
}
psu_pass() { :; }
for psu_name in TERM INT HUP USR1 USR2 XCPU; do trap "psu_note $psu_name" "$psu_name"; done

psu_end() { # exit status, what kept the job from starting
  trap '' TERM INT HUP USR1 USR2 XCPU
  # Where another user's folder took the place of ours, nothing is written.
  if [ -L "$psu_folder" ] || [ ! -O "$psu_folder" ]; then exit "$1"; fi
  # A scheduler may say why a job failed after this, into the file that is there: only success removes it.
  if [ ! -s "$psu_log" ]; then
    [ "$1$psu_signal" != 0 ] || rm -f "$psu_log"
  elif [ -n "$psu_ready" ]; then
    cat "$psu_log" >&2
  fi
  printf '%s\n' "id=$psu_id" "token=$psu_token" "status=$1" "signal=$psu_signal" "host=$(uname -n)" \
    "started=$psu_started" "ended=$(date +%s)" "note=$2" >"$psu_file.new" && mv -f "$psu_file.new" "$psu_file"
  exit "$1"
}

psu_shared() { :; }
psu_cwd=/work
psu_out=/logs/abc-1.out
psu_err=/logs/abc-1.err
psu_run() {
export A='it'"'"'s'
export PARASCHUT_VARIABLES=A
exec /bin/bash -c 'run it'
}
psu_ours() {
  ls -ldn -- "$1" | { read -r _ _ psu_uid _ && case $psu_uid in 0 | "$(id -u)") ;; *) false ;; esac; }
}
# No link of another user's below the job directory leads to it, nor is it theirs in a public folder.
psu_safe() {
  psu_at=$1
  while :; do
    if [ -L "$psu_at" ] && ! psu_ours "$psu_at"; then return 1; fi
    case $psu_at in "$psu_base"/*/*) psu_at=${psu_at%/*} ;; *) break ;; esac
  done
  if [ ! -f "$1" ] || [ -O "$1" ]; then return 0; fi
  case $(ls -ldn -- "${1%/*}/.") in d???????w*) psu_ours "$1" ;; esac
}
psu_check() { psu_safe "$1" || psu_end 125 "did not write its log, which another user led elsewhere: $1"; }
psu_check "$psu_out"
psu_check "$psu_err"
psu_writable() { true >>"$1" || { mkdir -p "${1%/*}" && true >>"$1"; }; } 2>/dev/null
psu_writable "$psu_out" || psu_end 125 "could not write its log $psu_out"
psu_writable "$psu_err" || psu_end 125 "could not write its log $psu_err"
exec >>"$psu_out" 2>>"$psu_err"
psu_check "$psu_out"
psu_check "$psu_err"
psu_ready=1

psu_bad=; trap psu_bad=1 ERR
module load x
psu_status=$?; [ "$psu_status" -eq 0 ] || [ -z "$psu_bad" ] || psu_end 125 "$(printf '%s failed with exit status %s' 'module load x' "$psu_status")"
trap - ERR
cd -- "$psu_cwd" || psu_end 125 "could not enter its directory $psu_cwd"
exec 3>&2 2>/dev/null
psu_watch() {
  exec 9>&-
  exec 9> >(trap : INT QUIT; trap - INT QUIT TERM HUP USR1 USR2 XCPU; exec cat >/dev/null 3>&-)
  psu_witness=$!
}
psu_pass() { # signal: passed on unless the job has got it, too
  local psu_tries=5
  case $1 in USR?) ;; *) psu_tries=20 ;; esac
  while [ "$psu_tries" -gt 0 ]; do
    kill -0 "$psu_witness" || { psu_watch; return; }
    sleep 0.05
    psu_tries=$((psu_tries - 1))
  done
  kill -s "$1" "$psu_pid"
}
psu_watch
exec 8<> <(:)
(
  exec 9>&-
  trap : TERM INT QUIT HUP USR1 USR2 XCPU
  (
    trap : INT QUIT
    trap - INT QUIT TERM HUP USR1 USR2 XCPU
    echo "process $BASHPID" >&8
    exec 2>&3 3>&- 8>&-
    psu_shared
    psu_run
  ) </dev/null
  psu_status=$?
  echo "status $psu_status" >&8
  exit "$psu_status"
) &
psu_child=$!
read -r psu_word psu_number <&8
[ "$psu_word" != process ] || psu_pid=$psu_number
while [ -n "$psu_pid" ]; do
  psu_caught=
  wait "$psu_child"
  [ -n "$psu_caught" ] && kill -0 "$psu_child" || break
done
psu_pid=
psu_status=137 # if the shell in between was killed
[ "$psu_word" = status ] || read -r -t 2 psu_word psu_number <&8
[ "$psu_word" != status ] || psu_status=$psu_number
exec 2>&3 3>&- 8>&- 9>&-
psu_end "$psu_status" ""
