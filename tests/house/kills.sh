#!/bin/bash
# Kills trainings at random moments, lets them go on with --resume, and compares what they end with, to the bit, with a run
# that nobody killed. Then Ctrl-C, which saves, says where, and ends with status 130.
#
#   tests/house/kills.sh build/cpu-native [kills of each program]      (SEED=n chooses other moments)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
programs=${1:?the folder of the examples} kills=${2:-7}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
RANDOM=${SEED:-1}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The first images of MNIST, so that a start takes no time: two files of COUNT images each, with new headers.
mkdir "$scratch/images"
part() {  # NAME COUNT
  local count images=$1-images-idx3-ubyte labels=$1-labels-idx1-ubyte from=examples/data/mnist
  count=$(printf '\\x%02x\\x%02x' $(($2 / 256)) $(($2 % 256)))
  { printf "\0\0\x08\x03\0\0$count\0\0\0\x1c\0\0\0\x1c"
    gzip -dc "$from/$images.gz" | tail -c +17 | head -c $((784 * $2)); } > "$scratch/images/$images"
  { printf "\0\0\x08\x01\0\0$count"
    gzip -dc "$from/$labels.gz" | tail -c +9 | head -c "$2"; } > "$scratch/images/$labels"
}
set +o pipefail  # gzip is not read to its end
part train 1000
part t10k 1000
set -o pipefail
export TEENY_MNIST_DIR=$scratch/images

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
fail() { echo "kills: $*" >&2; exit 1; }

# check NAME ARGUMENT...: a run of its own, a run with all the kills, a run with Ctrl-C.
check() {
  local name=$1 folder=$scratch/$1 start length killed=0 code
  local -a command=("$programs/$name" "${@:2}" --every 1 --checkpoint)
  mkdir "$folder"
  start=$(milliseconds)
  "${command[@]}" "$folder/whole" > "$folder.log"
  length=$(($(milliseconds) - start))
  ! "${command[@]}" "$folder/whole" > /dev/null 2>&1 || fail "$name writes over a checkpoint without --resume"

  while [ $killed -lt "$kills" ]; do
    "${command[@]}" "$folder/killed" --resume > "$folder.log" 2>&1 &
    sleep "$(awk -v ms=$((RANDOM * length / 32768 + 1)) 'BEGIN { print ms / 1000 }')"
    kill -9 $! 2> /dev/null || true
    code=0
    wait $! 2> /dev/null || code=$?
    case $code in
      137) killed=$((killed + 1)) ;;
      0) rm "$folder/killed" ;;  # it had come to its end: once more from the beginning
      *) cat "$folder.log" >&2; fail "$name ends with status $code" ;;
    esac
  done
  "${command[@]}" "$folder/killed" --resume > "$folder.log"
  cmp "$folder/whole" "$folder/killed" || fail "$name ends with other bits after $killed kills"
  ! "${command[@]}" "$folder/killed" --resume --lr 0.0625 > "$folder.log" 2>&1 || fail "$name goes on with another rate"
  grep -q 'run.lr: .* in the file, 0.0625 here' "$folder.log" || fail "$name does not name the rate that differs"
  ! "${command[@]}" "$folder/killed" --resume --seed 987654 > "$folder.log" 2>&1 || fail "$name goes on with another seed"
  grep -q 'run.seed: .* in the file, 987654 here' "$folder.log" || fail "$name does not name the seed that differs"

  "${command[@]}" "$folder/stopped" > "$folder.log" 2>&1 &
  while [ ! -e "$folder/stopped" ]; do sleep 0.01; done
  kill -INT $!
  code=0
  wait $! || code=$?
  [ $code = 130 ] || fail "$name ends with status $code after Ctrl-C"
  grep -q "saved in $folder/stopped" "$folder.log" || fail "$name does not say where it has saved"
  ! cmp -s "$folder/whole" "$folder/stopped" || fail "$name was not stopped by Ctrl-C"
  "${command[@]}" "$folder/stopped" --resume > "$folder.log"
  cmp "$folder/whole" "$folder/stopped" || fail "$name ends with other bits after Ctrl-C"
  [ "$(ls "$folder")" = "$(printf 'killed\nstopped\nwhole')" ] || fail "$name leaves files behind: $(ls "$folder")"
  echo "$name: $killed kills and a Ctrl-C of a training of $length ms, and the same bits"
}

check mnist --batch 25 --epochs 1
check beautiful_mnist --steps 20 --batch 16 --test 100
check gpt --layers 1 --width 16 --heads 2 --context 16 --batch 4 --steps 60 --letters 0

# Another text of the same length.
gpt=("$programs/gpt" --layers 1 --width 16 --heads 2 --context 16 --steps 1 --letters 0 --checkpoint "$scratch/text")
head -c 4000 examples/gpt.cpp > "$scratch/a.txt"
tr e u < "$scratch/a.txt" > "$scratch/b.txt"
"${gpt[@]}" --text "$scratch/a.txt" > "$scratch/text.log"
! "${gpt[@]}" --text "$scratch/b.txt" --resume > "$scratch/text.log" 2>&1 || fail "gpt goes on with another text"
grep -q 'run.text_checksum: ' "$scratch/text.log" || fail "gpt does not name the text that differs"
