#!/bin/bash
# Programs of many ranks on this machine: tests/ranks.sh FOLDER, which has the programs ranks, misuse, misuse-alone,
# network and, for what resumes, mnist.
#
#   the checks       tests/ranks/*.cpp on RANKS ranks ("1 2 3 4")
#   misuse           each way to go wrong: its exit status, its message up to numbers, its time; and nothing is left
#   the launcher     another MPI's, none, and for a program without MPI
#   files            what DEBUG=, GRAPH= and PROFILE= write on each rank; a checkpoint that only rank 0 has, and Ctrl-C
#   nccl             an emulated GPU that stops, and ranks without one
#   hosts            the checks, and what is sent and lost, on hosts of one machine; skipped where that is not allowed
#
# MPIRUN and OTHER_MPIRUN are the launchers of FOLDER's MPI and, where there is one, of the other. ONLY=checks,misuse
# runs these parts. With NCCL each rank needs a GPU: MISUSED=2 is how many ranks are misused instead of 3.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
folder=$1
mpirun=${MPIRUN:-mpirun}
misused=${MISUSED:-3}
limit=4  # seconds to wait for other ranks
read -ra args <<< "${ARGS:-}"  # for the checks, as --test-case=*gradients*
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive
# More ranks than cores, none of them bound to one; a container's user is often root, and has no ssh.
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none
[ "$(id -u)" != 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
command -v ssh > /dev/null || export OMPI_MCA_plm=isolated

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'kill $! 2> /dev/null; exit 1' INT TERM HUP
failed=0 log=$scratch/log
# Under names of their own, so that one that is left over is found.
for program in ranks misuse misuse-alone mnist; do
  ! [ -e "$folder/$program" ] || ln -s "$(realpath "$folder/$program")" "$scratch/$program"
done
part() { [[ -z ${ONLY:-} || ,$ONLY, = *,$1,* ]]; }

# limited SECONDS COMMAND...: runs it, with its output in the log, and sets code.
limited() {
  timeout --kill-after 5 "$@" > "$log" 2>&1 < /dev/null &
  wait $!
  code=$?
}

# launch COMMAND...: the same, and sets seconds, and the first words of a rank.
launch() {
  local started=$EPOCHREALTIME
  limited 60 "$@"
  seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $started }")
  message=$(grep -m 1 -E '^(Error: |rank [0-9]+|ignored: |terminate called|ranks: )' "$log")
}

# Processes that run a program of ours, a second after the launcher has gone.
left() {
  for _ in $(seq 10); do
    pgrep -f "^$scratch/" > /dev/null || return 0
    sleep 0.1
  done
  pgrep -f "^$scratch/"
}

fails() {
  failed=$((failed + 1))
  echo "    FAILED: $*"
  sed 's/^/        /' "$log" | head -n 40
}

# Whether more programs than two a core want to run: then a time is no one's fault.
busy() {
  awk -v cores="$(nproc)" '{ exit !($1 > 2 * cores) }' /proc/loadavg &&
    echo "    $seconds s: not counted, the machine has a load of $(cut -d ' ' -f 1 /proc/loadavg)"
}

# ends NAME STATUS MESSAGE SECONDS: how what was launched must have ended: with STATUS, a pattern, after saying MESSAGE,
# where N is any number, within SECONDS, and with nothing left.
ends() {
  local said wanted processes
  said=$(sed -E 's/[0-9]+/N/g' <<< "$message")
  wanted=$(sed -E 's/[0-9]+/N/g' <<< "$3")
  printf '%-12s %6s %6s  %s\n' "$1" "$code" "$seconds" "$message"
  [[ $code =~ ^($2)$ ]] || fails "status $code, not $2"
  # shellcheck disable=SC2053
  [[ $said = $wanted ]] || fails "not the message: $3"
  awk "BEGIN { exit !($seconds <= $4) }" || busy || fails "$seconds s, and $4 at most"
  processes=$(left)
  if [ -n "$processes" ]; then
    fails "left running: $processes"
    xargs kill -KILL <<< "$processes"
  fi
}

# ---- The checks -----------------------------------------------------------------------------------------------------

if part checks; then
  for n in ${RANKS:-1 2 3 4}; do
    TEENY_DIST_TIMEOUT=60 limited 580 "$mpirun" -n "$n" "$scratch/ranks" "${args[@]}"
    grep -E '^ranks: |test cases|assertions' "$log"
    [ "$code" = 0 ] || fails "$n ranks: exit status $code"
  done
fi

# ---- Misuse ---------------------------------------------------------------------------------------------------------

way='all ranks must take the same way through the program'
reduce='all_reduce number N of N float32'
waits='Error: rank N of N waits for other ranks since N s'
gone='one of them is gone, very slow, or takes another way through the program (TEENY_DIST_TIMEOUT)'
bad='[1-9].*'
quiet=$bad  # MPICH's launcher kills the others when one ends without a word, but that may be status 0
"$mpirun" --version 2>&1 | grep -q 'Open MPI' || quiet='.*'

