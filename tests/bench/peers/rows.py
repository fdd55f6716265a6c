"""What the peers' programs share: rows with the names of bench.cpp's, in its order, each timed as it times its own.

    bench = Rows(synchronize)
    @bench.row("matmul_512")
    def _():
        x, y = ...              # made when the row's turn comes, and gone after it
        return lambda: x @ y    # what is timed

Alone, a program prints a line for each row. With --asked it says `row NAME` when a row is ready, answers each line `time SECONDS` with
`ms MEDIAN`, and goes on at `next`: so compare.py lets the programs take turns.
"""
import argparse
import gc
import resource
import statistics
import sys
import time

# bench.cpp's convolutions: an image, a kernel, options, and whether both gradients belong to the row; then transposed ones.
CONVOLUTIONS = {
    "conv_128x32x24_k5_fwd": ((128, 32, 24, 24), (32, 32, 5, 5), {}, False),
    "conv_128x32x24_k5_fwdbwd": ((128, 32, 24, 24), (32, 32, 5, 5), {}, True),
    "conv_8x64x56_k3": ((8, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}, False),
    "conv_8x64x56_k1": ((8, 64, 56, 56), (256, 64, 1, 1), {}, False),
    "conv_8x3x224_k7s2": ((8, 3, 224, 224), (64, 3, 7, 7), {"stride": 2, "padding": 3}, False),
    "depthwise_8x96x56_k3": ((8, 96, 56, 56), (96, 1, 3, 3), {"padding": 1, "groups": 96}, False),
    "depthwise_2x960x4_k3": ((2, 960, 4, 4), (960, 1, 3, 3), {"padding": 1, "groups": 960}, False),
    "depthwise_4x240x14_k5": ((4, 240, 14, 14), (240, 1, 5, 5), {"padding": 2, "groups": 240}, False),
    "depthwise_8x96x56_k3_fwdbwd": ((8, 96, 56, 56), (96, 1, 3, 3), {"padding": 1, "groups": 96}, True),
    "conv_64x512x1_k3": ((64, 512, 1, 1), (512, 512, 3, 3), {"padding": 1}, False),
    "conv_16x64x7_k7_fwdbwd": ((16, 64, 7, 7), (64, 64, 7, 7), {}, True),
}
TRANSPOSED = {
    "conv_transpose_64x100x1_k4": ((64, 100, 1, 1), (100, 512, 4, 4)),
    "conv_transpose_64x64x4_k4": ((64, 64, 4, 4), (64, 64, 4, 4)),
}


def arguments(**more):
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--asked", action="store_true")
    for name, options in more.items():
        parser.add_argument("--" + name, **options)
    return parser.parse_args()


class Rows:
    def __init__(self, args, synchronize=lambda: None):
        self.args, self.synchronize, self.rows = args, synchronize, []

    def row(self, *names):
        """One name, or several of a function that returns as many things to time."""
        def keep(make):
            self.rows.append((names, make))
            return make
        return keep

    def median_of(self, work, seconds):
        times, start = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < seconds:
            calls = 1 if not times or times[-1] > 1e-3 else int(1e-3 / times[-1]) + 1
            begin = time.perf_counter()
            for _ in range(calls):
                work()
            self.synchronize()
            times.append((time.perf_counter() - begin) / calls)
            if times[-1] > 10 * seconds:
                break
        return 1e3 * statistics.median(times)

    def time(self, name, work):
        for _ in range(4):  # compiles, and finds its memory
            begin = time.perf_counter()
            work()
            self.synchronize()
            if time.perf_counter() - begin > 3:
                break
        if not self.args.asked:
            print(f"{name:34s} {self.median_of(work, self.args.seconds):10.4f} ms", flush=True)
            return
        print("row", name, flush=True)
        for line in sys.stdin:
            words = line.split()
            if words[0] != "time":
                return
            print("ms", self.median_of(work, float(words[1])), flush=True)
        sys.exit()

    def run(self):
        only = [part for part in self.args.only.split(",") if part]
        for names, make in self.rows:
            wanted = [not only or any(part in name for part in only) for name in names]
            if not any(wanted):
                continue
            try:
                works = make()
                for name, work, is_wanted in zip(names, [works] if len(names) == 1 else works, wanted):
                    if is_wanted:
                        self.time(name, work)
            except ImportError as error:
                print(f"{', '.join(names)} left out: {error}", file=sys.stderr)
            except Exception as error:
                print(f"{', '.join(names)} failed: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            works = work = None
            gc.collect()
        print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB", flush=True)
