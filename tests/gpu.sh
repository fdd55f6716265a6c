#!/bin/bash
# Everything that needs a GPU, on a machine that has one: builds, tests, measures beside PyTorch, and looks for wrong
# accesses and races. Each step is counted, a failed one shows the end of its output, and the steps after it still run. All
# of it takes less than eight minutes on sixteen cores; what would take longer is cut off, and counts as failed.
#
#   tests/gpu.sh                      as above; python3, or $PEERS, may have torch
#   tests/gpu.sh --seeds 5            and trains `mnist` five times on the GPU and five times on the CPU
#   tests/gpu.sh --ranks              and tests many ranks: by NCCL where there are two GPUs or more, and by MPI, where ranks
#                                     share them; all_reduce_perf of nccl-tests says its bandwidth beside ours
#   tests/gpu.sh --only test,bench    the steps whose names contain one of these; the build is always among them
#   tests/gpu.sh --emulate            the same without a GPU: shows that the steps themselves work
#
# SECONDS_IN_ALL=480 (960 with --ranks) is the time for all steps together, CUDA_ARCH=90 the GPU to compile for, OUT=build/gpu where the whole
# output of each step is kept. Headers and libraries that the machine lacks may lie elsewhere: CPATH, LIBRARY_PATH.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
exec < /dev/null

logs=${OUT:-build/gpu}
python=${PEERS:-python3}
seeds=0 only='' emulate='' ranks=0
while [ $# -gt 0 ]; do
  case $1 in
    --seeds) seeds=${2:?--seeds COUNT}; shift ;;
    --ranks) ranks=1 ;;
    --only) only=${2:?--only NAMES}; shift ;;
    --emulate) emulate=EMULATE=1 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done
in_all=${SECONDS_IN_ALL:-$((ranks ? 960 : 480))}
mkdir -p "$logs" && rm -f "$logs/compare"
export SEED=${SEED:-1}
cores=$(nproc)
build=build/cuda${emulate:+-emulated}-native
failures=() count=0 show=

