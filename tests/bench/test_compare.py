#!/usr/bin/env python3
"""What compare.py says of programs whose times are known."""
import pathlib
import subprocess
import sys
import tempfile

import compare

# Stands at rows, as bench.cpp does with --asked, and answers with the times that it was given for each, over and over.
ACTOR = """
import sys
for row, times in eval(sys.argv[1]):
    print("row", row, 2, "GFLOP/s", flush=True)
    asked = 0
    for line in sys.stdin:
        if not line.startswith("time "):
            break
        if times is None:
            sys.exit("no memory")
        print("ms", times[asked % len(times)], flush=True)
        asked += 1
print("peak memory: tensors 1.0 MiB, process 7.5 MiB")
"""
wrong = 0


def check(what, got, wanted):
    global wrong
    if got != wanted:
        wrong += 1
        print(f"{what}: {got}, not {wanted}")


def actor(name, *rows):
    return compare.Program(name, [sys.executable, "-c", ACTOR, repr(rows)])


def rows_of(teeny, *peers):
    """{row: (times, verdict)}."""
    found = {}
    for row, _, _, times in compare.rows(teeny, peers, 0.01, 4):
        ratios = compare.compared(times) if "teeny" in times else []
        found[row] = times, compare.verdict(ratios) if ratios else None
    return found


teeny = actor("teeny", ("a", [1.0, 1.1]), ("b", [1.0, 1.2, 1.0, 1.1]), ("c", [3.0]), ("d", [1.0]), ("e", [1.0]), ("f", [1.0]))
torch = actor("torch", ("a", [2.0]), ("b", [1.1, 1.1, 1.1, 1.1]), ("c", [1.0, 1.5]), ("d", [9.0]), ("e", None), ("f", [1.0]))
jax = actor("jax", ("b", [5.0]), ("d", [1.4]))
rows = rows_of(teeny, torch, jax)
check("verdicts", {row: found[1] for row, found in rows.items()}, {"a": "ahead", "b": "even", "c": "behind", "d": "ahead", "e": None, "f": None})
check("all rounds of the best", len(rows["b"][0]["torch"]), 4)
check("a hopeless one is asked once", (len(rows["b"][0]["jax"]), len(rows["d"][0]["torch"])), (1, 1))
check("the best peer counts", compare.compared(rows["d"][0]), [1 / 1.4] * 4)
check("the median of ratios of the same round", compare.compared({"teeny": [1, 2, 4], "jax": [1, 1, 2]}), [1, 2, 2])
check("peak memory", teeny.peak_mib, 7.5)
check("who has ended stands nowhere", (torch.row, jax.row, teeny.row), (None, None, None))

# An order of its own: it would wait at that row for ever, which is said.
stuck = actor("stuck", ("b", [1.0]), ("a", [1.0]))
rows = rows_of(actor("teeny", ("a", [1.0]), ("b", [1.0])), stuck)
check("only what comes in the same order", [list(found[0]) for found in rows.values()], [["teeny"], ["teeny", "stuck"]])
check("it still stands there", stuck.row, "a")
stuck.end()

# As a program, without peers.
def run(bench, *options):
    return subprocess.run([sys.executable, compare.__file__, bench, *options], capture_output=True, text=True)


with tempfile.TemporaryDirectory() as folder:
    bench = pathlib.Path(folder) / "bench"
    header = "print('device cpu A b, at most 10 GFLOP/s and 20 GB/s', flush=True)"
    bench.write_text(f"#!{sys.executable}\n{header}\n" + ACTOR.replace("eval(sys.argv[1])", "[('x', [0.5, 0.25]), ('y', None)]"))
    bench.chmod(0o755)
    done = run(bench, "--rounds", "2", "--csv", f"{folder}/times.csv")
    line = next((line.split() for line in done.stdout.splitlines() if line.startswith("x ")), None)
    check("a row without peers", line, ["x", "0.3750", "-", "53333%"])
    check("what a program says when it ends", "teeny ended at y: no memory" in done.stderr, True)
    check("every round", pathlib.Path(folder, "times.csv").read_text().split(), ["row,program,round,milliseconds", "x,teeny,0,0.5", "x,teeny,1,0.25"])
    done = run(bench, "--rounds", "0")
    check("no rounds", (done.returncode, "must be above 0" in done.stderr), (2, True))

print(f"{wrong} wrong")
sys.exit(wrong > 0)
