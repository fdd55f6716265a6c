#!/bin/bash
# Follows the README's recipes, "Adding to it", in a copy of the sources: takes the code from the page, builds without the
# Makefile and without optimization, compares values and gradients, and counts the places touched (a place is a run of
# neighbouring lines in one file). The primitive goes through tests/test_ops.cpp on the cpu and the reference backend.
#
#   tests/house/recipes.sh         CXX=clang++-16 tests/house/recipes.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z README.md teeny tinyops tests | xargs -0 cp --parents -t "$copy"
cd "$copy"
git init -q . && git add -A

# block RECIPE: the README's code after the line `<!-- recipe: RECIPE -->`.
block() {
  awk -v marker="<!-- recipe: $1 -->" '$0 == marker { marked = 1; next }
    marked && /^```cpp/ { inside = 1; next }
    inside && /^```/ { exit }
    inside { print; found = 1 }
    END { exit !found }' README.md || { echo "the README has no recipe: $1" >&2; return 1; }
}
# insert FILE LINE: the code of that recipe, after the only line of the file that contains LINE.
insert() {
  [ "$(grep -cF "$2" "$1")" = 1 ] || { echo "$1 has not one line with $2" >&2; return 1; }
  block "$1 after $2" > block
  sed -i "$(grep -nF "$2" "$1" | cut -d: -f1)r block" "$1"
}
flags=(-std=c++20 -O1 -Wall -Wextra -Wno-restrict -Werror -fopenmp -pthread -I. $(pkg-config --cflags eigen3 | sed "s,-I,-isystem ,"))
compile() {  # FILES: objects/PATH.o of each, two at a time
  printf '%s\0' "$@" | xargs -0 -P2 -I{} sh -c 'mkdir -p "objects/$(dirname {})" && "$@" -c {} -o objects/{}.o' sh \
    "${CXX:-g++}" "${flags[@]}"
}
objects() { printf 'objects/%s.o ' "$@"; }

# ---- A primitive: first, because everything is compiled with it

insert tinyops/base/op.h 'X(Tanh'
insert tinyops/base/scalar_ops.h 'case UnaryOp::Tanh'
primitive=$(git diff -U0 -- teeny tinyops | grep -c '^@@')

cat > primitive.cpp <<'CPP'
#include <cmath>
#include <iostream>
#include "teeny/teeny.h"
using namespace teeny;

// cosh of 0.0, 0.1, .. plain, padded before (cosh(0) = 1) and padded after (0).
int main() {
  const auto cosh = [](const Tensor& x) { return Tensor(x.lazy().unary(UnaryOp::Cosh)); };
  const Tensor x = Tensor::arange(100) * 0.1;
  const auto check = [](const Tensor& got, int64_t first, double outside, const char* what) {
    const std::vector<double> values = got.to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      const int64_t k = int64_t(i) - first;
      const double want = k >= 0 && k < 100 ? std::cosh(double(float(k) * 0.1f)) : outside;
      if (std::abs(values[i] - want) <= 1e-5 * (1 + want)) continue;
      std::cerr << "cosh, " << what << ": element " << i << " is " << values[i] << " and should be " << want << "\n";
      std::exit(1);
    }
  };
  check(cosh(x), 0, 0, "plain");
  check(cosh(x.pad({2}, {3})), 2, 1, "of what is padded");
  check(cosh(x).pad({2}, {3}), 2, 0, "then padded");
}
CPP

# ---- An activation and a rule: a function each, in a program of its own

check_values() {  # FILE FUNCTION 'f(v)' 'the derivative of f at v'
  { echo '#include <cmath>'
    echo '#include <iostream>'
    echo '#include "teeny/mlops/common.h"'
    echo '#include "teeny/teeny.h"'
    echo 'using namespace teeny;'
    echo 'namespace {'
    block "$1"
    cat <<CPP
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
  } > "$1.cpp"
}
check_values activation tanhshrink 'v - std::tanh(v)' 'std::tanh(v) * std::tanh(v)'
check_values rule expm1_of 'std::expm1(v)' 'std::exp(v)'

# ---- Build and run

teeny=(teeny/*/*.cpp tinyops/base/*.cpp tinyops/*.cpp tinyops/reference/reference.cpp)
cpu=(tinyops/cpu/*.cpp tinyops/cpu/*/*.cpp)
reference=(tinyops/reference/device.cpp)
[ -z "$(ls tinyops/common/*.cpp 2> /dev/null)" ] || teeny+=(tinyops/common/*.cpp)
programs=(tests/test_ops.cpp primitive.cpp activation.cpp rule.cpp)
compile "${teeny[@]}" "${cpu[@]}" "${reference[@]}" "${programs[@]}" tests/main.cpp
ar rcs teeny.a $(objects "${teeny[@]}")
for backend in cpu reference; do
  declare -n device=$backend
  for program in "${programs[@]}"; do
    main=$([ "$program" = tests/test_ops.cpp ] && objects tests/main.cpp || true)
    "${CXX:-g++}" -pthread $(objects "$program") $main $(objects "${device[@]}") teeny.a -fopenmp -lz -o program
    OMP_WAIT_POLICY=passive ./program > log 2>&1 || { tail -n 40 log; echo "$program fails on $backend" >&2; exit 1; }
  done
done

echo 'recipe       places'
echo 'activation   1  (a function)'
echo 'rule         1  (a struct and its function)'
echo "primitive    $primitive  (op.h, scalar_ops.h)"
[ "$primitive" = 2 ]
