"""Exports the networks of networks.py with PyTorch's exporters, as cases with two data sets by onnxruntime.

    python export_models.py OUT [NAME...] [--small] [--again]

Cases are called NETWORK_script (the older exporter, by tracing) and NETWORK_dynamo (by torch.export). Weights and
inputs come from seeds; the versions are written to OUT/VERSIONS. --small makes the few that tests carry: their files
hold no traces of the exporter's stack. What is there already is left, but for --again.
"""
import argparse
import contextlib
import logging
import os
import pathlib
import sys
import tempfile
import time
import traceback
import warnings
import zlib

warnings.filterwarnings("ignore")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy
import onnx
import onnx.reference
import onnxruntime
import torch
import torchvision
import transformers

import case_files
import networks


def draw(network, which, seed):
    """The inputs of a data set, {name: tensor}."""
    generator, inputs = torch.Generator().manual_seed(seed), {}
    for line in network.inputs:
        name, description = line.split(": ")
        shape, _, bound = description.partition("<")
        words = shape.split()
        dtype = torch.float64 if words and words[-1] == "f64" else torch.float32
        shape = [int(word) if word.isdigit() else network.sizes[which][word] for word in words if word != "f64"]
        if bound:
            high, kind = bound.strip().removesuffix("u8"), torch.uint8 if bound.endswith("u8") else torch.int64
            inputs[name] = torch.randint(0, int(high), shape, generator=generator).to(kind)
        else:
            inputs[name] = torch.randn(shape, generator=generator, dtype=dtype)
    return network.adjust(inputs)


def open_axes(network):
    """{input: {axis: name}} of the sizes that are words."""
    axes = {}
    for line in network.inputs:
        name, description = line.split(": ")
        words = [word for word in description.split("<")[0].split() if word != "f64"]
        axes[name] = {axis: word for axis, word in enumerate(words) if not word.isdigit()}
    return axes


@torch.no_grad()
def fill_constants(model):
    """Weights that start as constants (biases, scales, a head of zeros) would hide an error in what reads them."""
    for parameter in model.parameters():
        if parameter.numel() and parameter.is_floating_point() and bool((parameter == parameter.flatten()[0]).all()):
            middle = 1.0 if parameter.flatten()[0] > 0 else 0.0
            parameter.copy_(middle + 0.2 * torch.randn_like(parameter))


