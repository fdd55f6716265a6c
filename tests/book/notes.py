#!/usr/bin/env python3
"""Whether the notes are true, and the book as a whole. A block says in the line that opens it what it is:

    ```cpp run            a part of the page's program: all of them, in their order, are the body of one main
    ```cpp run global     stands before main: a struct with templates, a function
    ```cpp run error      throws a teeny::Error, whose message is printed
    ```cpp run alone [NAME=VALUE ..]
                          a program of its own, with these variables in its environment
    ```cpp run ranks=1,2  the same as one rank, then as two: what each prints, one after the other. Not where there is no MPI
    ```output             what the blocks `run` since the last one print. Numbers with a point are compared to 4 digits; `~` is a
                          time or something else that differs from run to run
    ```cpp from=FILE#NAME [a .. b, c]
                          written by this program: what NAME is in that file; of it the lines from one with the words a to one
                          with the words b, and the one with c. tests/book/source.py
    ```sh run             commands, run in a clean clone; an `output` may follow
    ```cpp sketch         at most 8 lines that are no program; one block in five at most

A page may have a program beside it, tests/book/PAGE.cpp or PAGE.sh, which prints sections after lines `== NAME`. A marker in the
line before a block or a paragraph says what it has of that:

    <!-- run: NAME -->    a block: this section; a paragraph or a table: each line of the section is a part of it
    <!-- part: NAME -->   a part of this program, which includes it as "NAME"
    <!-- test -->         a program, which .ci/run compiles outside and runs
    <!-- recipe: .. -->   code that tests/house/recipes.sh follows
    <!-- registers: KERNEL -->
                          the paragraph has its registers and, if it speaks of it, its shared memory, as `make BACKEND=cuda
                          cuda-report` says for sm_90; not checked where nvcc has not built the library
    <!-- kernel: DECLARATIONS; EXPRESSION -->
                          the last kernel that runs when EXPRESSION is realized, as DEBUG=3 lists it; `x (4, 8)` declares a
                          realized tensor
    <!-- contents: 00 05 -->
                          the table of these chapters, or how much `all` are, in notes/README.md
    <!-- widget: NAME -->  tests/book/book.py puts a page that can be played with in the place of the paragraph

Figures, notes/figures/NN-NAME.svg, are drawn by tests/book/NN-PAGE.py: its function `figures(sections)` returns their texts by
name, from the sections that the page's program prints (a section `figure NAME` need not be shown) or from runs of its own.

    notes.py [PAGE ..]    writes anew what is generated, of all pages or of those whose names begin so (make notes)
    notes.py --check ..   fails where something is not true
"""
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import book
import programs
import source
from programs import ROOT

HERE = ROOT / 'tests' / 'book'
FENCE = re.compile(r'^(?P<marker> *<!-- (?P<kind>\w+(?: \w+)?)(?:: (?P<name>[^\n]*?))? -->\n)?'
                   r'(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<block>.*?)^ *```$', re.S | re.M)
PARAGRAPH = re.compile(r'^ *<!-- (?P<kind>\w+(?: \w+)?)(?:: (?P<name>[^\n]*?))? -->\n(?P<text>.+?)(?=\n\n|\Z)', re.S | re.M)
OF_BLOCKS = {'test', 'recipe', 'part', 'run', 'kernel'}
OF_PARAGRAPHS = {'run', 'registers', 'contents', 'widget'}
# What a block without a marker may be: those of above, and drawings and commands that nothing runs.
KNOWN = re.compile(r'cpp run( error| global)?|cpp run alone( [A-Z_]+=\S+)*|cpp run( error)? ranks=\d(,\d)*|cpp from=.+|cpp sketch|output|sh( run)?|console|python|make|text')
NUMBER = re.compile(r'(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])')
NOT_RUN = object()  # in the place of what a block of many ranks prints, where there is no MPI
clone = programs.Clone()


# ---- Comparing ------------------------------------------------------------------------------------------------------

