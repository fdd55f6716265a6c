#!/usr/bin/env python3
"""One table: teeny beside its peers on this machine, in turns.

    compare.py BENCH [PYTHON] [--seconds S] [--rounds N] [--only NAMES] [--peers torch,compiled] [--onnx FOLDER] [--csv FILE]

BENCH is teeny's benchmark program; the peers run on the device that it ran on, a CPU or a GPU. PYTHON is an interpreter that can import
torch, jax, tinygrad or onnxruntime; what it lacks is left out. `compiled` is torch.compile, on a GPU with CUDA graphs. On a GPU
everything is float32 that computes in float32, unless TEENY_TF32=1, which PyTorch is then told, too.

All programs are there at once, and one of them works. Row by row each times the row for S seconds, N times in turns; who is three times
as slow as the best after the first round is not asked again. For each row: the medians of the rounds in milliseconds; the
median of the rounds' ratios, teeny's time divided by that of the best peer in the same round, and the smallest and the largest of
them, between which the median of all rounds that could have been lies with a probability of 1 - 2^(1 - N); `even` where 1 is
between them; the goal for the ratio, `*` where all ratios miss it; and the fraction of the machine's limit (of multiply-adds, or of
bytes to and from memory) that teeny reaches.
"""
import argparse
import csv
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = pathlib.Path(__file__).with_name("peers")
# Of the best peer's time: what teeny is to need at most. Rows that are not named: as little as the best.
GOALS = {
    "matmul_64": 0.8, "matmul_256": 0.45, "matmul_512": 0.93, "matmul_1024": 0.98, "matmul_2048": 0.97, "matmul_128x784x512": 0.5,
    "add_big": 0.22, "gelu_chain_big": 0.16, "softmax_rows_1024": 0.75, "layernorm_rows_1024": 0.9, "transpose_4096": 0.18,
    "conv_128x32x24_k5_fwd": 0.95, "conv_128x32x24_k5_fwdbwd": 0.85, "mlp_b128_train": 0.8, "mlp_b128_infer": 0.7,
    "tinyconv_b128_train": 0.3, "tinyconv_b128_infer": 0.4, "beautiful_b512_train": 0.62, "beautiful_b512_infer": 0.6,
    "gpt_b32_train": 0.55, "gpt_b32_infer": 0.75, "conv_8x64x56_k3": 0.8, "conv_8x64x56_k1": 0.8, "conv_8x3x224_k7s2": 0.8,
    "depthwise_8x96x56_k3": 0.8, "depthwise_2x960x4_k3": 0.8, "depthwise_4x240x14_k5": 0.8, "depthwise_8x96x56_k3_fwdbwd": 0.8,
    "conv_64x512x1_k3": 0.8, "conv_16x64x7_k7_fwdbwd": 0.8, "conv_transpose_64x100x1_k4": 0.8, "conv_transpose_64x64x4_k4": 0.8,
    "attention_4x8x1024x64": 0.8, "sort_1e6": 0.8, "cumsum_1e6": 0.8, "scatter_1e6": 0.8, "embedding_8192x256": 0.8, "lstm_1000": 0.8,
    "gpt2_token": 0.8, "gpt2_token_512": 0.8, "gpt2_prompt_512": 0.8,
}
# On a GPU: goals in milliseconds that were set beside the best time of PyTorch (eager, compiled, CUDA graphs) on an H200.
GPU_GOALS = {
    "matmul_4096": 2.9 / 2.72, "add_big": 0.20 / 0.189, "gelu_chain_big": 0.18 / 0.134, "sum_big": 0.08 / 0.070,
    "softmax_rows_1024": 0.10 / 0.068, "layernorm_rows_1024": 0.10 / 0.068, "conv_128x32x24_k5_fwd": 0.09 / 0.052,
    "mlp_b128_train": 0.18 / 1.09, "tinyconv_b128_train": 0.20 / 1.09, "beautiful_b512_train": 2.2 / 2.78,
    "gpt_b32_train": 2.0 / 2.21,
}
# Operations of a network's step, in GFLOP: the products alone.
NETWORK_GFLOP = {"beautiful_b512_train": 40, "gpt_b32_train": 10.6, "mlp_b128_train": 0.41}
MODULES = {"compiled": "torch"}
HOPELESS = 3  # times the best


