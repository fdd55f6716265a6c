#!/usr/bin/env python3
"""The kernels that the notes show, from a run.

A block that follows `<!-- kernel: DECLARATIONS; EXPRESSION -->` is the last kernel that runs when EXPRESSION is realized, as DEBUG=3
lists it. `x (4, 8)` declares a realized tensor.

    notes.py            writes these blocks anew (make notes)
    notes.py --check    fails where one of them is not what a run prints
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'(<!-- kernel: (.*?) -->\n```\n)(.*?)(```\n)', re.S)


def program(specs):
    lines = ['#include <iostream>', '#include "teeny/teeny.h"', 'using namespace teeny;', 'int main() {']
    for spec in specs:
        *declared, expression = [part.strip() for part in spec.split(';')]
        lines.append('  {')
        for item in declared:
            name, shape = re.match(r'(\w+) \((.*)\)', item).groups()
            lines.append(f'    const Tensor {name} = Tensor::ones({{{shape.rstrip(",")}}}).contiguous().realize();')
        lines.append('    std::cerr << "=== " << std::endl;')
        lines.append(f'    const Tensor result = {expression};')
        lines.append('    result.realize();')
        lines.append('    std::cerr << "=== " << std::endl;')
        lines.append('  }')
    return '\n'.join(lines + ['}', ''])


def listings(specs):
    """The last kernel of each expression, without its time."""
    subprocess.run(['make', '--no-print-directory', '-s', 'build/cpu-native/libteeny.a'], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / 'listings.cpp'
        source.write_text(program(specs))
        subprocess.run(['g++', '-std=c++20', '-O1', '-I.', str(source), 'build/cpu-native/libteeny.a', '-fopenmp', '-lz', '-pthread',
                        '-o', str(source.with_suffix(''))], cwd=ROOT, check=True)
        output = subprocess.run([str(source.with_suffix(''))], env={**os.environ, 'DEBUG': '3'}, capture_output=True, text=True,
                                check=True).stderr
    parts = output.split('=== \n')[1::2]
    kernels = []
    for part in parts:
        starts = [m.start() for m in re.finditer(r'^\S', part, re.M)]
        blocks = [part[a:b] for a, b in zip(starts, starts[1:] + [len(part)])]
        listed = [b for b in blocks if b.count('\n') > 1][-1]
        kernels.append(''.join(line for line in listed.splitlines(True) if not re.match(r' *\d+ +[\d.]+ us ', line)))
    return kernels


def plain(block):
    """Its lines, without what a hand has added behind two spaces or more."""
    return [re.sub(r'(?<=\S)\s{2,}.*', '', line).rstrip() for line in block.rstrip('\n').split('\n')]


def main():
    check = sys.argv[1:] == ['--check']
    pages = {path: path.read_text() for path in sorted((ROOT / 'notes').glob('*.md'))}
    found = [(path, match) for path, text in pages.items() for match in BLOCK.finditer(text)]
    wrong = 0
    for (path, match), kernel in zip(found, listings([match.group(2) for _, match in found])):
        if plain(match.group(3)) == plain(kernel):
            continue
        wrong += 1
        print(f'{path.name}: {match.group(2)} gives\n' + '\n'.join(plain(kernel)))
        pages[path] = pages[path].replace(match.group(0), match.group(1) + '\n'.join(plain(kernel)) + '\n' + match.group(4))
    if not check:
        for path, text in pages.items():
            path.write_text(text)
    print(f'{len(found)} listings, {wrong} {"wrong" if check else "written anew"}')
    sys.exit(bool(check and wrong) or not found)


main()
