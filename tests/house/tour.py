#!/usr/bin/env python3
"""Writes notes/code_tour.md: the way of four expressions through teeny, evaluated unfused on the reference backend.

The library is compiled without optimisation, so that every function is entered and every line counted: the order of functions
is that in which -finstrument-functions reports them first, the lines are gcov's. With --check nothing is written, and the page
must say what an execution says now.

usage: tour.py [--check]      needs g++ with its gcov, and addr2line
"""
import json
import os
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "notes" / "code_tour.md"
BUILD = "build/tour"
EXPRESSIONS = ["a + b", "relu", "matmul", "sum"]
FLAGS = "-O0 -g --coverage -fno-inline -finstrument-functions -finstrument-functions-exclude-file-list=/usr/,c++"
# What `a + b` may take: the spine is to stay short.
MOST_FILES, MOST_LINES = 18, 450

INTRODUCTION = """# A tour of the code

What is executed, from the first line to the last, when one expression is evaluated the simplest way there is: unfused, on the
reference backend, when the environment has been read. Each function stands where it is entered for the first time, with what its comment says. Functions of one line
and lambdas are left out of the lists, and counted with the rest.

`make tour` writes this page from an execution: the functions in the order in which they are entered, the lines that gcov counts.

"""


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def build():
    make = ["make", "--no-print-directory", "BACKEND=reference", "CXX=g++", f"B={BUILD}", f"P={BUILD}",
            f"CXXFLAGS={FLAGS}"]
    subprocess.run(make + [f"{BUILD}/libteeny.a"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (ROOT / "a--.gcno").unlink(missing_ok=True)  # of the compiler's check of its flags
    run(["g++", "-std=c++20", "-I.", *FLAGS.split(), "tests/house/tour.cpp", f"{BUILD}/libteeny.a", "-lz",
         "-pthread", "-ldl", "-o", f"{BUILD}/tour"])


def in_house(path):
    """The path from the root, for files of teeny and tinyops; None for others."""
    path = os.path.relpath(os.path.join(ROOT, path), ROOT)
    return path if path.startswith(("teeny/", "tinyops/")) else None


def covered():
    """{file: executed lines} and {(file, line): (name, last line)} of functions, as gcov counts them."""
    lines, functions = {}, {}
    for data in (ROOT / BUILD).rglob("*.gcda"):
        for document in run(["gcov", "--json-format", "--stdout", "-o", str(data.parent), str(data)], stderr=subprocess.DEVNULL).splitlines():
            for file in json.loads(document)["files"]:
                path = in_house(file["file"])
                if not path:
                    continue
                for line in file["lines"]:
                    if line["count"] > 0:
                        lines.setdefault(path, set()).add(line["line_number"])
                for f in file["functions"]:
                    functions[path, f["start_line"]] = (f["demangled_name"], f["end_line"])
    return lines, functions


def comment_above(lines, line):
    """The first sentence of the comment that ends above this line, counted from 0."""
    first = line
    while first > 0 and re.match(r"\s*///? ?\w", lines[first - 1]):
        first -= 1
    text = " ".join(re.sub(r"^\s*//+ ?", "", l).strip() for l in lines[first:line])
    return re.split(r"(?<=[a-z0-9)`])[.:;](?= |$)", text)[0]


def said_of(path, line, name):
    """What the comment of the function says, here or where a header declares it; else nothing."""
    here = (ROOT / path).read_text().splitlines()
    if text := comment_above(here, line - 1):
        return text
    short = re.escape(name.split("::")[-1])
    for header in sorted((ROOT / path).parent.glob("*.h")):
        lines = header.read_text().splitlines()
        for i, l in enumerate(lines):
            if re.search(rf"(?<![\w.>]){short}\(", l):
                if trailing := re.search(r"///< (.*)", l):
                    return trailing[1]
                if text := comment_above(lines, i):
                    return text
    return ""


def short_name(name):
    """Without the arguments, the namespaces and the arguments of templates."""
    name = re.sub(r"\(anonymous namespace\)::|(teeny|tinyops|reference|environment|debug)::", "", name)
    depth, result = 0, ""
    name = re.sub(r"operator(<=>|<<|>>|<|>)", lambda m: "operator" + m[1].replace("<", "\x01").replace(">", "\x02"), name)
    for c in name:
        depth += (c in "<(") - (c in ">)")
        if depth == 0 and c not in ">)":
            result += c
        elif depth == 1 and c == "(":
            break
    result = result.replace("\x01", "<").replace("\x02", ">").replace(" const", "")
    return result.split(" ")[-1] if "operator" not in result else result[result.index("operator"):] if "::" not in result else result.split(" ")[-1]


def tour(expression):
    """The functions in order, [(file, name, comment)], and {file: executed lines}."""
    for data in (ROOT / BUILD).rglob("*.gcda"):
        data.unlink()
    addresses = run([f"{BUILD}/tour", expression], env=dict(os.environ, FUSE="0", DEBUG="0")).split()
    where = run(["addr2line", "-e", f"{BUILD}/tour", *addresses]).splitlines()
    lines, functions = covered()
    stops = OrderedDict()
    for place in where:
        file, line = place.split(" ")[0].rsplit(":", 1)
        path = in_house(file)
        if not path or not line.isdigit():
            continue
        name, last = functions.get((path, int(line)), ("", 0))
        if not name or "{lambda" in name or last == int(line):
            continue
        stops.setdefault((path, short_name(name)), said_of(path, int(line), short_name(name)))
    return [(path, name, text) for (path, name), text in stops.items()], lines


def page():
    counts, lists = [], []
    for expression in EXPRESSIONS:
        stops, lines = tour(expression)
        executed = sum(len(l) for l in lines.values())
        counts.append((expression, len(lines), len(stops), executed))
        text, file = f"## `{expression}`\n", None
        for path, name, said in stops:
            if path != file:
                text += f"\n`{path}`\n\n"
                file = path
            text += f"- `{name}`" + (f": {said}" if said else "") + "\n"
        lists.append(text)
    table = "| expression | files | functions of more than a line | executed lines |\n| --- | --- | --- | --- |\n"
    table += "".join(f"| `{e}` | {files} | {functions} | {lines} |\n" for e, files, functions, lines in counts)
    _, files, _, lines = counts[0]
    return INTRODUCTION + table + "\n" + "\n".join(lists), files, lines


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    build()
    text, files, lines = page()
    if check and PAGE.read_text() != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is not what an execution says: run make tour")
    if not check:
        PAGE.write_text(text)
    print(f"a + b: {files} files, {lines} executed lines")
    if files > MOST_FILES or lines > MOST_LINES:
        sys.exit(f"a + b may take {MOST_FILES} files and {MOST_LINES} lines")


main()