# step SECONDS NAME COMMAND...: runs it for at most so long, and shows the lines of its output that match $show.
step() {
  local limit=$1 name=$2 started=$SECONDS code=0 left=$((in_all - SECONDS)) log
  shift 2
  [[ -z $only || $name == build* || $name =~ ${only//,/|} ]] || return 0
  log=$logs/$((++count))-${name//[^a-z0-9]/_}.log
  printf '%-52s' "$name"
  [ "$left" -ge "$limit" ] || limit=$left
  if [ "$limit" -le 0 ]; then
    echo 'FAILED  no time left'
    failures+=("$name")
    return 1
  fi
  timeout --kill-after 5 "$limit" bash -o pipefail -c '"$@"' step "$@" > "$log" 2>&1 || code=$?
  if [ $code = 0 ]; then
    echo "ok      $((SECONDS - started)) s"
    [ -z "$show" ] || grep -E "$show" "$log" | sed 's/^/    /'
    return 0
  fi
  failures+=("$name")
  case $code in
    124 | 137) echo "FAILED  cut off after $limit s" ;;
    *) echo "FAILED  $((SECONDS - started)) s, exit status $code" ;;
  esac
  tail -n 40 "$log" | sed 's/^/    | /'
  return 1
}

# ---- The steps that are more than one command -----------------------------------------------------------------------

for_gpu() { make BACKEND=cuda ${emulate:+"$emulate"} "$@"; }

machine() {
  [ -n "$emulate" ] || nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader
  [ -n "$emulate" ] || nvcc --version | grep release
  g++ --version | head -n 1
  "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda, torch.cuda.is_available())' 2> /dev/null ||
    echo "$python has no torch: nothing to compare with"
}

# The same bits every time: a training says twice the same, but for the time it took.
twice() {
  local run
  for run in 1 2; do "$build/$1" --seed 1 "${@:2}" > "$logs/run$run" || return; done
  sed -i 's/ in [0-9.]* s//; s/[0-9.]* s left//' "$logs/run1" "$logs/run2"
  tail -n 1 "$logs/run1"
  diff "$logs/run1" "$logs/run2"
}

# The slowest kernels of a few steps; the first half of them also loads the code of each kernel.
slowest() {
  DEBUG=2 "$build/$1" "${@:2}" > "$logs/kernels" 2>&1 || { tail "$logs/kernels"; return 1; }
  grep ' us .*GB/s' "$logs/kernels" > "$logs/kernels.times"
  tail -n +$(($(wc -l < "$logs/kernels.times") / 2)) "$logs/kernels.times" | sort -k 2 -rn | head -n 12
  tail -n 1 "$logs/kernels"
}

compare() {
  local names=''
  [ -z "$emulate" ] || names=tiny,add_big
  "$python" -c 'import torch' 2> /dev/null || echo "$python has no torch: teeny alone"
  python3 tests/bench/compare.py "$build/bench" "$python" --peers torch,compiled --seconds 0.1 --rounds 4 --limit 180 \
    ${names:+--only "$names"} > "$logs/compare"
}

# What `mnist` reaches with each seed, and the mean.
accuracies() {
  local seed
  for seed in $(seq "$2"); do "build/$1-native/mnist" --seed "$seed" | tail -n 1; done |
    awk '{ print; sum += $3 } END { printf "mean of %d: %.2f %%\n", NR, sum / NR; exit !NR }'
}

# Enough to meet every kind of kernel, and little enough to be watched: each access takes a hundred times as long.
few_tests='--test-case=*contract: matrix*,*golden: optimisers*,*golden: layers*,*jit: fifty*,*loader*,*gradcheck: in order*'
checked() { for_gpu test SAN="$1" ARGS="'$few_tests'"; }

# What many ranks run, which NCCL connects, or MPI by way of the host's memory ($by).
for_ranks() { for_gpu RANKS="$by" "$@"; }
folder() { echo "${build%-native}-$by-native"; }
launched() { $(for_ranks -s launch NP="$1") "$(folder)/$2" "${@:3}"; }
built_for_ranks() { for_ranks -j"$cores" "$(folder)/"{ranks,misuse,misuse-alone,network,mnist}; }
bandwidth() {
  launched "$1" network bandwidth "$2" || return
  [ "$by" != nccl ] || ! command -v all_reduce_perf > /dev/null || all_reduce_perf -b 1M -e "$2M" -f 4 -g "$1"
}

export -f for_gpu machine twice slowest compare accuracies checked for_ranks folder launched built_for_ranks bandwidth
export build logs python emulate few_tests cores

# ---- The steps ------------------------------------------------------------------------------------------------------

show='.'
step 60 'the machine' machine
show=
step 300 'build: tests, bench, examples' for_gpu -j"$cores" "$build/test" "$build/bench" examples || {
  echo 'without them there is nothing to try'
  exit 1
}
tests='^\[doctest\] (test cases|assertions)'
if [ -n "$emulate" ]; then
  show=$tests
  step 300 'test' for_gpu test ARGS="'$few_tests'"
  show='.'
  step 60 'train: the same output twice' twice linear_regression
  step 60 'kernels: the slowest of a few steps' slowest linear_regression
  step 120 'bench' "$build/bench" --only matmul_64,big,rows,tiny
else
  show='kernels;'
  step 60 'registers: no kernel spills' for_gpu cuda-report
  show=$tests
  step 180 'test' for_gpu test
  show='^test accuracy'
  step 60 'train: mnist' "$build/mnist"
  show='.'
  step 60 'train: the same output twice' twice beautiful_mnist --steps 20 --test 1000
  step 60 'kernels: the slowest of a few steps' slowest beautiful_mnist --steps 6 --test 1000
  step 60 'bench' "$build/bench" --seconds 0.2
fi
show=
step 220 'bench: beside PyTorch' compare
if [ -z "$emulate" ]; then
  step 180 'sanitize: a build with exact memory' for_gpu -j"$cores" SAN=memcheck "$build-checked/test"
  show="ERROR SUMMARY|RACECHECK SUMMARY|$tests"
  for tool in memcheck racecheck initcheck synccheck; do step 50 "sanitize: $tool" checked $tool; done
fi
if [ "$seeds" -gt 0 ] && [ -z "$emulate" ]; then
  show='accuracy|mean'
  step 180 'seeds: build mnist for the CPU' make -j"$cores" build/cpu-native/mnist
  step $((20 * seeds)) "seeds: mnist on the GPU, $seeds times" accuracies cuda "$seeds"
  step $((60 * seeds)) "seeds: mnist on the CPU, $seeds times" accuracies cpu "$seeds"
fi

if [ $ranks = 1 ]; then
  gpus=2
  [ -n "$emulate" ] || gpus=$(nvidia-smi -L | wc -l)
  export by n MISUSED=2
  for by in nccl $([ -n "$emulate" ] || echo mpi); do
    n=$((gpus < 4 ? gpus : 4))
    [ $by = nccl ] || n=2
    [ $n -gt 1 ] || { echo 'one GPU: nothing for NCCL'; continue; }
    show=
    step 200 "ranks: built, $by" built_for_ranks || continue
    show='^ranks: |assertions'
    few=${emulate:+ARGS=--test-case=*every*,*two*by*two*}
    step 120 "ranks: checks, $by" for_ranks ranks-test NP=$n ONLY=checks ${few:+"$few"}
    show='^[a-z_0-9]+ +[0-9]+ +[0-9.]+  |FAILED'
    step 120 "ranks: misuse, $by" for_ranks ranks-test ONLY=misuse,nccl
    show='^test accuracy'
    [ -n "$emulate" ] || step 60 "ranks: mnist, $by" launched $n mnist
    show='.'
    step 60 "ranks: bandwidth, $by" bandwidth $n $([ -n "$emulate" ] && echo 4 || echo 256)
  done
fi

# ---- The end --------------------------------------------------------------------------------------------------------

[ ! -s "$logs/compare" ] || { echo; cat "$logs/compare"; }
echo
for name in "${failures[@]+"${failures[@]}"}"; do echo "failed: $name"; done
echo "$count steps, ${#failures[@]} failed, $SECONDS s"
[ "${#failures[@]}" = 0 ]