# misuse WHAT STATUS MESSAGE [SECONDS]
misuse() {
  launch env TEENY_DIST_TIMEOUT="$limit" "$mpirun" -n "$misused" "$scratch/misuse" "$1"
  ends "$1" "$2" "$3" "${4:-$((limit + 3))}"
}

if part misuse; then
  printf '%-12s %6s %6s  %s\n' case status s 'the first message of a rank'
  misuse count     "$bad" "Error: rank N: $reduce, but rank N: $reduce; $way"
  misuse dtype     "$bad" "Error: rank N: $reduce, but rank N: $reduce; $way"
  misuse shape     "$bad" "Error: rank N: $reduce as (N, N), but rank N: $reduce as (N, N); $way"
  misuse kind      "$bad" "Error: rank N: all_* number N of N float32, but rank N: all_* number N of N float32; $way"
  misuse bools     "$bad" "Error: rank N: all_reduce* number N of N *, but rank N: all_reduce* number N of N *; $way"
  misuse number    "$bad" "Error: rank N: $reduce, but rank N: $reduce; $way"
  misuse broadcast "$bad" "Error: rank N: * number N of N float32, but rank N: * number N of N float32; $way"
  misuse split     "$bad" "Error: rank N: *splits a group*; $way"
  misuse subgroup  "$bad" "Error: rank N: $reduce, but rank N: $reduce; ${way/ranks/ranks of a group of N}"
  misuse pair      "$bad" "Error: rank N: *ends*; ${way/ranks/ranks of a group of N}"
  misuse waits     "$bad" "$waits: $reduce*; $gone"
  misuse error     "$bad" 'Error: rank N does not like this'
  misuse uncaught  "$bad" 'terminate called*'
  misuse return    "$bad" "Error: rank N: *ends*; $way"
  misuse exit      3      '*'
  misuse exit256   "$bad" "Error: rank N: *ends*; $way"
  misuse _exit     "$quiet" '*'
  misuse kill      "$bad" '*'
  misuse stop      "$bad" "$waits: $reduce; $gone"
  misuse jit       4      '*'
  limit=30 misuse thread 5 '*' 7
  misuse ignored   "$bad" "ignored: rank N: $reduce, but rank N: $reduce; $way"
  # The rank with the Error says which, another one, perhaps sooner, that the collective was left out.
  left_out() {
    misuse "$1" "$bad" 'ignored: *'
    grep -q "$2" "$log" || fails "not the message: $2"
    grep -q 'all_reduce number .* but rank [0-9]*: all_reduce number' "$log" || fails 'no rank says which was left out'
  }
  left_out alone   'ignored: gather: '
  left_out replay_alone 'ignored: gather: '
  left_out memory  'ignored: out of memory: '
  misuse replay    "$bad" "Error: rank N: $reduce, but rank N: $reduce; $way"
  for what in '' slow read last order; do misuse "$what" 0 'ranks: N'; done
  misuse together  0      'ignored: gather: *'
  DEBUG=1 misuse fork 0   'ignored: a process that a rank has made by fork() is no rank itself'
  misuse late      0      '*'
  grep -q 'ignored: rank [0-9]: a collective after the end of the program' "$log" || fails 'nothing is said after the end'
  for limit in junk 0; do
    launch env TEENY_DIST_TIMEOUT=$limit "$mpirun" -n 2 "$scratch/misuse"
    ends "limit $limit" "$bad" "Error: TEENY_DIST_TIMEOUT=$limit: must be a whole number *" 5
  done
  limit=4
fi

# ---- The launcher ---------------------------------------------------------------------------------------------------

if part launcher; then
  launch "$scratch/misuse"
  ends 'none' 0 'ranks: 1' 10
  launch "$mpirun" -n 2 "$scratch/misuse-alone"
  ends 'for none' "$bad" 'Error: this is one of N processes (*), but the program was built without RANKS=mpi' 5
  if [ -n "${OTHER_MPIRUN:-}" ]; then
    launch "$OTHER_MPIRUN" -n 2 "$scratch/misuse"
    ends "another's" "$bad" \
      "Error: this is one of N processes (*), but MPI knows of one: another MPI's mpirun, or srun without --mpi=pmix" 10
    launch "$OTHER_MPIRUN" -n 2 "$scratch/misuse" unasked
    ends "unasked" 0 'ranks: N' 10
  fi
fi

# ---- What ranks write -----------------------------------------------------------------------------------------------

