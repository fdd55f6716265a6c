#!/usr/bin/env python3
"""Looks for geometries at which teeny is slow: single operations of random sizes, drawn by a seed.

    sweep.py SWEEP [PYTHON] [--count N] [--seed S] [--only KINDS] [--seconds S] [--worst N] [--threads N]

SWEEP is the program of sweep.cpp; PYTHON an interpreter that can import torch, which then times the same geometries, one
program after the other. A row's limit is the time that its multiply-adds, or the bytes it must read and write, need at the
machine's best; only those multiply-adds count that do not meet padding. The table shows the worst rows.

teeny's passes are replayed by a Jit. Counted as slow is what takes more than twice PyTorch's time, and what has more than a
million operations and stays below 5 % of the limit. Nothing below TINY milliseconds counts: there the preparation of a call
is most of it. Rows that look slow are measured again at the end, up to twice, and the best times stay: other programs must
not make a cliff.
"""
import argparse
import math
import random
import select
import subprocess
import sys
import time

TINY = 0.15             # ms
MOST_OPERATIONS = 1e9   # of a row, so that none takes long
MOST_ELEMENTS = 1 << 24
PATIENCE = 60           # seconds, after which a program is ended and its row has no time


def between(draw, low, high):
    """An integer whose logarithm is uniform: as many below ten as from ten to a hundred."""
    return min(high, int(math.exp(draw.uniform(math.log(low), math.log(high + 1)))))


def meetings(outputs, size, kernel, stride, padding, dilation):
    """How many pairs of an output and a tap look at the image, not at padding."""
    return sum(0 <= o * stride + k * dilation - padding < size for o in range(outputs) for k in range(kernel))


