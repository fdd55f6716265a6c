#!/usr/bin/env python3
"""The C header as Python's ctypes sees it.

    c_api.py LIBRARY.so MNIST.teeny LOGITS
"""
import ctypes
import sys
import threading


class Array(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('dtype', ctypes.c_int32), ('rank', ctypes.c_int32),
                ('shape', ctypes.c_int64 * 16), ('data', ctypes.c_void_p), ('bytes', ctypes.c_uint64)]


library, path, logits = sys.argv[1:]
teeny = ctypes.CDLL(library)
teeny.teeny_load.restype = teeny.teeny_load_bytes.restype = ctypes.c_void_p
teeny.teeny_load.argtypes = [ctypes.c_char_p]
teeny.teeny_load_bytes.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
teeny.teeny_error.restype = ctypes.c_char_p
teeny.teeny_free.argtypes = teeny.teeny_calls.argtypes = [ctypes.c_void_p]
for function in (teeny.teeny_input, teeny.teeny_output):
    function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(Array)]
teeny.teeny_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(Array), ctypes.c_int, ctypes.POINTER(Array), ctypes.c_int]

wanted = open(logits, 'rb').read()
pixels = (ctypes.c_float * 784)(*(i / 784 for i in range(784)))


def run(net):
    """The bytes of the logits."""
    x, y, result = Array(), Array(), (ctypes.c_float * 10)()
    assert teeny.teeny_input(net, 0, 0, x) == 0 and teeny.teeny_output(net, 0, 0, y) == 0, teeny.teeny_error()
    x.data, y.data = ctypes.addressof(pixels), ctypes.addressof(result)
    assert teeny.teeny_run(net, x, 1, y, 1) == 0, teeny.teeny_error()
    return bytes(result)


net = teeny.teeny_load(path.encode())
assert net, teeny.teeny_error()
assert run(net) == wanted
found = []
threads = [threading.Thread(target=lambda: found.append(run(net))) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert found == [wanted] * 8
file = open(path, 'rb').read()
again = teeny.teeny_load_bytes(file, len(file))
assert run(again) == wanted
assert not teeny.teeny_load(b'/nowhere') and b'/nowhere: cannot read' in teeny.teeny_error()
x = Array()
assert teeny.teeny_input(net, 0, 0, x) == 0
x.rank = 3
assert teeny.teeny_run(net, x, 1, None, 0) == -1 and b'input 0' in teeny.teeny_error(), teeny.teeny_error()
teeny.teeny_free(net)
teeny.teeny_free(again)
print('c_api.py: the same bits from Python')
