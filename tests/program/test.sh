#!/bin/bash
# What a program file needs to run, and no more: one binary with a network inside that links no graph, scheduler or
# tensor, how large it is and how soon it answers; and the C header, from C and from Python.
#
#   test.sh build/cpu-native [COMMAND]        what `make test-program` built there; COMMAND runs a program, for a sanitizer
set -euo pipefail
built=$1
at=$built/program
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

$2 "$at/c_api" "$at/mnist.teeny" "$at/mnist.logits"

# The server answers with the Jit's bits.
python3 -c 'import array, sys; array.array("f", [i / 784 for i in range(784)]).tofile(sys.stdout.buffer)' > "$scratch/image"
cat "$scratch/image" "$scratch/image" | $2 "$at/mnist_server" > "$scratch/answers"
cat "$at/mnist.logits" "$at/mnist.logits" | cmp - "$scratch/answers"

# Nothing of the rooms above, and no reference to them.
rooms='teeny::(Tensor|LazyBuffer|Node|ShapeTracker|Jit|Recording|Replayer|schedule|realize|nn::|functional|detail::TensorAccess)'
if nm -C "$at/mnist_server.symbols" "$built/libteeny_program.a" | grep -E "$rooms" | head -n 5 | grep .; then
  echo 'a program links more than it needs'; exit 1
fi
[ -e "$built/libteeny_program.so" ] || exit 0  # under a sanitizer

python3 tests/program/c_api.py "$built/libteeny_program.so" "$at/mnist.teeny" "$at/mnist.logits"
exported=$(nm -D --defined-only "$built/libteeny_program.so" | awk '{ print $3 }')
if grep -v '^teeny_' <<< "$exported"; then echo 'libteeny_program.so exports more than its header'; exit 1; fi
declared=$(grep -o '\bteeny_[a-z_]*(' teeny/c_api.h | tr -d '(' | sort -u)
missing=$(comm -3 <(sort -u <<< "$exported") <(grep -v -e '^$' <<< "$declared"))
[ -z "$missing" ] || { echo "not both in teeny/c_api.h and in libteeny_program.so: $missing"; exit 1; }
[ "$(wc -w <<< "$declared")" -le 10 ]

python3 - "$at/mnist_server" "$scratch/image" "${MOST_BYTES:-2097152}" <<'PYTHON'
import os, statistics, subprocess, sys, time
server, image, most = sys.argv[1:]
times = []
for _ in range(60):
    with open(image) as stdin:
        begin = time.perf_counter()
        process = subprocess.Popen([server], stdin=stdin, stdout=subprocess.PIPE)
        process.stdout.read(40)
        times.append(time.perf_counter() - begin)
        process.communicate()
size = os.path.getsize(server)
print(f'mnist_server: {size:,} bytes; the first answer after {1e3 * min(times):.1f} ms, '
      f'median {1e3 * statistics.median(times):.1f} ms')
sys.exit(size > int(most))
PYTHON
