"""Cases in the layout of ONNX's backend tests: NAME/model.onnx, NAME/test_data_set_I/{input,output}_J.pb.

What every script here shares: how a value becomes a .pb, how a case is written whole or not at all, and how onnxruntime
says what the outputs should be.
"""
import os
import pathlib
import shutil

import numpy
import onnx
from onnx import numpy_helper


def to_proto(value, name, type_proto=None):
    """A message for an array, a list of arrays (sequence), a dictionary (map), or None (an empty optional)."""
    kind = type_proto.WhichOneof("value") if type_proto is not None else "tensor_type"
    if isinstance(value, onnx.TensorProto):  # types that NumPy has no name for come ready-made
        message = onnx.TensorProto()
        message.CopyFrom(value)
        message.name = message.name or name
        return message
    if kind == "sequence_type":
        return numpy_helper.from_list(value, name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, name)
    return numpy_helper.from_array(numpy.asarray(value), name)


def write_case(directory, model_bytes, data_sets, beside=()):
    """Writes the case; a data set is (inputs, outputs), lists of messages; files `beside` hold external weights."""
    directory = pathlib.Path(directory)
    unfinished = directory.with_name(directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished / "model.onnx").write_bytes(model_bytes)
    for path in beside:
        shutil.copy(path, unfinished)
    for i, data_set in enumerate(data_sets):
        folder = unfinished / f"test_data_set_{i}"
        folder.mkdir()
        for kind, messages in zip(("input", "output"), data_set):
            for j, message in enumerate(messages):
                (folder / f"{kind}_{j}.pb").write_bytes(message.SerializeToString())
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(unfinished, directory)


def session_of(model, threads=1):
    """An onnxruntime session on the CPU; `model` is a path or bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def data_set_by_onnxruntime(session, arrays):
    """(inputs, outputs) for arrays in the order of the session's inputs (or by name)."""
    infos = session.get_inputs()
    if not isinstance(arrays, dict):
        arrays = {info.name: array for info, array in zip(infos, arrays, strict=True)}
    results = session.run(None, arrays)
    outputs = [to_proto(result, info.name) for result, info in zip(results, session.get_outputs(), strict=True)]
    return [to_proto(arrays[info.name], info.name) for info in infos], outputs


def read_arrays(folder, kind):
    """The arrays of input_0.pb, input_1.pb, ... (or output_*.pb) of a data set."""
    count = len(list(pathlib.Path(folder).glob(f"{kind}_*.pb")))
    return [numpy_helper.to_array(onnx.load_tensor(os.path.join(folder, f"{kind}_{j}.pb"))) for j in range(count)]
