"""Writes the node tests of the installed ONNX package (its wheel carries them as Python code) as files.

    python dump_node_tests.py OUT [--max-opset 26]

Inputs and outputs that are sequences, maps or optional are written too, as SequenceProto, MapProto, OptionalProto.
"""
import argparse
import collections
import pathlib
import warnings

import numpy
import onnx

import case_files


def messages(values, infos):
    # A case names the values that are present, in the order of the graph's, which leaves out the optional ones.
    return [case_files.to_proto(value, info.name, info.type) for value, info in zip(values, infos, strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--max-opset", type=int, default=1000)
    options = parser.parse_args()

    warnings.filterwarnings("ignore")
    numpy.random.seed(0)  # the cases draw their inputs while they are imported
    from onnx.backend.test.case.node import collect_testcases

    counts = collections.Counter()
    for case in collect_testcases():
        opset = max((o.version for o in case.model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        if opset > options.max_opset:
            counts["of a later opset"] += 1
            continue
        graph = case.model.graph
        try:
            sets = [(messages(inputs, graph.input), messages(outputs, graph.output))
                    for inputs, outputs in case.data_sets]
            counts["written"] += 1
        except (TypeError, ValueError, AttributeError) as error:
            print(f"{case.name}: without data: {error}")
            sets = []
            counts["without data"] += 1
        case_files.write_case(options.out / case.name, case.model.SerializeToString(), sets)
    print(f"ONNX {onnx.__version__}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
