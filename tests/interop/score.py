"""Counts what a runner makes of cases in the layout of ONNX's backend tests, by category and by operation.

    python score.py RUNNER DIR... [--each] [--min 815] [--explained FILE]
    python score.py - DIR...                          counts the cases alone

RUNNER DIR prints a line a case: `passed NAME OP`, `failed NAME OP: why`, `unsupported NAME OP: why`, and at the end
`passed N failed M unsupported K`; the sum of the lines, the total and the folders in DIR must agree. --min is how many
plain cases must pass, none of them failing but for a reason. FILE gives the reasons, a line each: `NAME-pattern: why`,
as explained.txt does; a plain case that no line explains is listed, and so is a line that explains nothing.
"""
import argparse
import collections
import fnmatch
import pathlib
import re
import shlex
import subprocess
import sys

import onnx

TYPE = onnx.TensorProto
OURS = {TYPE.FLOAT, TYPE.UINT8, TYPE.INT32, TYPE.INT64, TYPE.BOOL, TYPE.FLOAT16, TYPE.BFLOAT16, TYPE.DOUBLE}
NARROW = {TYPE.INT8, TYPE.INT16, TYPE.UINT16, TYPE.UINT32, TYPE.UINT64}
PLAIN = "plain tensors of teeny's 8 types"
CATEGORIES = (PLAIN, "narrow integers", "quantised", "strings, sequences, optional", "8-bit floats, 4 bits, complex",
              "training, ml, preview")
VERDICTS = ("passed", "failed", "unsupported")


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def category_of(folder):
    """What a case asks for beyond plain tensors: the first that applies, from what no runner of tensors can hold on."""
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    nodes, values = list(nodes_of(graph)), [*graph.input, *graph.output]
    types = {value.type.tensor_type.elem_type for value in values if value.type.HasField("tensor_type")}
    for node in nodes:
        types |= {a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
        types |= {a.t.data_type for a in node.attribute if a.type == onnx.AttributeProto.TENSOR}
    if TYPE.STRING in types or any(not value.type.HasField("tensor_type") for value in values):
        return "strings, sequences, optional"
    if any(re.search("Quantize|Integer|QLinear", node.op_type) for node in nodes):
        return "quantised"
    if types - OURS - NARROW - {TYPE.UNDEFINED}:
        return "8-bit floats, 4 bits, complex"
    if any(node.domain not in ("", "ai.onnx") for node in nodes):
        return "training, ml, preview"
    return "narrow integers" if types & NARROW else PLAIN


def run(runner, directory):
    """The runner's lines about `directory`: {name: (verdict, operation, the whole line)}."""
    finished = subprocess.run([*shlex.split(runner), str(directory)], capture_output=True, text=True, errors="replace")
    total = re.search(r"^passed (\d+) failed (\d+) unsupported (\d+)$", finished.stdout, re.M)
    if finished.returncode not in (0, 1) or not total:
        said = f"{finished.stdout[-300:]}\n{finished.stderr[-800:]}"
        sys.exit(f"{directory}: the runner ended with {finished.returncode}:\n{said}")
    lines = {}
    for line in finished.stdout.splitlines():
        match = re.match(r"(passed|failed|unsupported) (\S+) ([^:]*[^:\s])(?:: .*)?$", line)
        if match and not match[2].isdigit():
            if match[2] in lines:
                sys.exit(f"{directory}: two lines about {match[2]}")
            lines[match[2]] = match[1], match[3], line
    counted = collections.Counter(verdict for verdict, _, _ in lines.values())
    if [int(n) for n in total.groups()] != [counted[verdict] for verdict in VERDICTS]:
        sys.exit(f"{directory}: the last line says {total[0]!r}, the lines before it {dict(counted)}")
    if (counted["failed"] > 0) != (finished.returncode == 1):
        sys.exit(f"{directory}: {counted['failed']} failed, but the exit code is {finished.returncode}")
    return lines


def explain(path, missed):
    """Prints the plain cases of `missed` by explanation; how many have none, or how many lines are of no use."""
    lines = [line.split("#")[0].strip() for line in pathlib.Path(path).read_text().splitlines()]
    explanations = [[part.strip() for part in line.split(":", 1)] for line in lines if line]
    left, wrong = set(missed), 0
    for pattern, why in explanations:
        matched = {name for name in left if fnmatch.fnmatch(name, pattern)}
        left -= matched
        wrong += not matched
        print(f"{len(matched):5} {pattern}: {why}" + ("" if matched else "   << NOTHING IS LEFT THAT THIS EXPLAINS"))
    for name in sorted(left):
        print(f"      {name}: NOT EXPLAINED")
    return wrong + len(left)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runner")
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    parser.add_argument("--each", action="store_true", help="print the line of every case that did not pass")
    parser.add_argument("--min", type=int, default=0)
    parser.add_argument("--explained", type=pathlib.Path)
    options = parser.parse_args()

    by_category = {category: collections.Counter() for category in CATEGORIES}
    by_operation, missed, missed_plain = collections.defaultdict(collections.Counter), [], []
    for directory in options.directories:
        names = sorted(path.parent.name for path in directory.glob("*/model.onnx"))
        lines = run(options.runner,
                    directory) if options.runner != "-" else {name: ("unsupported", "", "") for name in names}
        if set(names) != set(lines):
            sys.exit(f"{directory}: no line about, or no case of: {', '.join(sorted(set(names) ^ set(lines))[:10])}")
        for name in names:
            verdict, operation, line = lines[name]
            category = category_of(directory / name)
            by_category[category][verdict] += 1
            by_operation[operation][verdict] += 1
            if verdict != "passed":
                missed.append(line)
                missed_plain += [name] if category == PLAIN else []

    print(f"{'':32}{'cases':>7}{'passed':>8}{'failed':>8}{'unsupported':>13}")
    for category, counts in by_category.items():
        total = sum(counts.values())
        share = f"{100 * counts['passed'] / total:8.1f} %" if total and options.runner != "-" else ""
        print(f"{category:32}{total:7}{counts['passed']:8}{counts['failed']:8}{counts['unsupported']:13}{share}")
    print(f"{'all':32}{sum(counts.total() for counts in by_category.values()):7}")
    if options.runner == "-":
        return
    incomplete = [(counts.total() - counts["passed"], operation, counts) for operation, counts in by_operation.items()
                  if counts.total() > counts["passed"]]
    print("operations with a case that does not pass, passed/all: " +
          ", ".join(f"{operation} {counts['passed']}/{counts.total()}"
                    for _, operation, counts in sorted(incomplete, key=lambda i: (-i[0], i[1]))))
    if options.each:
        print("\n".join(line[:200] for line in missed))
    unexplained = explain(options.explained, missed_plain) if options.explained else 0
    plain = by_category[PLAIN]
    if plain["passed"] < options.min or unexplained or (
            options.min and plain["failed"] and not options.explained):
        sys.exit(1)


if __name__ == "__main__":
    main()
