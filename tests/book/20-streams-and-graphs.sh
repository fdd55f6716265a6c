# The figures of notes/20-streams-and-graphs.md: how many kernels a training step of an example has, which is the same on every
# backend. One step more is one step's kernels more.
set -euo pipefail
make --no-print-directory -s build/cpu-native/{teenygrad_mnist,beautiful_mnist,gpt}

kernels() {
  DEBUG=1 OMP_WAIT_POLICY=passive "build/cpu-native/$1" "${@:2}" 2>&1 > /dev/null | awk '/ kernels .*peak memory/ { print $1 }'
}
row() {
  local more less
  more=$(kernels "$@" --steps 3)
  less=$(kernels "$@" --steps 2)
  awk -v name="$1" -v n=$((more - less)) 'BEGIN { printf "| `%s` | %d | %.2f ms | %.2f ms |\n", name, n, n * 0.004, n * 0.001 }'
}
echo '== steps'
row teenygrad_mnist
row beautiful_mnist --test 100
row gpt --letters 1
