#!/bin/sh
# Paraschut: job 20260101000000/1, attempt 1. Made for this submission alone.
umask 0022
psu_id=$ID
psu_executor=test
psu_folder=/folder
psu_base=/
psu_token=abc-1
psu_log="$psu_folder/$psu_token.log"
psu_started=$(date +%s)
psu_signal=
psu_ready=
# The job's command gets these signals too and decides what they mean; this script outlives it and notes them.
for psu_name in TERM INT HUP USR1 USR2 XCPU; do trap "psu_signal=$psu_name" "$psu_name"; done

psu_end() { # exit status, what kept the job from starting
  trap '' TERM INT HUP USR1 USR2 XCPU
  # Where another user's folder took the place of ours, nothing is written.
  if [ -L "$psu_folder" ] || [ ! -O "$psu_folder" ]; then exit "$1"; fi
  # A scheduler may say why a job failed after this, into the file that is there: only success removes it.
  if [ ! -s "$psu_log" ]; then
    [ "$1" -ne 0 ] || rm -f "$psu_log"
  elif [ -n "$psu_ready" ]; then
    cat "$psu_log" >&2
  fi
  psu_file="$psu_folder/ended/$psu_executor~$psu_id~$psu_token"
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
exec /bin/sh -c 'run it'
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

psu_bad=1
module load x
psu_status=$?; [ "$psu_status" -eq 0 ] || [ -z "$psu_bad" ] || psu_end 125 "$(printf '%s failed with exit status %s' 'module load x' "$psu_status")"
cd -- "$psu_cwd" || psu_end 125 "could not enter its directory $psu_cwd"
# A shell tells of a command that a signal ended; the job's log is not the place for that.
exec 3>&2 2>/dev/null
(exec 2>&3 3>&-; psu_shared; psu_run) </dev/null
psu_status=$?
exec 2>&3 3>&-
psu_end "$psu_status" ""
