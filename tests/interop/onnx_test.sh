#!/bin/bash
# ONNX's own cases, as files in Debian's package libonnx-testdata: none may fail, and of each part so many pass. What teeny
# does not have (strings, sequences, training, integer networks) and what is random counts as unsupported.
#
#   onnx_test.sh TEENY
set -euo pipefail
data=/usr/share/libonnx-testdata/data
[ -d "$data" ] || { echo 'onnx-test: apt-get install libonnx-testdata' >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for part in 'node 855' 'pytorch-converted 82' 'pytorch-operator 35'; do
  read -r name least <<< "$part"
  for mode in '' --jit; do
    code=0
    "$1" onnx-test "$data/$name" $mode > "$log" || code=$?
    read -r _ passed _ failed _ unsupported <<< "$(tail -n 1 "$log")"
    printf '%-18s %-6s %d passed, %d failed, %d unsupported\n' "$name" "$mode" "$passed" "$failed" "$unsupported"
    if [ $code != 0 ] || [ "$passed" -lt "$least" ]; then grep -v '^passed ' "$log"; exit 1; fi
  done
done
