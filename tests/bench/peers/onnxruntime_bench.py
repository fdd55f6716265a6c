#!/usr/bin/env python3
"""The networks of --onnx FOLDER in onnxruntime, inputs and outputs bound."""
import pathlib

import rows

args = rows.arguments(onnx={"default": ""})

import numpy
import onnxruntime

bench = rows.Rows(args)


def network(folder):
    @bench.row("onnx_" + folder.name)
    def _():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        for i, info in enumerate(session.get_inputs()):
            binding.bind_cpu_input(info.name, numpy.load(folder / f"input_{i}.npy"))
        for info in session.get_outputs():
            binding.bind_output(info.name)
        return lambda: session.run_with_iobinding(binding)


for path in sorted(pathlib.Path(args.onnx).glob("*/model.onnx")) if args.onnx else []:
    network(path.parent)
bench.run()
