#!/usr/bin/env python3
"""Whether the notes are true. What they list is part of the source, part of a program that runs, or what a program prints; a
marker in the line before says which:

    <!-- test -->        a program, which .ci/run compiles outside and runs
    <!-- recipe: .. -->  code that tests/house/recipes.sh follows
    <!-- from: PATH -->  an excerpt of that file, which may lack lines `#pragma unroll` and those around an exercise, and has a
                         line `// ...` for what is left out
    <!-- part: NAME -->  a part of the page's program tests/house/notes/PAGE.cpp, which includes it as "NAME"
    <!-- run: NAME -->   a block: what that program, or PAGE.sh, prints after a line `== NAME`;
                         a paragraph or a table: each line that it prints there is a part of it
    <!-- registers: KERNEL -->
                         the paragraph has its registers and, if it speaks of it, its shared memory, as `make BACKEND=cuda
                         cuda-report` says for sm_90; not checked where nvcc has not built the library
    <!-- kernel: DECLARATIONS; EXPRESSION -->
                         the last kernel that runs when EXPRESSION is realized, as DEBUG=3 lists it; `x (4, 8)` declares a
                         realized tensor

A ```cpp block without a marker is an error, and so is a part or a section that no page has. A program whose page begins with
cuda_ runs on the emulated GPU. Other blocks are drawings.

    notes.py            writes the listings anew (make notes)
    notes.py --check    fails where something is not true
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / 'tests' / 'house' / 'notes'
ITEM = re.compile(r'^ *<!-- (?P<kind>test|recipe(?: \w+)?|from|part|run|kernel|registers)(?:: (?P<name>.*?))? -->\n'
                  r'(?: *```(?P<language>\w*)\n(?P<block>.*?)^ *```$|(?P<text>.+?)(?=\n\n|\Z))', re.S | re.M)
EMULATED = ['-Itests/gpu_emulator', '-fsanitize=bounds', '-Wno-unknown-pragmas', 'build/cuda-emulated-native/libteeny.a']
FOR_CPU = ['build/cpu-native/libteeny.a', '-fopenmp']


def plain(text):
    """Its lines, each with single spaces."""
    return [' '.join(line.split()) for line in text.strip('\n').split('\n')]


def excerpt(path, block):
    """What is wrong with an excerpt of a file, or nothing."""
    if not (ROOT / path).exists():
        return 'there is no such file'
    words = lambda text: ' '.join(re.sub(r'^ *(#pragma unroll|// \[?exercise \d\d\]?)\n', '', text, flags=re.M).split())
    source, at = words((ROOT / path).read_text()), 0
    for piece in map(words, re.split(r'^ *// \.\.\.\n', block, flags=re.M)):
        if (found := source.find(piece, at)) < 0:
            return f'it does not have: {piece}'
        at = found + len(piece)
    return None


def missing(printed, text):
    """The lines of a run that a paragraph or a table does not have, and how many rows of a table no run prints."""
    lines, found = plain(printed), ' '.join(text.split())
    result = [f'is not there: {line}' for line in lines if not re.search(rf'(?<![\w.]){re.escape(line)}(?!\w)', found)]
    rows = len(re.findall(r'^ *\|', text, re.M)) - 2
    if rows > 0 and rows != len(lines):
        result.append(f'the table has {rows} rows, and a run prints {len(lines)}')
    return '\n'.join(result)


def registers(kernel, text):
    """What is wrong with what a paragraph says of a kernel's registers and shared memory."""
    reports = sorted((ROOT / 'build' / 'cuda-native' / 'tinyops').rglob('*.ptxas'))
    if not reports:
        return None
    names = subprocess.run(['c++filt'], input=''.join(r.read_text() for r in reports), stdout=subprocess.PIPE, text=True).stdout
    table = subprocess.run(['awk', '-f', 'tests/cuda_report.awk'], cwd=ROOT, input=names, stdout=subprocess.PIPE, text=True).stdout
    head, *rows = table.splitlines()
    for row in rows:
        if row.startswith(kernel):
            shared, *used = re.findall(r'(\d+)(?: [+!]\d+)?', row[len(kernel):])
            says = [f'{dict(zip(head.split()[2:], used)).get("sm_90")} registers']
            says += [f'{int(shared):,} bytes of shared memory'] if 'bytes of shared memory' in text else []
            return '\n'.join(f'is not there: {what}' for what in says if what not in ' '.join(text.split()))
    return 'cuda-report has no such kernel'


def kernels_program(specs):
    """Realizes each expression between two lines ===."""
    lines = ['#include <iostream>', '#include "teeny/teeny.h"', 'using namespace teeny;', 'int main() {']
    for spec in specs:
        *declared, expression = [part.strip() for part in spec.split(';')]
        lines.append('  {')
        for item in declared:
            name, shape = re.match(r'(\w+) \((.*)\)', item).groups()
            lines.append(f'    const Tensor {name} = Tensor::ones({{{shape.rstrip(",")}}}).contiguous().realize();')
        lines += ['    std::cerr << "===\\n";', f'    const Tensor result = {expression};', '    result.realize();',
                  '    std::cerr << "===\\n";', '  }']
    return '\n'.join(lines + ['}', ''])