def tf32():
    return os.environ.get("TEENY_TF32", "0") not in ("", "0")


class Program:
    """A program that stands at a row, and times it when it is asked to."""

    def __init__(self, name, command, environment=None):
        self.name, self.row, self.amount, self.unit, self.peak_mib, self.header = name, None, 0, "", None, ""
        self.complaints = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints, text=True,
                                        env={**os.environ, **(environment or {})})
        self.stand()

    def say(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which the next line shows

    def stand(self):
        """Reads on to the next row."""
        self.row = None
        for line in self.process.stdout:
            words = line.split()
            if words[:1] == ["row"]:
                self.row = words[1]
                self.amount, self.unit = (float(words[2]), words[3]) if len(words) > 3 else (0, "")
                return
            if line.startswith("device"):
                self.header = line.strip()
            elif line.startswith("peak memory"):
                self.peak_mib = float(words[-2])
        if self.process.wait():
            self.complaints.seek(0)
            print(f"{self.name} ended with {self.process.returncode}: {self.complaints.read().strip()[-400:]}", file=sys.stderr)

    def time(self, seconds):
        self.say(f"time {seconds}")
        words = self.process.stdout.readline().split()
        if len(words) == 2 and words[0] == "ms":
            return float(words[1])
        if self.process.wait():
            self.complaints.seek(0)
            print(f"{self.name} ended at {self.row}: {self.complaints.read().strip()[-400:]}", file=sys.stderr)
        self.row = None
        return None

    def go_on(self):
        self.say("next")
        self.stand()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.complaints.seek(0)
        return [f"{self.name}: {line.strip()}" for line in self.complaints if " failed: " in line or " left out: " in line]


def peer(name, args, on_gpu):
    """None where its library is missing."""
    module = MODULES.get(name, name)
    if subprocess.run([args.python, "-c", f"import {module}"], capture_output=True).returncode:
        return None
    command = [args.python, PEERS / f"{module}_bench.py", "--asked", *(["--only", args.only] if args.only else []),
               *(["--device", "cuda"] if on_gpu else [])]
    if module == "torch":
        command += [*(["--compile"] if name == "compiled" else []), *(["--graphs"] if name == "compiled" and on_gpu else []),
                    *(["--tf32"] if tf32() else [])]
    if module == "onnxruntime":
        command += ["--onnx", args.onnx]
    return Program(name, command, {"DEV": "CUDA" if on_gpu else "CPU", "JAX_PLATFORMS": "cuda" if on_gpu else "cpu"})


def measure(programs, seconds, rounds):
    """The row that all of them stand at, {program's name: a time for each round}."""
    times, asked = {p.name: [] for p in programs}, list(programs)
    for turn in range(rounds):
        for program in asked if turn % 2 == 0 else asked[::-1]:
            milliseconds = program.time(seconds)
            if milliseconds is not None:
                times[program.name].append(milliseconds)
        asked = [p for p in asked if p.row]
        if turn == 0:
            best = min((times[p.name][0] for p in asked if p.name != "teeny"), default=0)
            asked = [p for p in asked if p.name == "teeny" or times[p.name][0] <= HOPELESS * best]
    return {name: all_times for name, all_times in times.items() if all_times}


def rows(teeny, peers, seconds, rounds, limit=float("inf")):
    """(row, what a call of teeny's does, its unit, times) for each row until `limit`, by time.monotonic()."""
    while teeny.row and time.monotonic() < limit:
        row, amount, unit = teeny.row, teeny.amount, teeny.unit
        programs = [teeny] + [p for p in peers if p.row == row]
        times = measure(programs, seconds, rounds)
        for program in programs:
            if program.row == row:
                program.go_on()
        yield row, amount, unit, times


def compared(times):
    """The ratios of the rounds to the best peer; none where there is no peer."""
    peers = [name for name, all_times in times.items() if name != "teeny" and len(all_times) == len(times["teeny"])]
    if not peers:
        return []
    best = min(peers, key=lambda name: statistics.median(times[name]))
    return [mine / theirs for mine, theirs in zip(times["teeny"], times[best])]


def verdict(ratios):
    return "even" if min(ratios) <= 1 <= max(ratios) else "ahead" if max(ratios) < 1 else "behind"


def number(milliseconds):
    return f"{milliseconds:10.4f}" if milliseconds < 1000 else f"{milliseconds:10.1f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("python", nargs="?", default="")
    parser.add_argument("--seconds", type=float, default=0.15, help="for each program in each round of a row")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="torch,compiled,jax,tinygrad,onnxruntime")
    parser.add_argument("--onnx", default="", help="a folder of networks, as peers/onnx_models.py makes it")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no row is begun")
    parser.add_argument("--csv", help="write every round's time to this file, too")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    if args.onnx and not pathlib.Path(args.onnx).is_dir():
        print(f"no networks from ONNX files: there is no folder {args.onnx}", file=sys.stderr)
        args.onnx = ""

    start = time.monotonic()
    teeny = Program("teeny", [args.bench, "--asked", *(["--only", args.only] if args.only else []),
                              *(["--onnx", args.onnx] if args.onnx else [])])
    if not teeny.header:
        sys.exit(1)
    kind, device, flops, bandwidth = re.match(r"device (\S+) (.*), at most (\S+) GFLOP/s and (\S+) GB/s", teeny.header).groups()
    on_gpu, flops, bandwidth = kind == "gpu", float(flops), float(bandwidth)
    peers = []
    for name in args.peers.split(",") if args.python else []:
        print(f"starting {name} ...", file=sys.stderr, flush=True)
        program = peer(name, args, on_gpu)
        peers += [program] if program else []
    goals = {} if on_gpu and tf32() else GPU_GOALS if on_gpu else GOALS
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    print(f"{device if on_gpu else model[0] if model else 'unknown processor'}, {flops:.0f} GFLOP/s and {bandwidth:.1f} GB/s at most")
    print(f"{args.rounds} rounds of {args.seconds} s in turns; milliseconds are medians, - was not asked again or has no such row\n")
    print(f"{'':28}{'teeny':>10}" + "".join(f"{p.name:>{max(10, len(p.name) + 1)}}" for p in peers)
          + f"{'ratio':>8}{'from':>6}{'to':>6}{'goal':>7}{'limit':>7}")

    log, missed, counts = [], 0, {"ahead": 0, "even": 0, "behind": 0}
    for row, amount, unit, times in rows(teeny, peers, args.seconds, args.rounds, start + args.limit):
        log += [(row, name, turn, ms) for name, all_times in times.items() for turn, ms in enumerate(all_times)]
        if "teeny" not in times:
            continue
        ms = statistics.median(times["teeny"])
        line = f"{row:28}{number(ms)}"
        for p in peers:
            width = max(10, len(p.name) + 1)
            line += f"{number(statistics.median(times[p.name])) if p.name in times else '-':>{width}}"
        ratios, goal = compared(times), goals.get(row, None if on_gpu else 1.0)
        if ratios:
            late = bool(goal and min(ratios) > goal)
            missed += late
            counts[verdict(ratios)] += 1
            line += f"{statistics.median(ratios):8.2f}{min(ratios):6.2f}{max(ratios):6.2f}"
            line += f"{goal:6.2f}{'*' if late else ' '}" if goal else f"{'':7}"
        else:
            line += f"{'-':>8}{'':19}"
        rate = amount / ms * 1e3 if amount else NETWORK_GFLOP[row] / ms * 1e3 if row in NETWORK_GFLOP else None
        if rate and "bf16" not in row:
            line += f"{100 * rate / (bandwidth if unit == 'GB/s' else flops):6.0f}%"
        print(line + (f"  {verdict(ratios)}" if ratios else ""), flush=True)
    if peers:
        print(f"\n{counts['ahead']} rows ahead, {counts['even']} even, {counts['behind']} behind; "
              + (f"{missed} goals missed (*)" if missed else "every goal is reached"))
    for program in [teeny, *peers]:
        if program.peak_mib:
            print(f"peak memory of {program.name}: {program.peak_mib:.0f} MiB")
    if teeny.row:
        print(f"after {args.limit:.0f} s: {teeny.row} and what follows was left out", file=sys.stderr)
    for program in [teeny, *peers]:
        if program.row and not teeny.row:
            print(f"{program.name} still stands at {program.row}, which the others have passed: the orders differ", file=sys.stderr)
        for complaint in program.end():
            print(complaint, file=sys.stderr)
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            csv.writer(file).writerows([("row", "program", "round", "milliseconds"), *log])
    print(f"in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
