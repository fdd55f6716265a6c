"""The judge of what onnx::save writes: run with a Python that has onnx, onnxruntime and NumPy.

    exported.py DIR [--time]    DIR has NAME.onnx and, for each call, NAME.I.npz: inputs, and results as "out:NAME"

Each file must pass onnx.checker with full shape inference, and onnxruntime must give teeny's results: within 1e-4 of the
largest for float32, 1e-2 for float16. With --time the median of a call is shown, on two threads.
"""
import pathlib
import sys
import time

import numpy as np
import onnx
import onnxruntime

TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2}


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_file(path):
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    for written, found in zip(model.graph.output, inferred.graph.output):
        assert written == found, (path, written, found)
    return model


def difference(got, want):
    """The largest difference, in terms of the largest value."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape), (got.dtype, got.shape, want.dtype, want.shape)
    if want.size == 0:
        return 0.0
    got, want = got.astype(np.float64), want.astype(np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max() if finite.any() else 1.0
    return float(np.where(same, 0, np.abs(got - want)).max() / max(scale, 1e-30)) if not same.all() else 0.0


def main(folder, timed):
    failed = 0
    print(f"{'model':28} nodes  calls  difference" + ("   ms" if timed else ""))
    for path in sorted(pathlib.Path(folder).glob("*.onnx")):
        largest, calls, took = 0.0, 0, ""
        try:
            model = check_file(path)
            session = session_of(path)
            narrowest = TOLERANCE["float32"]
            for case in sorted(path.parent.glob(path.stem + ".*.npz")):
                values = np.load(case)
                inputs = {name: values[name] for name in values.files if not name.startswith("out:")}
                names = [output.name for output in session.get_outputs()]
                for name, got in zip(names, session.run(names, inputs)):
                    want = values["out:" + name]
                    narrowest = max(narrowest, TOLERANCE.get(want.dtype.name, 0))
                    largest = max(largest, difference(got, want))
                calls += 1
                if timed and calls == 1:
                    times = []
                    while len(times) < 5 or (sum(times) < 0.5 and len(times) < 200):
                        start = time.perf_counter()
                        session.run(names, inputs)
                        times.append(time.perf_counter() - start)
                    took = f"  {np.median(times) * 1000:.3f}"
            assert calls, "no calls beside it"
            assert largest <= narrowest, f"differs by {largest:.3g}"
            print(f"{path.stem:28} {len(model.graph.node):5}  {calls:5}  {largest:10.2e}{took}")
        except Exception as error:  # the others are to be seen, too
            failed += 1
            print(f"{path.stem:28} FAILED: {error}")
    print(f"{failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1], "--time" in sys.argv), 1))
