#!/bin/bash
# The spine in its reading order, with lines (comments and blank ones count): Part I, from a shape to a gradient; Part II, from
# a graph to elements in memory. (float16.h, how 16 bits hold a float, is for a second reading; the lines that mark the
# exercises of the course do not count.) Fails where a part has outgrown its limit.
set -eu
cd "$(dirname "$0")/../.."

part() {  # NAME LIMIT FILE...: of tensor.h the core counts, up to the banner of functional/
  local name=$1 limit=$2 total=0 lines
  shift 2
  echo "Part $name"
  for file in "$@"; do
    lines=$(awk '/^  \/\/ ==== functional\// { exit } !/^ *\/\/ \[?exercise [0-9][0-9]\]?$/ { ++n } END { print n }' "$file")
    printf '  %5d  %s\n' "$lines" "$file"
    total=$((total + lines))
  done
  printf '  %5d  in all, of at most %d\n' "$total" "$limit"
  [ "$total" -le "$limit" ]
}

base=tinyops/base graph=teeny/graph
part 'I, from a shape to a gradient' 2500 \
  $base/error.h $base/dtype.h $base/op.h $base/shape.h $base/shape.cpp \
  $graph/base.h $graph/lazy.h $graph/lazy.cpp \
  teeny/tensor/modes.h teeny/tensor/tensor.h teeny/tensor/function.h teeny/tensor/tensor.cpp \
  teeny/mlops/{common.h,elementwise.cpp,reduce.cpp,movement.cpp,contract.cpp} teeny/tensor/backward.cpp
part 'II, from a graph to elements' 1400 \
  tinyops/kernel.h tinyops/device.h $base/philox.h $base/scalar_ops.h teeny/schedule/schedule.h teeny/schedule/unfused.cpp \
  teeny/schedule/lower.h teeny/schedule/lower.cpp teeny/schedule/realize.cpp tinyops/reference/{reference,device}.cpp
