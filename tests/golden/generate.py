"""Computes with PyTorch the values and gradients of every case in cases.py and writes <section>.safetensors.gz beside it,
and so for everything in models.py; `generate.py unary layers` does it for these sections alone.

For a case `name` a file holds the inputs `name.x`, `name.y`, ..., the value `name.out`, and the gradients `name.dx`,
... of (out * weights).sum(), where weights are 1, 2, 3, 4, 5, 1, 2, ... / 4 in row-major order.
"""
import gzip
import json
import pathlib
import random
import struct
import sys
import warnings

import torch
import torch.nn.functional as F

from cases import SECTIONS
from models import MAKERS

TYPES = {torch.bool: "BOOL", torch.uint8: "U8", torch.int32: "I32", torch.int64: "I64", torch.float16: "F16",
         torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}


def make_input(spec, seed):
    dtype = getattr(torch, spec.dtype)
    if spec.values is not None:
        return torch.tensor(spec.values, dtype=dtype)
    rng = random.Random(seed)  # a string is a seed, the same in every version of Python
    unit = 64 if dtype.is_floating_point else 1
    low, high = round(spec.low * unit), round(spec.high * unit)
    count = torch.Size(spec.shape).numel()
    values = [low + int(rng.random() * (high - low)) for _ in range(count)]
    return (torch.tensor(values, dtype=torch.float64) / unit).to(dtype).reshape(spec.shape)


def put(x, index, value):
    x = x.clone()
    x[index] = value
    return x


def evaluate(name, expression, specs, grad):
    inputs = {letter: make_input(spec, f"{name}.{letter}") for letter, spec in zip("xyzw", specs)}
    floats = {letter: x.requires_grad_() for letter, x in inputs.items() if x.is_floating_point() and grad}
    out = eval(expression, {"torch": torch, "F": F, "inf": torch.inf, "put": put, **inputs})
    tensors = {f"{name}.{letter}": x for letter, x in inputs.items()} | {f"{name}.out": out}
    if out.requires_grad:
        weights = (torch.arange(out.numel()) % 5 + 1).to(out.dtype) / 4
        out.backward(weights.reshape(out.shape))
        tensors |= {f"{name}.d{letter}": x.grad for letter, x in floats.items() if x.grad is not None}
    return {key: value.detach() for key, value in tensors.items()}


def write_safetensors(path, tensors):
    """Eight bytes with the header's length, the header in JSON, the raw bytes; large elements first, so all align."""
    header, body = {}, b""
    for key, value in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        data = bytes(value.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).tolist())
        header[key] = {"dtype": TYPES[value.dtype], "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(gzip.compress(struct.pack("<Q", len(text)) + text + body, mtime=0))


def main():
    warnings.simplefilter("ignore")  # of var() with too few elements, which some cases do on purpose
    for section in sys.argv[1:] or [*SECTIONS, *MAKERS]:
        path = pathlib.Path(__file__).with_name(section + ".safetensors.gz")
        if section in MAKERS:
            tensors = MAKERS[section]()
            write_safetensors(path, tensors)
            print(f"{path.name:28} {len(tensors):4} tensors, {path.stat().st_size:6} bytes")
            continue
        cases = SECTIONS[section]
        tensors, gradients = {}, 0
        for name, expression, specs, grad in cases:
            try:
                new = evaluate(name, expression, specs, grad)
            except Exception as error:
                raise SystemExit(f"{section}: {name}: {expression}: {error}")
            if tensors.keys() & new.keys():
                raise SystemExit(f"{section}: two cases are called {name}")
            tensors |= new
            gradients += any(key.startswith(name + ".d") for key in new)
        write_safetensors(path, tensors)
        print(f"{path.name:28} {len(cases):4} cases, {gradients:4} with gradients, {path.stat().st_size:6} bytes")


main()
