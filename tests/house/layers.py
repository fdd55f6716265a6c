#!/usr/bin/env python3
"""The walls of the house, read off its own includes.

    layers.py               fails on an arrow that runs up, a circle, a reach past a room's header, and a foreign library
    layers.py --self-test   plants a mistake of each kind, and fails unless it is found
    layers.py --draw FILE   draws the rooms and their arrows with Graphviz, as notes/house.svg
    layers.py --drift FILE  fails unless FILE was drawn from these includes
"""
import hashlib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The rooms from the ground up. A room is a folder, or the files of a folder that are in no other room; it may include the
# rooms before it. `*` among the public headers: every header of the room is public.
ROOMS = [
    # room                     public headers
    ('tinyops/base', ['*']),
    ('tinyops', ['kernel.h', 'device.h', 'ranks.h']),
    ('tinyops/ranks', []),
    ('tinyops/reference', []),
    ('tinyops/common', ['*']),
    ('tinyops/cpu', ['*']),
    ('tinyops/cpu/stencil', ['stencil.h']),
    ('tinyops/cpu/row', ['row.h']),
    ('tinyops/cpu/index', ['index.h']),
    ('tinyops/cpu/contract', ['contract.h']),
    ('tinyops/cpu/device.cpp', []),
    ('tinyops/cuda/runtime', ['cuda.h', 'views.h']),
    ('tinyops/cuda/row', ['program.h']),
    ('tinyops/cuda/index', []),
    ('tinyops/cuda/contract', []),
    ('tinyops/ranks/nccl.cu', []),
    ('teeny/version.h', ['version.h']),
    ('teeny/files', ['*']),
    ('teeny/c_api.h', ['c_api.h']),
    ('teeny/program', ['program.h', 'contents.h', 'format.h']),
    ('teeny/debug', ['trace.h']),
    ('teeny/graph', ['base.h', 'context.h', 'lazy.h', 'collective.h']),
    ('teeny/schedule', ['schedule.h', 'assignments.h', 'draw.h']),
    ('teeny/tensor', ['tensor.h', 'function.h', 'recorder.h', 'traced.h', 'index.h', 'modes.h', 'options.h']),
    ('teeny/mlops', ['common.h']),
    ('teeny/functional', ['functional.h', 'functions.h']),
    ('teeny/nn', ['nn.h']),
    ('teeny/optim', ['optim.h']),
    ('teeny/data', ['data.h']),
    ('teeny/io', ['io.h', 'elements.h']),
    ('teeny/dist', ['dist.h']),
    ('teeny/jit', ['jit.h', 'run_program.h']),
    ('teeny/onnx', ['onnx.h', 'model.h', 'values.h']),
    ('teeny', ['teeny.h', 'testing.h']),
    ('teeny/tool', []),
    ('examples', ['*']),
    ('tests', ['*']),
]
ORDER = {room: level for level, (room, _) in enumerate(ROOMS)}
PUBLIC = dict(ROOMS)
BACKENDS = ['tinyops/reference', 'tinyops/cpu', 'tinyops/cuda']
FOREIGN = re.compile(r'^(Eigen|unsupported/Eigen|omp\.h|cuda)')  # what belongs to a backend
OF_RANKS = re.compile(r'^(mpi|nccl)\.h$')  # what connects the ranks


def room_of(path):
    """The innermost room that `path` lies in."""
    found = [room for room in ORDER if path == room or path.startswith(room + '/')]
    return max(found, key=len) if found else None


def sources():
    """Path -> text of every source file."""
    found = {}
    for top in ('teeny', 'tinyops', 'examples', 'tests'):
        for path in sorted((ROOT / top).rglob('*')):
            if path.suffix in ('.h', '.cpp', '.cu'):
                found[str(path.relative_to(ROOT))] = path.read_text()
    return found


