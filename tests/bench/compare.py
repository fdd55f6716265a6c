#!/usr/bin/env python3
"""One table: teeny and its peers, measured one after the other on this machine.

    compare.py BENCH [PYTHON] [--seconds S] [--only NAMES] [--peers torch,compiled] [--limit S]

BENCH is teeny's benchmark program; the peers run on the device that it ran on, a CPU or a GPU. PYTHON is an interpreter that
can import torch, jax or tinygrad; what it lacks is left out. `compiled` is torch.compile, on a GPU with CUDA graphs. On a GPU
everything is float32 that computes in float32, unless TEENY_TF32=1, which PyTorch is then told, too.

For each workload: milliseconds, teeny's time divided by the best peer's, the goal for this ratio, and the fraction of the
machine's limit (of multiply-adds, or of bytes to and from memory) that teeny reaches; `*` marks a goal that is missed.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PEERS = pathlib.Path(__file__).with_name("peers")
# Of the best peer's time: what teeny is to need at most.
GOALS = {
    "matmul_512": 1.0, "matmul_1024": 0.97, "matmul_2048": 0.9, "matmul_128x784x512": 0.5, "add_big": 0.25,
    "gelu_chain_big": 0.2, "sum_big": 1.0, "softmax_rows_1024": 0.7, "layernorm_rows_1024": 0.9, "sum_cols": 1.0,
    "transpose_4096": 0.2, "conv_128x32x24_k5_fwd": 1.0, "conv_128x32x24_k5_fwdbwd": 0.75, "mlp_b128_train": 0.85,
    "mlp_b128_infer": 0.8, "tinyconv_b128_train": 0.3, "tinyconv_b128_infer": 0.5, "beautiful_b512_train": 0.7,
    "beautiful_b512_infer": 0.6, "gpt_b32_train": 0.65, "gpt_b32_infer": 0.8, "dcgan_b64_train": 1.0,
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


def run_peer(python, name, on_gpu, only, seconds, limit):
    """The peer's milliseconds by workload; None where its library is missing."""
    module = "torch" if name == "compiled" else name
    if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode:
        return None
    if module == "torch":
        args = ["--seconds", str(seconds), *(["--only", only] if only else []), *(["--device", "cuda"] if on_gpu else []),
                *(["--compile"] if name == "compiled" else []), *(["--graphs"] if name == "compiled" and on_gpu else []),
                *(["--tf32"] if tf32() else [])]
    else:
        args = [only] if only else []
    env = {"SECONDS_EACH": str(seconds), "DEV": "CUDA" if on_gpu else "CPU", "JAX_PLATFORMS": "cuda" if on_gpu else "cpu"}
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryFile("w+") as out:
        try:
            done = subprocess.run([python, str(PEERS / f"{module}_bench.py"), *args], stdout=out, stderr=subprocess.PIPE,
                                  text=True, env={**os.environ, **env}, timeout=limit)
            if done.returncode:
                print(f"{name} ended with {done.returncode}: {done.stderr.strip()[-400:]}", file=sys.stderr)
        except subprocess.TimeoutExpired:
            print(f"{name} was not done after {limit:.0f} s", file=sys.stderr)
        out.seek(0)
        lines = out.read().splitlines()
    times = {}
    for line in lines:
        words = line.split()
        if len(words) >= 3 and words[2] == "ms":
            times[words[0]] = float(words[1])
        elif " failed" in line:
            print(f"{name}: {line}", file=sys.stderr)
    return times


def tf32():
    return os.environ.get("TEENY_TF32", "0") not in ("", "0")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("python", nargs="?", default="")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--limit", type=float, help="seconds for each peer; what it has not measured by then is left out")
    parser.add_argument("--peers", default="torch,compiled,jax,tinygrad")
    args = parser.parse_args()

    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        print("measuring teeny ...", file=sys.stderr, flush=True)
        only = ["--only", args.only] if args.only else []
        done = subprocess.run([args.bench, "--seconds", str(args.seconds), "--json", file.name, *only], stdout=sys.stderr)
        if done.returncode:
            sys.exit(done.returncode)
        teeny = json.load(open(file.name))

    on_gpu = teeny["device"] == "gpu"
    peers = {}
    for name in args.peers.split(",") if args.python else []:
        times = run_peer(args.python, name, on_gpu, args.only, args.seconds, args.limit)
        if times is not None:
            peers[name] = times

    goals = {} if on_gpu and tf32() else GPU_GOALS if on_gpu else GOALS
    flops, bandwidth = teeny["peak_gflops"], teeny["peak_gb_second"]
    model = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    device = teeny["device_name"] if on_gpu else model[0] if model else "unknown processor"
    print(f"{device}, {flops:.0f} GFLOP/s and {bandwidth:.1f} GB/s at most\n")
    print(f"{'milliseconds':28}{'teeny':>10}" + "".join(f"{name:>10}" for name in peers)
          + f"{'ratio':>8}{'goal':>7}{'limit':>8}")
    missed = 0
    for name, entry in teeny["workloads"].items():
        ms, times = entry["ms"], [p.get(name) for p in peers.values()]
        known = [t for t in times if t]
        row = f"{name:28}{ms:10.4f}" + "".join(f"{t:10.4f}" if t else f"{'-':>10}" for t in times)
        goal, ratio = goals.get(name), ms / min(known) if known else None
        row += f"{ratio:8.2f}" if ratio else f"{'-':>8}"
        late = bool(goal and ratio and ratio > goal)
        missed += late
        row += f"{goal:6.2f}{'*' if late else ' '}" if goal else f"{'':7}"
        rate = entry.get("rate") or (NETWORK_GFLOP[name] / ms * 1e3 if name in NETWORK_GFLOP else None)
        unit = entry.get("unit", "GFLOP/s")
        row += f"{100 * rate / (flops if unit == 'GFLOP/s' else bandwidth):7.0f}%" if rate and "bf16" not in name else ""
        print(row)
    if peers:
        print(f"\n{missed} goals missed (*)" if missed else "\nevery goal is reached")
    print(f"peak memory of teeny's run: {teeny['peak_mib']:.0f} MiB")


main()
