# The commands of notes/from_pytorch.md, on the files that its Python has saved (tests/interop/page.py).
set -euo pipefail
make --no-print-directory -s build/cpu-native/bin/teeny
PATH=$PWD/build/cpu-native/bin:$PATH
cd tests/golden/page

show() { echo "\$ $*"; "$@"; }
echo '== info'
show teeny info stripes.pt
# What it prints of scores is rounded otherwise on another processor; the classes are the same.
command='teeny run stripes.onnx x.npy --top 1 --labels labels.txt'
grep -qxF "\$ $command" ../../../notes/from_pytorch.md
[ "$($command | grep -oE 'across|upright|slanted' | tr '\n' ' ')" = 'slanted upright slanted slanted ' ]
for says in 'teeny bench stripes.onnx --shape batch=4' 'teeny draw stripes.onnx -o stripes.svg' 'teeny diff' 'teeny convert'; do
  grep -qF "$says" ../../../notes/from_pytorch.md  # the page's other commands, whose output differs from machine to machine
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
teeny bench stripes.onnx --shape batch=4 --seconds 0.01 > /dev/null
if command -v dot > /dev/null; then teeny draw stripes.onnx -o "$scratch/stripes.svg" > /dev/null; fi
teeny convert stripes.pt "$scratch/stripes.safetensors" > /dev/null
teeny diff stripes.pt "$scratch/stripes.safetensors" > /dev/null
cp stripes.onnx x.npy scores.npy "$scratch"
cd "$scratch"
echo '== compile'
show teeny compile stripes.onnx --shape batch=4 -o stripes.teeny
command='teeny run stripes.teeny x.npy -o ours.npz > /dev/null && teeny diff scores.npy ours.npz --atol 1e-5'
echo "\$ $command"
eval "$command"