def plain(text):
    """Its lines, each with single spaces."""
    return [' '.join(line.split()) for line in text.strip('\n').split('\n')]


def same_number(a, b, near=5e-4):
    """As they stand, or with a point and to 4 digits."""
    if a == b or not re.search(r'[.e]', a + b):
        return a == b
    x, y = float(a.replace(',', '')), float(b.replace(',', ''))
    return abs(x - y) <= near * max(abs(x), abs(y)) + 1e-7


def same_line(printed, shown, near=5e-4):
    pattern, numbers, at = '', [], 0
    for number in re.finditer(rf'~(?: [um]?s\b)?|{NUMBER.pattern}', shown):
        differs = number[0].startswith('~')  # and a time may come in another unit
        any_value = r'\S+ [num]?s' if len(number[0]) > 1 else r'\S+'
        pattern += re.escape(shown[at:number.start()]) + (any_value if differs else f'({NUMBER.pattern})')
        numbers += [] if differs else [number[0]]
        at = number.end()
    found = re.fullmatch(pattern + re.escape(shown[at:]), printed)
    return bool(found) and all(same_number(a, b, near) for a, b in zip(found.groups(), numbers))


def same(printed, shown):
    a, b = plain(printed), plain(shown)
    return len(a) == len(b) and all(map(same_line, a, b))


def missing(printed, text):
    """The lines of a run that a paragraph or a table does not have, and how many rows of a table no run prints."""
    lines, found = plain(printed), ' '.join(text.split())
    result = [f'is not there: {line}' for line in lines if not re.search(rf'(?<![\w.]){re.escape(line)}(?!\w)', found)]
    rows = len(re.findall(r'^ *\|', text, re.M)) - 2
    if rows > 0 and rows != len(lines):
        result.append(f'the table has {rows} rows, and a run prints {len(lines)}')
    return '\n'.join(result)


def same_picture(drawn, kept):
    """Whether only coordinates differ, and by little: a curve is not the same to the last digit on another processor. What is
    written in the picture is compared as an output is, but for the numbers at the axes of curves, which may move by 1 %."""
    places = r'((?<=[ ,"LMC])-?\d+\.?\d*(?=[ ,"%]))'
    a, b = (re.split(r'(>[^<]*</text>|>[^<]*</title>)', svg) for svg in (drawn, kept))
    if len(a) != len(b):
        return False
    for i, (x, y) in enumerate(zip(a, b)):
        if i % 2:
            near = 0.01 if a[i - 1].rstrip().endswith('f-dim"') else 5e-4
            if not same_line(x, y, near):
                return False
        else:
            p, q = re.split(places, x), re.split(places, y)
            most = [0.1 if before.endswith('opacity="') else 2.5 for before in p]
            if len(p) != len(q) or any(v != w and (j % 2 == 0 or abs(float(v) - float(w)) > most[j - 1])
                                       for j, (v, w) in enumerate(zip(p, q))):
                return False
    return True


def same_contents(now, shown):
    """Whether only counts of lines and minutes differ, and by little: not every change of a source file is one of the contents."""
    words = lambda text: re.split(r'((?<![\w/-])\d[\d,]*(?![\w\]-]))', text.strip())
    value = lambda text: int(text.replace(',', ''))
    a, b = words(now), words(shown)
    return len(a) == len(b) and all(x == y or (i % 2 and abs(value(x) - value(y)) <= max(2, 0.05 * value(y)))
                                    for i, (x, y) in enumerate(zip(a, b)))


# ---- What is not printed by a program of the page -------------------------------------------------------------------

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


