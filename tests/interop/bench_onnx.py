"""Times a runner beside onnxruntime on the same cases and threads.

    python bench_onnx.py RUNNER DIR... [--threads 2] [--rounds 3] [--seconds 1] [--set 0] [--only PATTERN] [--json FILE]

RUNNER is called as `RUNNER bench MODEL --data FOLDER --seconds S --json` with OMP_NUM_THREADS set, where FOLDER holds
input_J.pb; it prints a JSON object with load_ms, first_ms, median_ms, p90_ms, minimum_ms, and in `why` what kept runs
from being replayed. Both sides run in a process of their own, in alternation, `rounds` times; of each number the
smallest round is taken, so that a neighbour's burst on the machine does not decide. `load` is from the file to a
session in a new process (onnxruntime's own start is in it, Python's import is not), `first` the first run after that,
`median` a warm one with inputs already bound. A row is flagged where the runner's median is longer, or load and first
run together more than twice as long: what a graph needs once may be done in either.
Exit 1 if a row is flagged, or if the runner could not do a case that onnxruntime can.
"""
import argparse
import fnmatch
import json
import math
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

KEYS = ("load_ms", "first_ms", "median_ms", "p90_ms", "minimum_ms")


def onnxruntime_bench(model, data, threads, seconds):
    """What a process of this script does as `bench_onnx.py --child`: the runner's side played by onnxruntime."""
    import case_files

    inputs = case_files.read_arrays(data, "input")

    def timed(call):
        began = time.perf_counter()
        result = call()
        return (time.perf_counter() - began) * 1e3, result

    load, session = timed(lambda: case_files.session_of(model, threads))
    feed = {info.name: array for info, array in zip(session.get_inputs(), inputs, strict=True)}
    first, _ = timed(lambda: session.run(None, feed))
    binding = session.io_binding()  # without it a run of a small model is mostly Python's handing over
    for name, array in feed.items():
        binding.bind_cpu_input(name, array)
    for info in session.get_outputs():
        binding.bind_output(info.name)
    for _ in range(3):
        session.run_with_iobinding(binding)
    runs, until = [], time.perf_counter() + seconds
    while len(runs) < 5 or (time.perf_counter() < until and len(runs) < 100000):
        runs.append(timed(lambda: session.run_with_iobinding(binding))[0])
    runs.sort()
    return {
        "load_ms": load, "first_ms": first, "median_ms": statistics.median(runs),
        "p90_ms": runs[int(0.9 * (len(runs) - 1))], "minimum_ms": runs[0]
    }


def measure(command, threads, limit):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    try:
        finished = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment,
                                  timeout=limit)
    except subprocess.TimeoutExpired:
        return None, f"took more than {limit:.0f} s"
    if finished.returncode:
        said = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
        return None, f"exit {finished.returncode}: {said[-1][:150] if said else ''}"
    try:
        numbers = json.loads(finished.stdout)
        return {key: float(numbers[key]) for key in KEYS} | {"why": str(numbers.get("why", ""))}, None
    except (ValueError, KeyError, TypeError) as error:
        return None, f"no JSON with {', '.join(KEYS)}: {error}"


def better(rounds):
    return {key: min(numbers[key] for numbers in rounds) for key in KEYS} | {"why": rounds[0]["why"]}


def show(milliseconds):
    return f"{milliseconds:.3f}" if milliseconds < 10 else f"{milliseconds:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runner")
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--set", type=int, default=0, help="which data set of a case is timed")
    parser.add_argument("--only", default="*")
    parser.add_argument("--limit", type=float, default=300, help="seconds that a process may take")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()

    cases = [
        model.parent for directory in options.directories for model in sorted(directory.glob("*/model.onnx"))
        if fnmatch.fnmatch(model.parent.name, options.only)
    ]
    if not cases:
        parser.error("the directories hold no folder with a model.onnx that is asked for")
    width = max(len(case.name) for case in cases)
    print(f"{options.threads} threads, best of {options.rounds} rounds, milliseconds; teeny/onnxruntime\n"
          f"{'':{width}} {'warm median':>26} {'load':>26} {'first run':>26}")
    results, ratios, flagged = {}, [], 0
    for case in cases:
        model, data = str(case / "model.onnx"), str(case / f"test_data_set_{options.set}")
        commands = {
            "onnxruntime": [
                sys.executable, __file__, "--child", model, data,
                str(options.threads),
                str(options.seconds)
            ], "teeny": [
                *shlex.split(options.runner), "bench", model, "--data", data, "--seconds",
                str(options.seconds), "--json"
            ]
        }
        rounds, errors = {side: [] for side in commands}, {}
        for turn in range(options.rounds):
            for side in sorted(commands, reverse=turn % 2 == 1):
                if side not in errors:
                    numbers, error = measure(commands[side], options.threads, options.limit)
                    if error:
                        errors[side] = error
                    else:
                        rounds[side].append(numbers)
        if errors:
            flagged += "onnxruntime" not in errors
            print(f"{case.name:{width}} " + "; ".join(f"{side}: {error}" for side, error in errors.items()), flush=True)
            results[case.name] = {"errors": errors}
            continue
        theirs, ours = better(rounds["onnxruntime"]), better(rounds["teeny"])
        columns, words = [], []
        for key in ("median_ms", "load_ms", "first_ms"):
            columns.append(f"{show(ours[key]):>9}/{show(theirs[key]):>9}={ours[key] / theirs[key]:6.2f}")
        start = (ours["load_ms"] + ours["first_ms"]) / (theirs["load_ms"] + theirs["first_ms"])
        ratios.append(ours["median_ms"] / theirs["median_ms"])
        if ratios[-1] > 1:
            words.append("median > 1")
        if start > 2:
            words.append("load+first > 2")
        flagged += bool(words)
        print(
            f"{case.name:{width}} {' '.join(columns)}  load+first {start:5.2f}" +
            (f"  << {', '.join(words)}" if words else ""), flush=True)
        if ours["why"]:
            print(f"{'':{width}} not replayed: {ours['why'][:150]}", flush=True)
        results[case.name] = {"onnxruntime": theirs, "teeny": ours, "flags": words}
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"{len(ratios)} cases: geometric mean of the medians' ratios {mean:.2f}, largest {max(ratios):.2f}; "
              f"{flagged} flagged")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    sys.exit(1 if flagged else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        model, data, threads, seconds = sys.argv[2:]
        print(json.dumps(onnxruntime_bench(model, data, int(threads), float(seconds))))
    else:
        main()
