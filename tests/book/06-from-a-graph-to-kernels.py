"""The figures of notes/06-from-a-graph-to-kernels.md: softmax before and after fusion, and the kernel of an Adam step."""
import re

import graphs
import svg

PLACES = {'Copy': (0, 0), 'Max': (1, 1), 'Sub': (0, 2), 'Exp': (0, 3), 'Sum': (1, 4), 'Recip': (1, 5), 'Mul': (0, 6)}
INFIX = {'Add': '+', 'Sub': '-', 'Mul': '*', 'Div': '/'}


def kernels(section):
    """(bytes, label) of each."""
    return [(int(r[1]), r[2]) for r in (line.split('\t') for line in section.split('\n')) if r[0] == 'kernel']


def megabytes(number):
    return f'{number / 1e6:.1f} MB' if number > 1e5 else f'{number / 1e6:.2f} MB'


def softmax(before, after):
    title = 'softmax as six kernels, one for each node, and as one kernel with a program of the same six operations'
    picture = svg.Picture(700, 600, title)
    graph = graphs.Graph(before)
    moved = {re.search(r'(\w+)$', label)[1]: size for size, label in kernels(before)}
    y_of = lambda row: 84 + 74 * row
    x_of = lambda column: (90, 250)[column]
    place = {n: (x_of(PLACES[op][0]), y_of(PLACES[op][1])) for n, (op, _, _) in graph.nodes.items()}
    for node, source, _ in graph.edges:
        (x1, y1), (x2, y2) = place[source], place[node]
        of_row = graph.nodes[source][1].endswith(', 1)')
        shift = 0 if x1 != x2 else -30 if y2 - y1 > 80 else 20
        colour, width = ('b', 1.5) if of_row else ('ink', 2.5)
        picture.line(x1 + shift, y1 + 20, x2 + shift, y2 - 22, colour, width, arrow=True)
    for n, (op, shape, _) in graph.nodes.items():
        x, y = place[n]
        source = op == 'Copy'
        picture.rect(x - 68, y - 22, 136, 42, 'soft' if source else 'soft-a', 'ink' if source else 'a', 4)
        picture.text(x, y - 8, 'x' if source else op, bold=True)
        picture.text(x, y + 10, shape if source else f'moves {megabytes(moved[op])}', 'dim', small=True)
    picture.text(20, 24, 'before: a kernel for each node', 'ink', 'start', words=True, bold=True)
    total = sum(size for size, _ in kernels(before))
    picture.text(20, 578, f'{len(kernels(before))} kernels move {megabytes(total)}', 'ink', 'start', words=True)

    picture.line(345, 20, 345, 585, 'rule')
    walked = re.search(r'^rows \(.*?\)', after, re.M)[0]
    picture.text(370, 24, f'after: one kernel, {walked}', 'ink', 'start', words=True, bold=True)
    picture.rect(470, y_of(0) - 22, 110, 42, 'soft', 'ink', 4)
    picture.text(525, y_of(0) - 1, 'x', bold=True)
    program = re.findall(r'^    (%\d+ .*|store .*)$', after, re.M)
    top, step = y_of(1) - 22, 38
    picture.rect(370, top, 310, step * len(program) + 16, 'soft-a', 'a', 4)
    for i, line in enumerate(program):
        line = re.sub(' float32| to .*', '', line)
        colour = 'b' if ' row ' in line else 'ink'
        picture.text(390, top + 26 + step * i, line, colour, 'start', bold=line.startswith(('store', '%0')))
    picture.line(525, y_of(0) + 20, 525, top - 2, 'ink', 2.5, arrow=True)
    bottom = top + step * len(program) + 16
    picture.line(525, bottom, 525, bottom + 38, 'ink', 2.5, arrow=True)
    picture.rect(470, bottom + 40, 110, 42, 'soft', 'ink', 4)
    picture.text(525, bottom + 61, 'y', bold=True)
    (size, _), = kernels(after)
    picture.text(370, 578, f'1 kernel moves {megabytes(size)}', 'ink', 'start', words=True)
    return picture.svg()


def formulas(listing, inputs):
    """What each output is, written as a formula of the inputs and of other outputs: [text]."""
    program = {int(n): rest.split() for n, rest in re.findall(r'^    %(\d+) (?:row )?\w+ = (.*)$', listing, re.M)}
    stored = [int(n) for n in re.findall(r'store %(\d+)', listing)]

    def value(n, own=False):
        if n in stored and not own:
            return inputs[f'stored {n}'], 9
        op, *args = program[n]
        if op == 'load':
            return inputs[int(args[0])], 9
        if not args:
            return op, 9
        parts = [value(int(a[1:])) for a in args]
        if op in INFIX:
            level = 1 if op in ('Add', 'Sub') else 2
            bare = lambda i, inner: inner > level or (inner == level and (i == 0 or op in ('Add', 'Mul')))
            return f' {INFIX[op]} '.join(t if bare(i, p) else f'({t})' for i, (t, p) in enumerate(parts)), level
        return f'{op.lower()}({", ".join(t for t, _ in parts)})', 9

    return stored, [value(n, True)[0] for n in stored]


def adam(section):
    reads = re.findall(r'^reads\t(.*)\t(\d+)$', section, re.M)
    writes = re.findall(r'^writes\t(.*)$', section, re.M)
    stored = [int(n) for n in re.findall(r'store %(\d+)', section)]
    inputs = {i: name for i, (name, _) in enumerate(reads)} | {f'stored {n}': f"{name}'" for n, name in zip(stored, writes)}
    _, texts = formulas(section, inputs)
    picture = svg.Picture(700, 330, "The kernel of an Adam step: it reads p, g, m and v and writes p, m and v where they were")
    places = {}
    for i, (name, size) in enumerate(reads):
        wide = 74 if int(size) > 8 else 110
        x = 24 + 100 * i if int(size) > 8 else 440 + 126 * (i - 4)
        places[name] = x + wide / 2
        picture.rect(x, 44, wide, 46, 'soft-c' if name in writes else 'soft', 'ink', 4)
        picture.text(x + wide / 2, 58, name, bold=True, words=int(size) <= 8)
        picture.text(x + wide / 2, 77, f'{int(size) // 1024} KiB' if int(size) > 8 else f'{size} bytes', 'dim', small=True)
        middle, apart = places[name], 14 if name in writes else 0
        picture.line(middle - apart, 92, middle - apart, 162, 'ink', 2, arrow=True)
        if name in writes:
            picture.line(middle + apart, 164, middle + apart, 94, 'b', 2, arrow=True)
    picture.text(24, 22, 'memory', 'ink', 'start', words=True, bold=True)
    picture.rect(24, 164, 652, 132, 'soft-a', 'a', 4)
    count = len(re.findall(r'^    %', section, re.M))
    picture.text(40, 186, f'one kernel, {count} instructions for each element', 'ink', 'start', words=True, bold=True)
    for i, (name, text) in enumerate(zip(writes, texts)):
        picture.text(40, 216 + 28 * i, f"{name}' = {text}", 'ink', 'start')
    key = 'black: what is read; orange: what is written, over the old values'
    picture.text(24, 314, key, 'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'softmax': softmax(sections['figure unfused'], sections['figure fused']), 'adam': adam(sections['figure adam'])}
