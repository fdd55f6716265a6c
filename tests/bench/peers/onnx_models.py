#!/usr/bin/env python3
"""Networks for the bench's ONNX rows, with PyTorch's exporter: onnx_models.py FOLDER

Each gets FOLDER/NAME/model.onnx and input_0.npy, ..; what is there already is left. Needs torch, torchvision, transformers, onnx and
onnxruntime: those of tests/interop, whose networks these are.
"""
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "interop"))
NETWORKS = ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "unet", "vocoder", "bert", "gpt2", "lstm_1000"]


def main():
    folder = pathlib.Path(sys.argv[1])
    missing = [name for name in NETWORKS if not (folder / name / "model.onnx").exists()]
    if not missing:
        return
    try:
        import case_files
        import export_models
        import numpy
    except ImportError as error:
        sys.exit(f"no networks from ONNX files: {error}")
    with tempfile.TemporaryDirectory() as scratch:
        sys.argv = [sys.argv[0], scratch, *missing]
        try:
            export_models.main()
        except SystemExit:
            pass  # says which exporter had trouble; what it made is there
        for name in missing:
            cases = [pathlib.Path(scratch) / f"{name}_{exporter}" for exporter in ("script", "dynamo")]
            case = next((c for c in cases if (c / "model.onnx").exists()), None)
            if not case:
                continue
            (folder / name).mkdir(parents=True, exist_ok=True)
            for i, array in enumerate(case_files.read_arrays(case / "test_data_set_0", "input")):
                numpy.save(folder / name / f"input_{i}.npy", array)
            for file in case.iterdir():
                if file.is_file():
                    shutil.copy(file, folder / name)


main()