if part files; then
  launch env DEBUG=1 GRAPH="$scratch/graph.dot" PROFILE="$scratch/profile.json" "$mpirun" -n 2 "$scratch/misuse"
  grep -E '^rank [01]: .* collectives' "$log"
  [ "$(grep -cE '^rank [01]: [0-9]+ kernels .* 2 collectives  [0-9.]+ kB sent  .*s of network$' "$log")" = 2 ] ||
    fails 'not a line for each rank'
  grep -q '"pid": 2' "$scratch/profile.rank1.json" || fails 'both profiles are of the same process'
  for file in graph.dot graph.rank1.dot profile.json profile.rank1.json; do
    [ -s "$scratch/$file" ] || fails "there is no $file"
  done
fi

# Two ranks of mnist, each with a folder of its own, as on two machines.
two_ranks() {
  local mnist=("$scratch/mnist" --batch 600 --checkpoint run.safetensors "$@")
  command=("$mpirun" -n 1 -wdir "$scratch/a" "${mnist[@]}" : -n 1 -wdir "$scratch/b" "${mnist[@]}")
}
train() {
  two_ranks "$@"
  limited 100 "${command[@]}"
}
# Goes on to the end of the second epoch, with the result of the training that was never stopped.
resumes() {
  train --epochs 2 --resume
  [ "$code" = 0 ] || fails "mnist --resume: exit status $code"
  [ "$(grep accuracy "$log" | tail -n 1)" = "$(cat "$scratch/straight")" ] || fails "$(cat "$scratch/straight") without a stop"
  cmp "$scratch/a/run.safetensors" "$scratch/straight.safetensors" || fails 'the resumed training ends with other bits'
  rm "$scratch/a/run.safetensors"
}

if part files && [ -e "$scratch/mnist" ]; then
  mkdir "$scratch/a" "$scratch/b"
  train --epochs 2 --resume  # there is no file: from the beginning
  [ "$code" = 0 ] && grep -q 'is not there yet: starting from the beginning' "$log" || fails "mnist: exit status $code"
  grep accuracy "$log" | tail -n 1 > "$scratch/straight"
  mv "$scratch/a/run.safetensors" "$scratch/straight.safetensors"
  echo junk > "$scratch/b/run.safetensors"  # what stands where another rank runs does not count
  train --epochs 1
  [ "$code" = 0 ] || fails "mnist with a file of rank 1: exit status $code"
  resumes
  [ "$(cat "$scratch/b/run.safetensors")" = junk ] || fails 'rank 1 has written'
  rm "$scratch/b/run.safetensors"
  # Ctrl-C, as a terminal sends it to the launcher: rank 0 saves, wherever the other one is.
  two_ranks --epochs 2 --every 5
  "${command[@]}" > "$log" 2>&1 < /dev/null &
  for _ in $(seq 300); do ! [ -e "$scratch/a/run.safetensors" ] || break; sleep 0.1; done
  kill -INT $!
  wait $!
  grep -q 'stopped.*, saved in run.safetensors' "$log" || fails 'Ctrl-C: nothing was saved'
  [ -z "$(left)" ] || fails "left running: $(left)"
  resumes
  [ -z "$(ls "$scratch/b")" ] || fails "rank 1 has written $(ls "$scratch/b")"
  echo 'files: mnist goes on from a file that only rank 0 has'
fi

# ---- NCCL, where the emulator plays it -------------------------------------------------------------------------------

if part nccl && [[ $folder = *emulated-nccl* ]]; then
  waits="Error: rank N of N waits for other ranks since N s: $reduce; one of them is gone, *"
  launch env TEENY_NCCL_STALLS=1 TEENY_STREAMS=20 TEENY_DIST_TIMEOUT=$limit "$mpirun" -n "$misused" "$scratch/misuse"
  ends 'GPU stops' "$bad" "$waits" $((limit + 3))
  launch env CUDA_VISIBLE_DEVICES=3 "$mpirun" -n 2 "$scratch/misuse"
  ends 'one GPU' "$bad" 'Error: rank N is number N of its machine, where CUDA sees N GPU; NCCL needs one for each rank' 5
fi

# ---- Hosts ----------------------------------------------------------------------------------------------------------

if part hosts; then
  for n in 2 4; do
    RANKS_DIRECTORY=$scratch TEENY_DIST_TIMEOUT=60 \
      limited 300 tests/hosts.sh "$n" "$mpirun" -n "$n" "$scratch/ranks" "${args[@]}"
    [ "$code" != 77 ] || { grep skipped "$log"; break; }
    grep -E '^ranks: |test cases|assertions' "$log" | sed "1s/$/ on $n hosts/"
    [ "$code" = 0 ] || fails "$n hosts: exit status $code"
  done
  if [ "$code" != 77 ]; then
    MPIRUN=$mpirun tests/ranks/on_hosts.sh "$folder/network" || failed=$((failed + 1))
  fi
fi

[ "$failed" = 0 ] || echo "$failed failed"
[ "$failed" = 0 ]