def kernels_of(specs):
    """The last kernel of each expression, as DEBUG=3 lists it, without its time."""
    lines = []
    for spec in specs:
        *declared, expression = [part.strip() for part in spec.split(';')]
        lines.append('  {')
        for item in declared:
            name, shape = re.match(r'(\w+) \((.*)\)', item).groups()
            lines.append(f'    const Tensor {name} = Tensor::ones({{{shape.rstrip(",")}}}).contiguous().realize();')
        lines += ['    std::cerr << "===\\n";', f'    const Tensor result = {expression};', '    result.realize();',
                  '    std::cerr << "===\\n";', '  }']
    kernels = []
    for part in programs.output_of('\n'.join(lines) + '\n', DEBUG='3').split('===\n')[1::2]:
        blocks = re.split(r'^(?=\S)', re.sub(r'^ *\d+ +[\d.]+ us .*\n', '', part, flags=re.M), flags=re.M)
        kernels.append([block for block in blocks if block.count('\n') > 1][-1])
    return kernels


# ---- A page ---------------------------------------------------------------------------------------------------------

class Page:
    def __init__(self, path):
        self.path, self.text, self.errors, self.changes, self.drawn, self.count = path, path.read_text(), [], [], [], 0
        self.beside = 'contents' if path == ROOT / 'notes' / 'README.md' else path.stem  # the name of its program
        self.fences = list(FENCE.finditer(self.text))
        inside = lambda m: any(f.start() <= m.start() < f.end() for f in self.fences)
        self.paragraphs = [m for m in PARAGRAPH.finditer(self.text) if not inside(m)]
        for marker in re.finditer(r'^ *<!--.*$', self.text, re.M):
            if not inside(marker) and not any(p.start() == marker.start() for p in self.paragraphs):
                self.error(marker, f'a marker of nothing: {marker[0].strip()}')
        self.cpp = [f for f in self.fences if f['info'].split()[:1] == ['cpp']]
        self.sketches = [f for f in self.cpp if f['info'] == 'cpp sketch']

    def error(self, match, text):
        self.errors.append(f'{self.path.relative_to(ROOT)}:{self.text.count(chr(10), 0, match.start()) + 1}: {text}')

    def write(self, match, group, text):
        """Puts a text in the place of what a group has matched."""
        indent = match.groupdict().get('indent') or ''
        text = ''.join(indent + line if line.strip() else line for line in text.splitlines(keepends=True))
        self.changes.append((match.span(group), text))

    def check(self):
        try:
            sections, kernels = self.sections()
            self.check_blocks(sections, kernels)
            self.check_paragraphs(sections)
            self.check_figures(sections)
        except programs.Failed as failure:
            self.errors.append(f'{self.path.relative_to(ROOT)}: {failure}')
        for (begin, end), text in sorted(self.changes, reverse=True):
            self.text = self.text[:begin] + text + self.text[end:]
        return self

    def sections(self):
        """{NAME: what is printed after `== NAME`} of the program beside the page, and the kernels of the page in their order."""
        sections = {}
        with tempfile.TemporaryDirectory() as name:
            for fence in self.fences:
                if fence['kind'] == 'part':
                    (pathlib.Path(name) / fence['name']).write_text(fence['block'])
            for beside in sorted(HERE.glob(f'{self.beside}.*')):
                if beside.suffix == '.py':
                    continue
                command = ['bash', beside] if beside.suffix == '.sh' else [programs.compiled(beside.read_text(), [name])]
                parts = re.split(r'^== (.*)\n', programs.run(command), flags=re.M)
                sections.update(zip(parts[1::2], parts[2::2]))
        specs = [f['name'] for f in self.fences if f['kind'] == 'kernel']
        named = {m['name'] for m in self.fences + self.paragraphs if m['kind'] == 'run'}
        self.errors += [f'{self.path.name}: {n}: no page has it' for n in sections if n and n not in named and not n.startswith('figure')]
        return sections, kernels_of(specs) if specs else []

    def check_blocks(self, sections, kernels):
        program = '\n'.join(beside.read_text() for beside in HERE.glob(f'{self.beside}.*'))
        printed = self.run_blocks()
        for fence in self.fences:
            words, kind, name = fence['info'].split(), fence['kind'], fence['name']
            self.count += kind in OF_BLOCKS or words[:1] == ['output'] or len(words) > 1
            if fence['info'].startswith('cpp from='):
                try:
                    now = source.excerpt(fence['info'].removeprefix('cpp from='))
                except source.NotThere as wrong:
                    self.error(fence, f'{fence["info"]}: {wrong}')
                    continue
                if plain(now) != plain(fence['block']):
                    self.write(fence, 'block', now)
            elif fence['info'] == 'cpp sketch' and fence['block'].count('\n') > 8:
                self.error(fence, 'a sketch has at most 8 lines')
            elif words == ['output']:
                now = printed.pop(0)
                if now is NOT_RUN:
                    continue
                if now is None:
                    self.error(fence, 'no block before it runs')
                elif not same(now, fence['block']):
                    self.write(fence, 'block', now.strip('\n') + '\n')
            elif kind in ('run', 'kernel'):
                now = kernels.pop(0) if kind == 'kernel' else sections.get(name)
                if now is None:
                    self.error(fence, f'no program prints {name}')
                elif not same(now, fence['block']):
                    self.write(fence, 'block', now.strip('\n') + '\n')
            elif kind == 'part' and f'#include "{name}"' not in program:
                self.error(fence, f'the program of the page does not include "{name}"')
            elif kind is None and not KNOWN.fullmatch(fence['info']):
                self.error(fence, f'a block `{fence["info"]}` says neither where it is from nor that it runs')
            elif kind is not None and kind.split()[0] not in OF_BLOCKS:
                self.error(fence, f'a marker of another kind: {kind}')

    def run_blocks(self):
        """What is printed before each block `output`, in their order; None where nothing ran."""
        body, outside, order = '', '', []  # what there is, in its order, with what its text needs
        for fence in self.fences:
            words = fence['info'].split()
            line = f'#line {self.text.count(chr(10), 0, fence.start("block")) + 1} "{self.path.relative_to(ROOT)}"\n'
            if words == ['output']:
                order.append(('output', None))
            elif words[:2] == ['sh', 'run']:
                order.append(('sh', fence))
            elif words[:2] == ['cpp', 'run']:
                block = line + fence['block']
                ranks = next((map(int, word[6:].split(',')) for word in words if re.fullmatch(r'ranks=\d(,\d)*', word)), ())
                if 'error' in words:
                    # Who fails takes the other ranks along: not before these have said the same.
                    wait = '#include <thread>\nstd::this_thread::sleep_for(std::chrono::seconds(2));' if ranks else ''
                    block = f'try {{\n{block}}} catch (const teeny::Error& error) {{ std::cout << error.what() << "\\n";\n{wait}\n}}\n'
                if ranks:
                    order.append(('ranks', (block, ranks, outside, 'error' in words)))
                elif 'alone' in words:
                    order.append(('alone', (block, dict(w.split('=', 1) for w in words if '=' in w), outside)))
                elif 'global' in words:
                    outside += block
                else:
                    body += f'std::cout << "\\x1e" << std::flush;\n{block}'
                    order.append(('run', None))
        printed = programs.output_of(programs.whole(outside, body)).split('\x1e')[1:] if body else []
        result, now = [], None
        for kind, what in order:
            if kind == 'output':
                result.append(now)
                now = None
                continue
            if kind == 'run':
                text = printed.pop(0)
            elif kind == 'alone':
                block, environment, before = what
                text = programs.output_of(block if 'int main(' in block else programs.whole(before, block), **environment)
            elif kind == 'ranks':
                block, counts, before, may_fail = what
                if not programs.has_mpi():
                    now = NOT_RUN
                    continue
                text = ''.join(programs.output_of_ranks(programs.whole(before, block), count, may_fail) for count in counts)
            else:
                text = programs.run(['bash', '-euo', 'pipefail', '-c', what['block']], clone.path())
                if not self.shows_output(what):
                    continue
            now = text if now is NOT_RUN else (now or '') + text
        if now and now is not NOT_RUN and now.strip():
            self.errors.append(f'{self.path.relative_to(ROOT)}: no block `output` has\n{now}')
        return result

    def shows_output(self, fence):
        behind = [f for f in self.fences if f.start() > fence.start()]
        return bool(behind) and behind[0]['info'] == 'output'

    def check_paragraphs(self, sections):
        for item in self.paragraphs:
            kind, name, error = item['kind'], item['name'], None
            self.count += 1
            if kind == 'registers':
                error = registers(name, item['text'])
            elif kind == 'run':
                error = missing(sections[name], item['text']) if name in sections else 'no program prints it'
            elif kind == 'contents':
                if not same_contents(now := book.contents(name), item['text']):
                    self.write(item, 'text', now.rstrip('\n'))
            elif kind not in OF_PARAGRAPHS:
                error = 'a marker of another kind'
            if error:
                self.error(item, f'{kind}: {name}: {error}')

    def check_figures(self, sections):
        shown = set(re.findall(r'!\[[^\]]+\]\(figures/([\w-]+)\.svg\)', self.text))
        script = HERE / f'{self.beside}.py'
        drawn = {}
        if script.exists():
            spec = importlib.util.spec_from_file_location(self.path.stem.replace('-', '_'), script)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            drawn = {f'{self.path.stem[:2]}-{name}': svg for name, svg in module.figures(sections).items()}
        self.count += len(drawn)
        for name in sorted(shown ^ set(drawn)):
            self.errors.append(f'{self.path.name}: the figure {name} is {"shown, and not drawn" if name in shown else "drawn, and not shown"}')
        for name, svg in drawn.items():
            kept = ROOT / 'notes' / 'figures' / f'{name}.svg'
            if not kept.exists() or not same_picture(svg, kept.read_text()):
                self.drawn.append((kept, svg))

    def anew(self):
        """What is to be written: (file, text)."""
        own = [(self.path, self.text)] if self.text != self.path.read_text() else []
        return own + self.drawn


