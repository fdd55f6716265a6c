# What the program `teeny` says in notes/21-networks-of-others.md.
set -euo pipefail
make --no-print-directory -s build/cpu-native/bin/teeny
PATH=$PWD/build/cpu-native/bin:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp tests/golden/page/* "$scratch"
cd "$scratch"

show() { echo "\$ $*"; "$@" || true; }
echo '== diff'
show teeny run stripes.onnx x.npy -o ours.npz | grep -v 'scores:'  # whose last digits differ from processor to processor
show teeny diff scores.npy ours.npz --atol 1e-5
echo '== wire'
show od -A n -t x1 -N 15 stripes.onnx