def draw_conv(draw, kind):
    axes = draw.choice([1, 2, 2, 2, 2, 3])
    groups_of = draw.choice(["one", "one", "one", "depthwise", "some"])
    batch, inputs, outputs = between(draw, 1, 64), between(draw, 1, 512), between(draw, 1, 512)
    groups = 1
    if groups_of == "depthwise":
        groups, outputs = inputs, inputs * draw.choice([1, 1, 1, 2])
    elif groups_of == "some":
        groups = draw.choice([2, 3, 4, 8])
        inputs, outputs = -(-inputs // groups) * groups, -(-outputs // groups) * groups
    numbers, multiply_adds, x, y, w = [batch, inputs, outputs, groups], batch * inputs * outputs // groups, 1, 1, 1
    square = draw.random() < 0.7
    for a in range(axes):
        if a == 0 or not square:
            size, kernel = between(draw, 1, 32), draw.choice([1, 2, 3, 3, 3, 4, 5, 5, 7, 9])
            stride, dilation = draw.choice([1, 1, 1, 2, 2, 3]), draw.choice([1, 1, 1, 1, 2, 3])
            padding = draw.choice([0, 0, (kernel - 1) // 2 * dilation, (kernel - 1) // 2 * dilation, kernel - 1])
        numbers += [size, kernel, stride, padding, dilation]
        reach = dilation * (kernel - 1) + 1
        if kind == "conv":
            image, windows = size, (size + 2 * padding - reach) // stride + 1
        else:
            image, windows = (size - 1) * stride + reach - 2 * padding, size
        if image < 1 or windows < 1:
            return None
        x, y, w = x * size, y * (windows if kind == "conv" else image), w * kernel
        multiply_adds *= meetings(windows, image, kernel, stride, padding, dilation)
    elements = [batch * inputs * x, batch * outputs * y, inputs * outputs // groups * w]
    return [axes], ["fwd", "dx", "dw"], numbers, 2 * multiply_adds, elements


def draw_pool(draw, kind):
    axes, batch, channels = draw.choice([1, 2, 2, 2, 3]), between(draw, 1, 64), between(draw, 1, 512)
    numbers, x, y, w = [batch, channels], 1, 1, 1
    for a in range(axes):
        if a == 0:
            size, kernel = between(draw, 1, 64), draw.choice([2, 2, 3, 3, 4, 5, 7, 9])
            stride, padding = draw.choice([kernel, kernel, 1, 2]), draw.choice([0, 0, kernel // 2])
        windows = (size + 2 * padding - kernel) // stride + 1
        if size < kernel:
            return None
        numbers += [size, kernel, stride, padding]
        x, y, w = x * size, y * windows, w * kernel
    x, y = batch * channels * x, batch * channels * y
    # PyTorch's maximum leaves its positions for the gradient, teeny's looks for them there: only both passes compare.
    return [axes], ["fwd", "both" if kind == "max_pool" else "dx"], numbers, y * w, [x, y]


def draw_matmul(draw, kind):
    batch, shared = draw.choice([1, 1, between(draw, 2, 2000)]), draw.choice([0, 0, 1])
    m, k, n = (between(draw, 1, draw.choice([16, 128, 4096])) for _ in range(3))
    turned = [draw.choice([0, 1]), draw.choice([0, 1])]
    elements = [batch * m * k, (1 if shared else batch) * k * n, batch * m * n]
    return [], ["fwd", "fwd", "dx", "dw"], [batch, m, k, n, *turned, shared], 2 * batch * m * k * n, elements


def draw_reduction(draw, kind):
    rank = draw.choice([1, 2, 2, 3, 3, 4, 5])
    sizes = [between(draw, 1, draw.choice([8, 64, 4096])) for _ in range(rank)]
    mask = draw.randrange(1, 1 << rank)
    if kind == "softmax":
        mask = 1 << draw.randrange(rank)
    x = math.prod(sizes)
    y = x if kind == "softmax" else math.prod(s for a, s in enumerate(sizes) if not mask >> a & 1)
    # Their gradients use what the forward pass found, which PyTorch has left for them: only both passes compare.
    passes = ["fwd", "both"] if kind in ("softmax", "var") else ["fwd"]
    return [], passes, [mask, *sizes], x, [x, y]


def draw_gather(draw, kind):
    rows, width, count = between(draw, 1, 50000), between(draw, 1, 1024), between(draw, 1, 50000)
    return [], ["fwd", "dx"], [rows, width, count], width * count, [width * min(rows, count), width * count, 2 * count]


KINDS = {"conv": draw_conv, "conv_transpose": draw_conv, "max_pool": draw_pool, "avg_pool": draw_pool, "matmul": draw_matmul,
         "sum": draw_reduction, "max": draw_reduction, "var": draw_reduction, "softmax": draw_reduction, "gather": draw_gather}
WEIGHTS = {"conv": 8, "conv_transpose": 5, "matmul": 6, "max_pool": 2}  # of the others: 1


class Row:
    """One geometry and one pass over it."""

    def __init__(self, draw, kinds):
        while True:
            kind = draw.choice([k for k in kinds for _ in range(WEIGHTS.get(k, 1))])
            drawn = KINDS[kind](draw, kind)
            if not drawn:
                continue
            axes, passes, numbers, self.operations, elements = drawn
            self.bytes = 4 * sum(elements)
            if self.operations <= MOST_OPERATIONS and max(elements) <= MOST_ELEMENTS and min(elements) > 0:
                break
        self.line = " ".join(str(word) for word in [kind, *axes, draw.choice(passes), *numbers])
        self.times = {}

    def limit(self, peak):
        return 1e3 * max(self.operations / peak[0], self.bytes / peak[1]) * 1e-9

    def measure(self, programs):
        for name, program in programs.items():
            milliseconds = program.ask(self.line)
            if milliseconds is not None:
                self.times[name] = min(milliseconds, self.times.get(name, math.inf))

    def ratio(self):
        return self.times["teeny"] / self.times["torch"] if len(self.times) == 2 else 0

    def fraction(self, peak):
        return self.limit(peak) / self.times["teeny"]

    def is_behind(self):
        return self.times.get("teeny", math.inf) > TINY and self.ratio() > 2

    def is_far_from_limit(self, peak):
        return self.times.get("teeny", math.inf) > TINY and self.operations > 1e6 and self.fraction(peak) < 0.05


class Program:
    """A program that answers lines; started again where it did not answer in time."""

    def __init__(self, command):
        self.command, self.process = command, None

    def ask(self, line):
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if select.select([self.process.stdout], [], [], PATIENCE)[0]:
            answer = self.process.stdout.readline()
            if not answer:
                sys.exit(f"\n{self.command[0]} ended at: {line}")
            return float(answer) if " " not in answer else [float(word) for word in answer.split()]
        self.process.kill()
        self.process = None
        print(f"\n{self.command[0]} was not done after {PATIENCE} s: {line}", file=sys.stderr)
        return None


def progress(rows, done, start):
    if sys.stderr.isatty():
        left = (time.monotonic() - start) / max(done, 1) * (len(rows) - done)
        print(f"\r{done}/{len(rows)}, {left:.0f} s left    ", end="", file=sys.stderr, flush=True)
    elif done % 100 == 0:
        print(f"{done}/{len(rows)}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep")
    parser.add_argument("python", nargs="?", default="")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.03, help="how long a row is repeated by each program")
    parser.add_argument("--only", default=",".join(KINDS), help="kinds with commas: conv,matmul")
    parser.add_argument("--worst", type=int, default=30, help="rows of the table")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch; teeny's are OMP_NUM_THREADS")
    args = parser.parse_args()
    kinds = args.only.split(",")
    for kind in kinds:
        if kind not in KINDS:
            parser.error(f"--only {kind}: unknown; there are {', '.join(KINDS)}")
    if min(args.count, args.worst, args.threads) < 1 or args.seconds <= 0:
        parser.error("--count, --worst, --threads and --seconds must be above 0")

    seconds = ["--seconds", str(args.seconds)]
    programs = {"teeny": Program([args.sweep, *seconds])}
    if args.python:
        if subprocess.run([args.python, "-c", "import torch"], capture_output=True).returncode:
            parser.error(f"{args.python} cannot import torch")
        peer = __file__.replace("sweep.py", "peers/torch_sweep.py")
        programs["torch"] = Program([args.python, peer, "--threads", str(args.threads), *seconds])
    peak = programs["teeny"].ask("peak")

    draw = random.Random(args.seed)
    rows = [Row(draw, kinds) for _ in range(args.count)]
    start = time.monotonic()
    for done, row in enumerate(rows):
        progress(rows, done, start)
        row.measure(programs)
    for _ in range(2):
        for row in rows:
            if row.is_behind() or row.is_far_from_limit(peak):
                row.measure(programs)

    print(f"\n{'milliseconds':>12}" + (f"{'torch':>10}{'ratio':>8}" if args.python else "") + f"{'limit':>8}  geometry")
    badness = (lambda row: row.ratio()) if args.python else (lambda row: 1 / row.fraction(peak))
    counted = [row for row in rows if row.times.get("teeny", 0) > TINY]
    behind = [row for row in rows if row.is_behind()]
    far = [row for row in rows if row.is_far_from_limit(peak)]
    worst = sorted(counted, key=badness, reverse=True)[:args.worst]
    for row in worst + [row for row in far if row not in worst]:
        print(f"{row.times['teeny']:12.3f}" + (f"{row.times['torch']:10.3f}{row.ratio():8.2f}" if args.python else "")
              + f"{100 * row.fraction(peak):7.1f}%  {row.line}")
    untimed = [row for row in rows if "teeny" not in row.times]
    for row in untimed:
        print(f"   not in time        {row.line}")
    print(f"\n{len(rows)} rows, {len(counted)} above {TINY} ms; {peak[0]:.0f} GFLOP/s and {peak[1]:.1f} GB/s at most")
    if args.python:
        ratios = sorted(row.ratio() for row in counted if row.ratio())
        print(f"{len(behind)} slower than twice PyTorch's best; half of them all within {ratios[len(ratios) // 2]:.2f} of it"
              if ratios else "none was timed by both")
    print(f"{len(far)} of more than a million operations below 5 % of the limit")
    sys.exit(1 if behind or far or untimed else 0)


main()