def main():
    checks = '--check' in sys.argv[1:]
    asked = [a for a in sys.argv[1:] if a != '--check']
    programs.library('cpu')
    paths = [*sorted(ROOT.glob('notes/*.md')), ROOT / 'README.md']
    asked = [pathlib.Path(a.zfill(2) if a.isdigit() else a).name for a in asked]  # 2, 02, 02-views.md or notes/02-views.md
    of_nothing = [a for a in asked if not any(p.name.startswith(a) for p in paths)]
    if of_nothing:
        sys.exit(f'no page begins with {of_nothing[0]}')
    paths = [p for p in paths if p.name != 'code_tour.md' and (not asked or any(p.name.startswith(a) for a in asked))]
    try:
        with ThreadPoolExecutor(2) as pool:
            pages = list(pool.map(lambda path: Page(path).check(), paths))
    finally:
        clone.close()
    errors = [error for page in pages for error in page.errors]
    errors += book.errors(pages)
    for page in pages:
        for file, text in page.anew():
            if checks:
                errors.append(f'{file.relative_to(ROOT)}: a run gives something else (make notes writes it, git diff shows it)')
                if os.environ.get('CI'):
                    print(subprocess.run(['diff', file, '-'], input=text, stdout=subprocess.PIPE, text=True).stdout)
            else:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
                print(f'{file.relative_to(ROOT)}: written anew')
    print('\n'.join(errors), end='\n' if errors else '')
    cpp = sum(len(page.cpp) for page in pages)
    sketches = sum(len(page.sketches) for page in pages)
    print(f'{len(pages)} pages, {sum(page.count for page in pages)} listings and figures, of {cpp} blocks of C++ {cpp - sketches} are '
          f'compiled or generated; {len(errors)} wrong')
    sys.exit(bool(errors))


if __name__ == '__main__':
    main()
