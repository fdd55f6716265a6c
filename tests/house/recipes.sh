#!/bin/bash
# Follows the README's recipes, "Adding to it", in a copy of the sources: takes the code from the page, counts the places that
# each recipe touches (a place is a run of neighbouring lines in one file, or a new file), builds without the Makefile and
# almost without optimization, and compares values and gradients on the cpu, the reference and an emulated GPU.
#
#   tests/house/recipes.sh         CXX=clang++-16 tests/house/recipes.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z README.md notes/kind_of_kernel.md teeny tinyops tests | xargs -0 cp --parents -t "$copy"
cd "$copy"
git init -q . && git add -A

# ---- The places

# block RECIPE PLACE: the README's code after the line `<!-- recipe RECIPE: PLACE -->`.
block() {
  awk -v marker="<!-- recipe $1: $2 -->" '$0 == marker { marked = 1; next }
    marked && /^```cpp/ { inside = 1; next }
    inside && /^```/ { exit }
    inside { print; found = 1 }
    END { exit !found }' README.md notes/kind_of_kernel.md || { echo "the README has no code for $1: $2" >&2; return 1; }
}
# the_line FILE TEXT: the number of the only line of the file that contains the text.
the_line() {
  [ "$(grep -cF "$2" "$1")" = 1 ] || { echo "$1 has not one line with $2" >&2; return 1; }
  grep -nF "$2" "$1" | cut -d: -f1
}
# follow RECIPE LIMIT: does what the README says. A PLACE is `FILE after TEXT`, `FILE before TEXT`, or a new file.
follow() {
  local place file line places
  while read -r place; do
    block "$1" "$place" > block
    case $place in
      *' after '*) file=${place%% after *} line=$(the_line "$file" "${place#* after }") ;;
      *' before '*) file=${place%% before *} line=$(($(the_line "$file" "${place#* before }") - 1)) ;;
      *) mv block "$place" && continue ;;
    esac
    sed -i "${line}r block" "$file"
  done < <(sed -n "s/^<!-- recipe $1: \(.*\) -->\$/\1/p" README.md notes/kind_of_kernel.md)
  rm -f block
  git add -A -N
  places=$(git diff -U0 | grep -c '^@@')
  table+=$(printf '%-12s %6d  %s' "$1" "$places" "$(git diff --name-only | xargs)")$'\n'
  [ "$places" -le "$2" ] || { echo "the recipe $1 takes $places places, and may take $2" >&2; return 1; }
  git add -A
}

table=$'recipe       places\n'
follow activation 1
follow rule 1
follow primitive 2
follow kind 8

# ---- Programs that check what was made

check_function() {  # RECIPE FUNCTION 'f(v)' 'the derivative of f at v'
  cat > "$1.cpp" <<CPP
#include <cmath>
#include <iostream>
#include "teeny/teeny.h"
using namespace teeny;
namespace {
#include "$2.h"
}
int main() {
  Tensor x = (Tensor::arange(41) * 0.1 - 2).requires_grad_();
  const Tensor y = $2(x);
  y.sum().backward();
  const std::vector<double> at = x.to_vector<double>(), values = y.to_vector<double>(), grads = x.grad().to_vector<double>();
  for (size_t i = 0; i < at.size(); ++i) {
    const double v = at[i], value = $3, derivative = $4;
    if (std::abs(values[i] - value) <= 1e-5 && std::abs(grads[i] - derivative) <= 1e-5) continue;
    std::cerr << "$2(" << v << ") is " << values[i] << " and should be " << value << "; its derivative is " << grads[i]
              << " and should be " << derivative << "\n";
    return 1;
  }
}
CPP
}
check_function activation tanhshrink 'v - std::tanh(v)' 'std::tanh(v) * std::tanh(v)'
check_function rule sech '1 / std::cosh(v)' '-std::tanh(v) / std::cosh(v)'

cat > primitive.cpp <<'CPP'
#include <cmath>
#include <iostream>
#include "teeny/teeny.h"
using namespace teeny;

// sin(x) / x of 0.0, 0.1, .. plain, padded before (it is 1 at 0) and padded after (0).
int main() {
  const auto sinc = [](const Tensor& x) { return Tensor(x.lazy().unary(UnaryOp::Sinc)); };
  const Tensor x = Tensor::arange(100) * 0.1;
  const auto check = [](const Tensor& got, int64_t first, double outside, const char* what) {
    const std::vector<double> values = got.to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      const int64_t k = int64_t(i) - first;
      const double v = double(float(k) * 0.1f), want = k < 0 || k >= 100 ? outside : k == 0 ? 1 : std::sin(v) / v;
      if (std::abs(values[i] - want) <= 1e-5) continue;
      std::cerr << "sinc, " << what << ": element " << i << " is " << values[i] << " and should be " << want << "\n";
      std::exit(1);
    }
  };
  check(sinc(x), 0, 0, "plain");
  check(sinc(x.pad({2}, {3})), 2, 1, "of what is padded");
  check(sinc(x).pad({2}, {3}), 2, 0, "then padded");
}
CPP