def last_kernels(output):
    """The last kernel of each expression, without its time."""
    kernels = []
    for part in output.split('===\n')[1::2]:
        blocks = re.split(r'^(?=\S)', re.sub(r'^ *\d+ +[\d.]+ us .*\n', '', part, flags=re.M), flags=re.M)
        kernels.append([block for block in blocks if block.count('\n') > 1][-1])
    return kernels


def run(source, scratch, **environment):
    """What a program prints, in C++ or for the shell."""
    command = ['bash', source]
    if source.suffix == '.cpp':
        program = scratch / 'program'
        library = EMULATED if source.stem.startswith('cuda_') else FOR_CPU
        command = [program]
        built = subprocess.run(['g++', '-std=c++20', '-O1', '-Wall', '-I.', f'-I{scratch}', source, *library, '-lz',
                                '-pthread', '-o', program], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        if built.returncode:
            sys.exit(built.stderr)
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)
    if result.returncode:
        sys.exit(f'{source.name}: exit status {result.returncode}\n{result.stdout}')
    return result.stdout


def run_page(page, items):
    """{NAME: what is printed after `== NAME`} of a page, or the kernels of a page in their order."""
    sections, kernels = {}, []
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        for item in items:
            if item['kind'] == 'part':
                (scratch / item['name']).write_text(item['block'])
        for source in sorted(PROGRAMS.glob(f'{page.stem}.*')):
            parts = re.split(r'^== (.*)\n', run(source, scratch), flags=re.M)
            sections.update(zip(parts[1::2], parts[2::2]))
        if specs := [item['name'] for item in items if item['kind'] == 'kernel']:
            (scratch / 'kernels.cpp').write_text(kernels_program(specs))
            kernels = last_kernels(run(scratch / 'kernels.cpp', scratch, DEBUG='3'))
    return sections, kernels


def check(page, text, writes):
    """The errors of a page, and its text as it should be; what is to be written anew is no error."""
    items = list(ITEM.finditer(text))
    covered = lambda place: any(item.start() <= place < item.end() for item in items)
    errors = [f'a cpp block without a marker: {m[1]}' for m in re.finditer(r'^ *```cpp\n(.*)$', text, re.M) if not covered(m.start())]
    errors += [f'no marker: {m[0]}' for m in re.finditer(r'^ *<!--.*$', text, re.M) if not covered(m.start())]
    sections, kernels = run_page(page, items)
    program = '\n'.join(source.read_text() for source in PROGRAMS.glob(f'{page.stem}.*'))
    parts = {item['name'] for item in items if item['kind'] in ('part', 'run')}
    errors += [f'{name}: no page has it' for name in sections if name and name not in parts]
    changes = []
    for item in items:
        kind, name, block = item['kind'], item['name'], item['block']
        if kind == 'from':
            error = excerpt(name, block)
        elif kind == 'registers':
            error = registers(name, item['text'])
        elif kind in ('run', 'kernel'):
            printed = kernels.pop(0) if kind == 'kernel' else sections.get(name)
            if printed is None:
                error = 'no program prints it'
            elif block is None:
                error = missing(printed, item['text'])
            else:
                error = plain(printed) != plain(block) and f'a run prints\n{printed}'
                if error and writes:
                    changes.append((item.span('block'), printed))
                    continue
        else:
            error = kind == 'part' and f'#include "{name}"' not in program and 'the program of the page does not include it'
        if error:
            errors.append(f'{kind}: {name}: {error}')
    for (begin, end), printed in reversed(changes):
        text = text[:begin] + printed.rstrip('\n') + '\n' + text[end:]
    return len(items), errors, text


def main():
    writes = sys.argv[1:] != ['--check']
    subprocess.run(['make', '--no-print-directory', '-s', FOR_CPU[0]], cwd=ROOT, check=True)
    subprocess.run(['make', '--no-print-directory', '-s', 'BACKEND=cuda', 'EMULATE=1', EMULATED[-1]], cwd=ROOT, check=True)
    pages = [page for page in sorted((ROOT / 'notes').glob('*.md')) if page.name != 'code_tour.md'] + [ROOT / 'README.md']
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda page: check(page, page.read_text(), writes), pages))
    for page, (_, errors, text) in zip(pages, results):
        for error in errors:
            print(f'{page.name}: {error}')
        if text != page.read_text():
            page.write_text(text)
            print(f'{page.name}: written anew')
    wrong = sum(len(errors) for _, errors, _ in results)
    print(f'{sum(count for count, _, _ in results)} listings and figures, {wrong} wrong')
    sys.exit(wrong > 0)


main()