def includes(path, text, files):
    """(line number, included name, path in the tree or None) of each include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match:
            name = match.group(1)
            beside = str(pathlib.PurePosixPath(path).parent / name)
            yield number, name, name if name in files else beside if beside in files else None


def backend_of(path):
    return next((b for b in BACKENDS if path.startswith(b + '/')), None)


def complaints(files):
    """What is wrong, a line each: file:line: what it includes: the rule."""
    wrong = []
    graph = {path: [] for path in files}
    for path, text in files.items():
        here = room_of(path)
        tests = path.startswith('tests/')
        for number, name, target in includes(path, text, files):
            def complain(rule):
                wrong.append(f'{path}:{number}: includes {name}: {rule}')
            if target is None:
                if FOREIGN.match(name) and not path.startswith(('tinyops/cpu/', 'tinyops/cuda/', 'tests/')):
                    complain('Eigen, OpenMP and CUDA are for the backend that is made of them')
                if OF_RANKS.match(name) and not path.startswith(('tinyops/ranks/', 'tests/ranks/')):
                    complain('MPI and NCCL are for tinyops/ranks')
                continue
            graph[path].append(target)
            there = room_of(target)
            if here == there or tests:
                continue
            if ORDER[there] > ORDER[here]:
                complain(f'an arrow up, from {here} to {there}')
            elif PUBLIC[there] != ['*'] and pathlib.PurePosixPath(target).name not in PUBLIC[there]:
                complain(f'reaches past {" ".join(PUBLIC[there]) or "the wall"}, the public face of {there}')
            if path.startswith('teeny/') and target.startswith('tinyops/') and there not in ('tinyops', 'tinyops/base'):
                complain('teeny knows of tinyops its base, kernel.h and device.h')
            if backend_of(path) and backend_of(target) and backend_of(path) != backend_of(target):
                complain('a backend knows no other backend')
    present = {room_of(path) for path in files}
    wrong += [f'the table of rooms names {room}, which has no files' for room in ORDER if room not in present]
    return wrong + circles(graph)


def circles(graph):
    """Files that include each other, as `a -> b -> a`."""
    found, done = [], set()

    def walk(path, trail):
        if path in trail:
            found.append('a circle of files: ' + ' -> '.join(trail[trail.index(path):] + [path]))
            return
        if path in done:
            return
        for target in graph[path]:
            walk(target, trail + [path])
        done.add(path)

    for path in graph:
        walk(path, [])
    return found


# ---- A mistake of each kind

def self_test():
    plants = [
        ('tinyops/base/shape.h', 'teeny/graph/lazy.h', 'an arrow up, from tinyops/base to teeny/graph'),
        ('teeny/tensor/tensor.h', 'teeny/nn/nn.h', 'an arrow up, from teeny/tensor to teeny/nn'),
        ('teeny/mlops/reduce.cpp', 'teeny/functional/functional.h', 'an arrow up, from teeny/mlops to teeny/functional'),
        ('teeny/tensor/options.h', 'teeny/tensor/tensor.h', 'a circle of files'),
        ('teeny/jit/jit.cpp', 'teeny/schedule/plan.h', 'reaches past schedule.h assignments.h'),
        ('examples/mnist.cpp', 'teeny/nn/layers.h', 'reaches past nn.h'),
        ('tinyops/cpu/contract/contract.cpp', 'tinyops/cpu/row/row_plan.h', 'reaches past row.h'),
        ('teeny/schedule/realize.cpp', 'tinyops/cpu/parallel.h', 'teeny knows of tinyops its base'),
        ('tinyops/cuda/row/rows.cu', 'tinyops/cpu/parallel.h', 'a backend knows no other backend'),
        ('teeny/mlops/reduce.cpp', 'Eigen/Core', 'Eigen, OpenMP and CUDA'),
        ('tinyops/base/merge_axes.h', 'omp.h', 'Eigen, OpenMP and CUDA'),
        ('teeny/dist/dist.h', 'mpi.h', 'MPI and NCCL'),
    ]
    clean, failed = sources(), 0
    for path, name, rule in plants:
        planted = dict(clean)
        line = clean[path].count('\n', 0, clean[path].index('#include')) + 1
        planted[path] = clean[path].replace('#include', f'#include "{name}"\n#include', 1)
        new = set(complaints(planted))
        hit = [c for c in new if rule in c and ('circle' in c or c.startswith(f'{path}:{line}: includes {name}'))]
        print(f'{"found" if hit else "MISSED"}: {hit[0] if hit else f"{path} includes {name}: {rule}"}')
        failed += not hit
    return failed


# ---- The picture

def house(files):
    """The rooms, without the tests, and which rooms each of them includes."""
    arrows = {}
    for path, text in files.items():
        here = room_of(path)
        if here == 'tests':
            continue
        arrows.setdefault(here, set())
        for _, _, target in includes(path, text, files):
            there = room_of(target) if target else here
            if there != here:
                arrows[here].add(there)
    return arrows


def reduced(arrows):
    """Without the arrows that a longer way shows, too."""
    def reach(room, seen):
        for next_room in arrows.get(room, ()):
            if next_room not in seen:
                seen.add(next_room)
                reach(next_room, seen)
        return seen
    return {room: {t for t in targets if not any(t in reach(other, set()) for other in targets if other != t)}
            for room, targets in arrows.items()}


def dot(files):
    arrows = house(files)
    spine = {'tinyops/base', 'tinyops', 'tinyops/reference', 'teeny/graph', 'teeny/schedule', 'teeny/tensor', 'teeny/mlops'}
    label = {'tinyops': 'tinyops/kernel.h, device.h, ranks.h', 'teeny': 'teeny/teeny.h', 'tinyops/cpu': 'tinyops/cpu (shared)'}
    out = ['digraph house {', '  rankdir=TB; nodesep=0.3; ranksep=0.45;',
           '  node [shape=box, style="filled,rounded", fillcolor="#eeeeee", color="#888888", fontname="Helvetica", fontsize=12];',
           '  edge [color="#666666", arrowsize=0.7];']
    for room in sorted(arrows, key=ORDER.get):
        look = ', fillcolor="#cfe3f7", color="#2a6db0"' if room in spine else ''
        out.append(f'  "{room}" [label="{label.get(room, room)}"{look}];')
    for room, targets in sorted(reduced(arrows).items()):
        out += [f'  "{room}" -> "{target}";' for target in sorted(targets)]
    return '\n'.join(out + ['}', ''])


def mark(text):
    """What a picture was drawn from. Graphviz lays it out in another way in each version; the rooms and arrows must agree."""
    return '<!-- house: ' + hashlib.sha256(text.encode()).hexdigest()[:16] + ' -->'


def draw(path):
    text = dot(sources())
    try:
        svg = subprocess.run(['dot', '-Tsvg'], input=text, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        sys.exit('layers.py: Graphviz is missing: apt-get install graphviz')
    pathlib.Path(path).write_text(svg.rstrip() + '\n' + mark(text) + '\n')


def main(arguments):
    if arguments[:1] == ['--self-test']:
        sys.exit(self_test())
    if arguments[:1] == ['--draw'] and len(arguments) == 2:
        return draw(arguments[1])
    if arguments[:1] == ['--drift'] and len(arguments) == 2:
        if mark(dot(sources())) not in pathlib.Path(arguments[1]).read_text():
            sys.exit(f'{arguments[1]} shows another house: run make house')
        return
    if arguments:
        sys.exit(__doc__)
    files = sources()
    wrong = complaints(files)
    print('\n'.join(wrong) if wrong else f'{len(files)} files: every arrow runs down')
    sys.exit(bool(wrong))


main(sys.argv[1:])