cat > kind.cpp <<'CPP'
#include <algorithm>
#include <iostream>
#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"
using namespace teeny;
namespace {
#include "search_sorted.h"
}

// In every dtype, of what other kernels make and into one more; fused and node by node, replayed, and as the trace shows it.
int main() {
  const auto check = [](const Tensor& sorted, const Tensor& x, const Tensor& got, const std::string& what) {
    const std::vector<double> in = sorted.to_vector<double>(), values = x.to_vector<double>(), places = got.to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      const double want = double(std::ranges::lower_bound(in, values[i]) - in.begin());
      if (places[i] == want) continue;
      std::cerr << "search, " << what << ": the place of " << values[i] << " is " << places[i] << " and should be " << want << "\n";
      std::exit(1);
    }
  };
  for (const DType dtype : kDTypes)
    for (const bool fuse : {true, false}) {
      const ExecutionScope scope({.fuse = fuse});
      const Tensor sorted = (Tensor::arange(70) / 3).floor().cast(dtype), x = (Tensor::arange(3000).reshape({30, 100}) % 41).cast(dtype).transpose(0, 1);
      check(sorted, x, search_sorted(sorted, x) * 1, text(dtype));
      check(sorted, x[0], search_sorted(sorted, x)[0], text(dtype, ", the first row"));
    }
  Jit step([](const Tensor& x) { return search_sorted(Tensor::arange(10), x * 2) + 0; });
  for (int call = 0; call < 4; ++call) {
    const Tensor x = Tensor::arange(8) + call;
    check(Tensor::arange(10), x * 2, step(x), text("call ", call));
  }
  const Tensor x = Tensor::arange(6).realize();
  const std::vector<Step> steps = schedule(std::vector{search_sorted(x, x).lazy()});
  if (const std::string label = debug::label(steps.back().kernel); label != "search (6,)") return std::cerr << label << "\n", 1;
}
CPP

# ---- Build and run

flags=(-std=c++20 -O1 -Wall -Wextra -Wno-restrict -Werror -fopenmp -pthread -I. $(pkg-config --cflags eigen3 | sed "s,-I,-isystem ,"))
emulated=(-x c++ -Itests/gpu_emulator -Wno-unknown-pragmas -Wno-missing-field-initializers)
compile() {  # FILES: objects/PATH.o of each, two at a time
  printf '%s\0' "$@" | xargs -0 -P2 -I{} sh -c 'mkdir -p "objects/$(dirname {})" && "$@" -c {} -o objects/{}.o' sh \
    "${CXX:-g++}" "${flags[@]}" $(case $1 in *.cu) printf '%s ' "${emulated[@]}" ;; esac)
}
objects() { printf 'objects/%s.o ' "$@"; }

teeny=(teeny/*/*.cpp tinyops/base/*.cpp tinyops/common/*.cpp tinyops/ranks/alone.cpp tinyops/reference/reference.cpp)
cpu=(tinyops/cpu/*.cpp tinyops/cpu/*/*.cpp)
reference=(tinyops/reference/device.cpp)
cuda=(tinyops/cuda/*/*.cu tests/gpu_emulator/{block,runtime,streams}.cpp)
programs=(tests/test_ops.cpp tests/test_fuzz.cpp primitive.cpp activation.cpp rule.cpp kind.cpp)
doctest=(tests/main.cpp tests/random_graph*.cpp)
compile "${cuda[@]}"
compile "${teeny[@]}" "${cpu[@]}" "${reference[@]}" "${programs[@]}" "${doctest[@]}"
ar rcs teeny.a $(objects "${teeny[@]}")
for backend in cpu reference cuda; do
  declare -n device=$backend
  for program in "${programs[@]}"; do
    case $program in tests/*) more=("${doctest[@]}") ;; *) more=() ;; esac
    "${CXX:-g++}" -pthread $(objects "$program" "${more[@]}") $(objects "${device[@]}") teeny.a -fopenmp -lz -o program
    FUZZ=100 OMP_WAIT_POLICY=passive ./program > log 2>&1 || { tail -n 40 log; echo "$program fails on $backend" >&2; exit 1; }
  done
done
printf %s "$table"