@torch.no_grad()
def settle(model, inputs):
    """Running statistics of batch normalisation from a few batches: with those it starts with, deep nets fade away."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.momentum, norm.training = None, True
        for _ in range(2):
            batches = [[x + 0.1 * torch.randn_like(x) if x.is_floating_point() else x for x in inputs]
                       for _ in range(3)]
            model(*[torch.cat(parts) if len(inputs) == 1 else parts[0] for parts in zip(*batches)])
    model.eval()


def without_traces(model):
    """Drops what exporters write about themselves: names of source files, stack traces."""
    def clean(message):
        for field, value in list(message.ListFields()):
            if field.name in ("doc_string", "metadata_props"):
                message.ClearField(field.name)
            elif field.name in ("graph", "g"):
                clean(value)
            elif field.name in ("node", "input", "output", "value_info", "initializer", "functions", "attribute",
                                "graphs"):
                for item in value:
                    if not isinstance(item, str):
                        clean(item)

    clean(model)
    return model


def export(network, exporter, path, model, inputs):
    axes = open_axes(network)
    settings = dict(network.settings.get(exporter, {}))
    arguments = tuple(inputs.values())
    if exporter == "script":
        settings.setdefault("opset_version", 17)
        torch.onnx.export(model, arguments, path, dynamo=False, input_names=list(inputs), dynamic_axes=axes, **settings)
    else:
        shapes = tuple(axes[name] or None for name in inputs)
        if isinstance(model, (networks.Pick, networks.Function)):  # their forward takes *inputs
            shapes = (shapes, )
        torch.onnx.export(model, arguments, path, dynamo=True, input_names=list(inputs), dynamic_shapes=shapes,
                          verbose=False, **({"external_data": False} | settings))


class Reference(onnx.reference.ReferenceEvaluator):
    """ONNX's own evaluator, with the interface of onnxruntime's session as far as it is used."""
    def get_inputs(self):
        return self.proto_.graph.input

    def get_outputs(self):
        return self.proto_.graph.output


def make_case(network, exporter, name, out, small):
    seed = zlib.crc32(name.rsplit("_", 1)[0].encode())
    torch.manual_seed(seed)
    model = network.make().eval()
    fill_constants(model)
    inputs = [draw(network, which, seed + which) for which in range(len(network.sizes))]
    settle(model, list(inputs[1].values()))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        export(network, exporter, path, model, inputs[1])
        beside = [os.path.join(folder, file) for file in os.listdir(folder) if file != "model.onnx"]
        proto = onnx.load(path, load_external_data=False)
        if small:
            path = os.path.join(folder, "small.onnx")
            onnx.save(without_traces(proto), path)
        session = Reference(path) if network.by_reference else case_files.session_of(path)
        names = [info.name for info in session.get_inputs()]
        assert set(names) <= set(inputs[0]), f"inputs are called {names}"
        sets = [
            case_files.data_set_by_onnxruntime(session, {n: v.numpy() for n, v in drawn.items() if n in names})
            for drawn in inputs
        ]
        worst = check(model, inputs, sets)
        case_files.write_case(out / name, pathlib.Path(path).read_bytes(), sets, beside)
    size = sum(file.stat().st_size for file in (out / name).glob("model*"))
    opset, nodes = proto.opset_import[0].version, len(proto.graph.node)
    return f"opset {opset}, {nodes} nodes, {size / 1e6:.2f} MB, PyTorch within {worst:.1e}"


@torch.no_grad()
def check(model, inputs, sets):
    """The largest difference of onnxruntime to PyTorch, in parts of the largest element; outputs must say something."""
    worst = 0.0
    for drawn, (_, outputs) in zip(inputs, sets):
        expected = model(*[x.clone() for x in drawn.values()])
        expected = expected if isinstance(expected, (tuple, list)) else (expected, )
        assert len(expected) == len(outputs), f"{len(outputs)} outputs for {len(expected)} of PyTorch"
        for ours, proto in zip(expected, outputs):
            theirs = onnx.numpy_helper.to_array(proto).astype(numpy.float64)
            ours = ours.double().numpy()
            assert ours.shape == theirs.shape, f"shape {theirs.shape} for PyTorch's {ours.shape}"
            assert numpy.isfinite(theirs).all(), "an output is not finite"
            if theirs.size:
                largest = abs(theirs).max()
                assert largest > 1e-3 or not proto.data_type == onnx.TensorProto.FLOAT, f"largest output {largest}"
                worst = max(worst, abs(ours - theirs).max() / max(largest, 1e-30))
    assert worst < 1e-3, f"onnxruntime and PyTorch differ by {worst:.1e} of the largest element"
    return worst


@contextlib.contextmanager
def silence():
    """Exporters print from C++ too, so it is the files that are turned away, not Python's streams."""
    sys.stdout.flush()
    kept = [(file, os.dup(file)) for file in (1, 2)]
    with open(os.devnull, "w") as nothing:
        for file, _ in kept:
            os.dup2(nothing.fileno(), file)
    try:
        yield
    finally:
        sys.stdout.flush()
        for file, copy in kept:
            os.dup2(copy, file)
            os.close(copy)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    options.out.mkdir(parents=True, exist_ok=True)
    versions = [
        f"{module.__name__} {module.__version__}"
        for module in (torch, torchvision, transformers, onnx, onnxruntime, numpy)
    ]
    (options.out / "VERSIONS").write_text("\n".join([*versions, "seed: CRC-32 of the network's name", ""]))

    failed = 0
    for network_name, network in (networks.SMALL if options.small else networks.NETWORKS).items():
        for exporter in network.exporters:
            name = f"{network_name}_{exporter}"
            if (options.names and network_name not in options.names) or ((options.out / name).exists()
                                                                         and not options.again):
                continue
            began = time.time()
            try:
                with silence():
                    result = make_case(network, exporter, name, options.out, options.small)
            except Exception as error:
                failed += 1
                result = f"NO CASE: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
                (options.out / "FAILURES").open("a").write(f"=== {name}\n{traceback.format_exc()[-6000:]}\n")
            print(f"{name}: {result} ({time.time() - began:.0f} s)", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
