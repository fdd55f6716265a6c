"""Writes interop/: small files of PyTorch and NumPy as these packages write them, which tests/test_torch.cpp and
test_npy.cpp read, and in expected.safetensors the tensors that are in them, as "file/name", in teeny's dtypes.

The older format of PyTorch names storages by their addresses: these bytes differ from run to run.
"""
import pathlib
import warnings

import ml_dtypes
import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "interop"
HELD_AS = {torch.int8: torch.int32, torch.int16: torch.int32, torch.uint16: torch.int32, torch.uint32: torch.int64,
           torch.uint64: torch.int64}
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64]
expected = {}


def expect(file, tensors):
    for name, x in tensors.items():
        held = x.detach().to(HELD_AS.get(x.dtype, x.dtype))
        expected[f"{file}/{name}"] = held.clone(memory_format=torch.contiguous_format)


def types():
    tensors = {str(t).split(".")[1]: torch.tensor([0, 1, 2.5, -7, float("nan"), float("inf")], dtype=t) for t in FLOATS}
    for t in INTEGERS:
        info = torch.iinfo(t)
        tensors[str(t).split(".")[1]] = torch.tensor([0, 1, info.min, min(info.max, 2**63 - 1)], dtype=t)
    return tensors | {"bool": torch.tensor([True, False, True]), "scalar": torch.tensor(3.5),
                      "empty": torch.zeros(2, 0, 3)}


def views():
    base = torch.arange(24.)
    image = torch.arange(24.).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    return {"base": base, "tied": base, "matrix": base.view(4, 6), "transposed": base.view(4, 6).t(),
            "slice": base[5:9], "step": base[1::3],
            "expanded": torch.tensor([1., 2.]).reshape(2, 1).expand(2, 3), "channels_last": image,
            "diagonal": base.view(4, 6).diagonal(), "one": base[7], "none": base[:0]}


def nested(linear):
    adam = torch.optim.Adam(linear.parameters())
    linear(torch.ones(1, 3)).sum().backward()
    adam.step()
    return {"model": linear.state_dict(), "optimizer": adam.state_dict(), "list": [torch.ones(1), (torch.zeros(2), 7)],
            "epoch": 3, "name": "a run", "loss": 0.25, "best": None, "size": torch.Size([2, 3]), "bytes": b"abc",
            "device": torch.device("cpu"), "dtype": torch.int8, "large": 2**70,
            "parameter": torch.nn.Parameter(torch.ones(2))}


def tensors_of(x, name=""):
    parts = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, (list, tuple)) else []
    found = {name: x} if isinstance(x, torch.Tensor) else {}
    for key, part in parts:
        found |= tensors_of(part, f"{name}.{key}" if name else str(key))
    return found


def write_torch():
    torch.manual_seed(1)
    linear = torch.nn.Linear(3, 2)
    for name, tensors in [("types", types()), ("views", views()), ("nested", nested(linear))]:
        torch.save(tensors, FOLDER / f"{name}.pt")
        torch.save(tensors, FOLDER / f"{name}_old.pt", _use_new_zipfile_serialization=False)
        expect(f"{name}.pt", tensors_of(tensors))
    torch.save(linear.state_dict(), FOLDER / "protocol4.pt", pickle_protocol=4)
    expect("protocol4.pt", linear.state_dict())
    tensor = torch.arange(3.)
    torch.save(tensor, FOLDER / "tensor.pt")
    expect("tensor.pt", {"tensor": tensor})

    complex_ones = torch.ones(2, dtype=torch.complex64)
    for name, x in {"sparse": torch.eye(2).to_sparse(), "meta": torch.ones(2, device="meta"), "complex": complex_ones,
                    "quantised": torch.quantize_per_tensor(torch.ones(2), .1, 0, torch.qint8),
                    "float8": torch.ones(2).to(torch.float8_e4m3fn), "negated": complex_ones.conj().imag,
                    "module": torch.nn.ReLU(), "numpy": np.float64(1)}.items():
        torch.save({"x": x}, FOLDER / f"refused_{name}.pt")
    torch.jit.script(torch.nn.ReLU()).save(FOLDER / "refused_script.pt")
    torch.save({"x": torch.nn.ReLU()}, FOLDER / "refused_module_old.pt", _use_new_zipfile_serialization=False)


def write_numpy():
    tensors = {name: x for name, x in types().items()}
    arrays = {name: x.view(torch.uint16).numpy().view(ml_dtypes.bfloat16) if x.dtype == torch.bfloat16 else x.numpy()
              for name, x in tensors.items()}
    matrix = torch.arange(6.).reshape(2, 3)
    arrays |= {"fortran": np.asfortranarray(matrix.numpy()), "big_endian": matrix.numpy().astype(">f4"),
               "big_fortran": np.asfortranarray(matrix.numpy().astype(">f8"))}
    tensors |= {"fortran": matrix, "big_endian": matrix, "big_fortran": matrix.double()}
    np.savez(FOLDER / "arrays.npz", **arrays)
    np.savez_compressed(FOLDER / "deflated.npz", zeros=np.zeros((50, 50), np.float32), **arrays)
    expect("arrays.npz", tensors)
    for name in ["float32", "bfloat16", "int8", "scalar", "empty", "fortran", "big_endian"]:
        np.save(FOLDER / f"{name}.npy", arrays[name])
    for version in [(2, 0), (3, 0)]:
        with open(FOLDER / f"version{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, matrix.numpy(), version)
    for name, x in {"object": np.array([None]), "record": np.zeros(2, [("a", "<f4"), ("b", "<i4")]),
                    "complex": np.ones(2, complex), "text": np.array(["ab"]), "date": np.array(["2020-01-01"], "M8[D]"),
                    "long": np.ones(1, np.longdouble), "void": np.zeros(1, "V3")}.items():
        np.save(FOLDER / f"refused_{name}.npy", x)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    write_torch()
    write_numpy()
    save_file(expected, FOLDER / "expected.safetensors")
