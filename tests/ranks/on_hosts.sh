#!/bin/bash
# Ranks on several hosts: what leaves a host, how fast, beside what, and what happens when a host is gone. Each line says
# what was measured, and a step fails where that is not as it should be.
#
#   tests/ranks/on_hosts.sh build/cpu-mpi-native/network          MPIRUN=mpirun.mpich for another MPI's launcher
set -uo pipefail
network=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export MPIRUN=${MPIRUN:-mpirun} OMP_NUM_THREADS=1 limit=4
export TEENY_DIST_TIMEOUT=60 network
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# step SECONDS NAME COMMAND...: what it says, and whether it ends well.
step() {
  local seconds=$1 name=$2 code=0
  shift 2
  timeout --kill-after 5 "$seconds" bash -c '"$@"' step "$@" > "$scratch/log" 2>&1 || code=$?
  if [ $code = 77 ]; then cat "$scratch/log"; exit 77; fi
  [ $code = 0 ] && echo "$name" || { echo "$name   FAILED, exit status $code"; failures=$((failures + 1)); }
  grep -vE '^-+$|^$|plm:rsh: Warning' "$scratch/log" | sed 's/^/    /' | head -n 20
}

on() { local count=$1; shift; tests/hosts.sh "$count" "$MPIRUN" -n "$count" "$network" "$@"; }

# lost HOW: on two hosts, when all_reduces have begun, and then something happens to the second.
# The ranks say so after the limit at the latest, mpirun ends with a status that is not 0, and nothing is left on a host.
lost() {
  TEENY_DIST_TIMEOUT=$limit timeout 60 "$MPIRUN" -n 2 "$network" forever > /run/out 2>&1 &
  local mpirun=$! code=0 start seconds left
  until grep -q begun /run/out; do sleep 0.1; kill -0 $mpirun || return 1; done
  # What runs on host2, but for the shells of /run/on.
  running() { ip netns pids host2 | xargs -r ps -o pid=,args= -p | grep -v 'bash -c' | grep "$1" | awk '{ print $1 }'; }
  start=$EPOCHREALTIME
  case $1 in
    rank) kill -KILL $(running network | tail -n 1) ;;
    daemon) kill -KILL $(running 'orted\|hydra') ;;
    link) ip -n host2 link set eth0 down ;;
  esac
  wait $mpirun || code=$?
  seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")
  echo "exit status $code after $seconds s"
  grep -o 'rank . of 2 waits .*\|Error.*' /run/out
  ip -n host2 link set eth0 up
  for _ in $(seq 50); do left=$(ip netns pids host2 | wc -l); [ "$left" = 0 ] && break; sleep 0.1; done
  echo "$left processes left on the host"
  [ $code != 0 ] && [ "$left" = 0 ] && awk "BEGIN { exit !($seconds < $2) }"
}
export -f on lost

for n in 2 4; do
  step 60 "names of $n hosts" on $n names
  step 60 "bytes that leave each of $n hosts" on $n volume 50
done
export RATE=200mbit
step 60 'rate between 2 hosts' on 2 rate 1
step 60 'rate between 4 hosts' on 4 rate 16
for n in 2 4; do step 100 "overlap between $n hosts" on $n overlap 6 60; done
unset RATE
for how in 'rank 8' 'daemon 8' 'link 15'; do
  step 60 "two hosts, and the second loses its ${how% *}" tests/hosts.sh 2 bash -c "lost $how"
done
[ $failures = 0 ]
