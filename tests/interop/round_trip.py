"""The other side of the test `interop: a round trip`: run with a Python that has PyTorch and NumPy.

    round_trip.py make DIR    writes files of PyTorch and NumPy; teeny reads NAME and writes what it read as back_NAME
    round_trip.py check DIR   opens both, and fails unless they hold the same
"""
import pathlib
import sys
import warnings

import numpy as np
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import interop  # noqa: E402  golden/interop.py


def as_bits(x):
    return x.contiguous().reshape(-1).view(torch.uint8).tolist() if x.numel() else []


def check_torch(before, after):
    # PyTorch cannot read what it writes of the wider unsigned integers in its older format.
    source = before.with_name("types.pt") if before.name == "types_old.pt" else before
    wanted = interop.tensors_of(torch.load(source, map_location="cpu", weights_only=False))
    if list(wanted) == [""]:
        wanted = {"tensor": wanted[""]}
    got = torch.load(after, weights_only=True)
    assert list(got) == list(wanted), (before, list(got), list(wanted))
    for name, x in wanted.items():
        held = x.detach().to(interop.HELD_AS.get(x.dtype, x.dtype))
        y = got[name]
        assert (y.dtype, y.shape) == (held.dtype, held.shape), (before, name, y.dtype, y.shape)
        assert as_bits(y) == as_bits(held), (before, name, y, held)
        for other, z in wanted.items():
            same = x.numel() and x.data_ptr() == z.data_ptr() and x.stride() == z.stride() and x.shape == z.shape
            assert not same or y.data_ptr() == got[other].data_ptr(), f"{before}: {name} and {other} are no longer tied"


def check_numpy(before, after):
    one = before.suffix == ".npy"
    wanted, got = np.load(before, allow_pickle=False), np.load(after, allow_pickle=False)
    pairs = [(wanted, got)] if one else [(wanted[name], got[name]) for name in wanted.files]
    assert one or wanted.files == got.files, before
    for x, y in pairs:
        kind = {"|i1": "<i4", "<i2": "<i4", "<u2": "<i4", "<u4": "<i8", "<u8": "<i8"}.get(x.dtype.str, x.dtype.str)
        x = x.astype(kind.replace(">", "<"))
        assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes(), (before, x, y)


def main(verb, folder):
    interop.FOLDER = pathlib.Path(folder)
    if verb == "make":
        interop.write_torch()
        interop.write_numpy()
        return
    files = [path for path in sorted(interop.FOLDER.iterdir())
             if path.suffix in (".pt", ".npy", ".npz") and not path.name.startswith(("back_", "refused_"))]
    for path in files:
        (check_torch if path.suffix == ".pt" else check_numpy)(path, path.with_name("back_" + path.name))
    print(f"{len(files)} files are the same")


warnings.simplefilter("ignore")
main(*sys.argv[1:])
