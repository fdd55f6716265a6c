#!/usr/bin/env python3
"""The program teeny as its users meet it: each command on small files, wrong usage, bad files, pipes and scripts."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEENY = ROOT / "build" / "cpu-native" / "bin" / "teeny"
PAGE = ROOT / "tests" / "golden" / "page"
wrong = []
checks = 0


def check(holds, what):
    global checks
    checks += 1
    if not holds:
        wrong.append(what)


def run(*arguments, status=0, says=(), **options):
    """Runs a command and returns what it prints. Its exit status and words in what it prints or complains are checked."""
    result = subprocess.run([TEENY, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options)
    said, name = result.stdout + result.stderr, " ".join(map(str, arguments))
    check(result.returncode == status, f"{name}: status {result.returncode}, not {status}: {said[:300]}")
    for word in says:
        check(word in said, f"{name}: does not say {word!r}: {said[:300]}")
    check("\x1b" not in result.stdout, f"{name}: escape sequences in a pipe")
    if status:
        check(len(result.stderr.strip().splitlines()) <= 6, f"{name}: an error of many lines: {result.stderr[:300]}")
    return result.stdout


def big_safetensors(path, count):
    """A file of `count` tensors, of which only the header is ever written."""
    header = {f"layer.{i}.weight": {"dtype": "F32", "shape": [256, 1024], "data_offsets": [i << 20, (i + 1) << 20]}
              for i in range(count)}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + (count << 20))


def main():
    subprocess.run(["make", "-s", "--no-print-directory", TEENY.relative_to(ROOT)], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        os.chdir(scratch)
        net, weights, x = PAGE / "stripes.onnx", PAGE / "stripes.pt", PAGE / "x.npy"

        # Help, and wrong usage: one line, and status 2.
        commands = "info run bench convert draw diff onnx-test completion".split()
        run("--help", says=commands)
        run("--version", says=["teeny "])
        for command in commands:
            run(command, "--help", says=[f"usage: teeny {command}"])
            run(command, "--nonsense", status=2)
        run(status=2)
        run("nonsense", status=2)
        for shell in ("bash", "zsh", "fish", "man"):
            run("completion", shell, says=["convert"])

        # info
        run("info", weights, says=["net.conv.weight", "(8, 1, 5, 5)", "235"])
        run("info", net, says=["image", "(batch, 1, 16, 16)", "Conv", "opset"])
        check("conv.bias" not in run("info", weights, "--like", "head"), "info --like shows others")
        facts = json.loads(run("info", net, "--json"))
        check(isinstance(facts, dict) and "tensors" in facts, "info --json has no tensors")
        run("info", "missing.pt", status=1, says=["missing.pt"])
        run("info", __file__, status=1)
        (scratch / "bad.onnx").write_bytes(net.read_bytes()[:700])
        run("info", "bad.onnx", status=1, says=["bad.onnx"])
        run("run", "bad.onnx", status=1, says=["bad.onnx"])
        big_safetensors("big.safetensors", 1000)
        started = time.monotonic()
        run("info", "big.safetensors", says=["layer.999.weight", "262,144,000"])
        check(time.monotonic() - started < 1, "info of 1,000 tensors takes more than a second on this machine")

        # run
        run("run", net, x, "--top", 1, "--labels", PAGE / "labels.txt", says=["slanted"])
        run("run", net, f"image={x}", "--out", "out.npz")
        run("run", net, x, "--out", "scores.npy.d/")
        run("diff", "out.npz", "out.npz")
        run("run", net, "--random", "image=3x1x16x16", says=["(3, 3)"])
        check(json.loads(run("run", net, x, "--json")), "run --json prints nothing")
        run("run", net, status=1, says=["image"])
        run("run", net, "--random", "image=3x2x16x16", status=1, says=["image"])
        run("run", net, f"other={x}", status=2, says=["other"])
        run("run", net, x, "--out", "/nowhere/out.npz", status=1, says=["/nowhere"])

        # bench, draw, convert, diff
        times = json.loads(run("bench", net, "--shape", "batch=4", "--seconds", 0.05, "--json").splitlines()[0])
        for key in ("load_ms", "first_ms", "median_ms", "p90_ms", "minimum_ms"):
            check(times.get(key, 0) > 0, f"bench --json has no {key}")
        run("bench", net, "--shape", "image=4x1x9", "--seconds", 0.05, status=1)
        run("draw", net, "-o", "net.dot")
        check("Conv" in (scratch / "net.dot").read_text(), "draw shows no Conv")
        run("draw", net, "-o", "net.svg")
        check((scratch / "net.svg").read_text().rstrip().endswith("</svg>"), "draw writes no whole SVG")
        run("draw", weights, "-o", "w.svg", status=1)
        for to in ("w.safetensors", "w.npz", "w.pt"):
            run("convert", weights, to)
            run("diff", weights, to)
        run("convert", weights, "half.safetensors", "--dtype", "f16")
        run("diff", weights, "half.safetensors", status=1, says=["net.conv.weight"])
        run("convert", weights, "w.xyz", status=2)
        check(not (scratch / "w.xyz").exists(), "convert leaves half a file")

        # Names from a file are not obeyed by a terminal, and narrow ones are no trouble.
        hostile = json.dumps({"\x1b[31mred\nline": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        (scratch / "h.safetensors").write_bytes(struct.pack("<Q", len(hostile)) + hostile + bytes(4))
        run("info", "h.safetensors", says=["red"])
        for columns in ("40", "80"):
            run("info", net, env={**os.environ, "COLUMNS": columns})
        reader = subprocess.Popen([TEENY, "info", "big.safetensors"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        reader.stdout.readline()
        reader.stdout.close()  # as `| head -1` does
        check(b"Traceback" not in reader.stderr.read() and reader.wait(20) in (0, 1, -13, 141), "a closed pipe is no end")

        # onnx-test: a case of ONNX's layout, one that passes and one that does not.
        case = ROOT / "tests" / "golden" / "onnx"
        run("onnx-test", case, "--jit", "--rtol", 0, "--atol", 1e-5, "--relative", 1e-4, says=["failed 0 unsupported 0"])
        run("onnx-test", scratch, status=1)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{checks - len(wrong)} checks passed, {len(wrong)} failed")
    sys.exit(bool(wrong))


main()
