"""The judge of single operations that onnx::save writes: run with a Python that has onnx, onnxruntime and PyTorch.

    EXPORTED=DIR build/cpu-native/test --test-case='onnx::save: *come back*'
    exported_ops.py DIR        DIR has NAME.onnx and NAME.safetensors: inputs and outputs

Each file must pass onnx.checker with full shape inference, and onnxruntime must give teeny's results: within 1e-4 of the
largest for float32, 1e-2 for float16. What this onnxruntime has no kernel for is counted by its operation and type.
"""
import collections
import pathlib
import re
import sys

import numpy as np
import onnx
import onnxruntime
import safetensors.torch

TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2}


def check_file(path):
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:  # it takes a product of two vectors for one of shapes
        if "Invalid rank for Mul broadcasting" not in str(error):
            raise
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return model


def difference(got, want):
    """The largest difference, in terms of the largest value, or of 1; NaN equals NaN, an infinity itself."""
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return float("inf")
    got, want = got.astype(np.float64), want.astype(np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if same.all():
        return 0.0
    finite = np.abs(want[np.isfinite(want)])
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(got - want)[~same]
    off = np.where(np.isfinite(off), off, np.inf)
    return off.max() / max(finite.max(initial=1.0), 1.0)


def main():
    counts, gaps, bad = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
        tensors_path = path.with_suffix(".safetensors")
        if not tensors_path.exists():
            continue
        try:
            model = check_file(path)
        except Exception as error:
            bad["checker"].append((path.stem, str(error).replace("\n", " ")[:300]))
            continue
        tensors = safetensors.torch.load_file(tensors_path)
        if any(str(t.dtype) == "torch.bfloat16" for t in tensors.values()):
            counts["bfloat16, checked alone"] += 1
            continue
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            text = str(error)
            found = re.search(r"implementation for (\w+)\(\d+\) node", text)
            if found:
                op = found.group(1)
                types = sorted({str(t.dtype)[6:] for n, t in tensors.items() if n.startswith("input")})
                gaps[op + " of " + ", ".join(types)] += 1
            else:
                bad["session"].append((path.stem, text.replace("\n", " ")[:300]))
            continue
        feeds = {i.name: tensors[i.name].numpy() for i in session.get_inputs()}
        try:
            results = session.run(None, feeds)
        except Exception as error:
            bad["run"].append((path.stem, str(error).replace("\n", " ")[:300]))
            continue
        worst = 0
        for info, got in zip(session.get_outputs(), results):
            want = tensors[info.name].numpy()
            far = difference(got, want)
            worst = max(worst, far / TOLERANCE.get(str(want.dtype), 1e-300) if far else 0)
        counts["agrees" if worst <= 1 else "differs"] += 1
        if worst > 1:
            bad["differs"].append((path.stem, " ".join(n.op_type for n in model.graph.node)[:120] + f" {far:g}"))
    for kind, cases in bad.items():
        print(f"--- {kind}: {len(cases)}")
        for name, why in cases:
            print(name, why)
    print("--- no kernel in this onnxruntime")
    for gap, times in sorted(gaps.items()):
        print(times, gap)
    print(dict(counts))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
