#!/usr/bin/env python3
"""Plants mistakes in pages, and checks that tests/book/notes.py finds each, and nothing in a page that is right."""
import sys

import book
import notes
import programs
import source
from programs import ROOT

RIGHT = '''# A page

```cpp run
std::cout << (Tensor::of({1, 2, 3}) * 2).sum().item() << " of " << 1.0 / 3 << "\\n";
```

```output
12 of 0.33333
```

```cpp run error
Tensor::ones({2, 3}) + Tensor::ones({4});
```

```output
+: (2, 3) and (4,) do not broadcast: sizes 3 and 4 differ and neither is 1
```

```cpp from=tinyops/base/shape.h#Affine
struct Affine {
  Dims coef;
  int64_t offset = 0;

  int64_t at(const Dims& index) const;
  bool operator==(const Affine&) const = default;
};
```

```sh run
ls LICENSE
```

```output
LICENSE
```
'''

RANKS = '''
```cpp run ranks=1,2
std::cout << dist::all_reduce(Tensor(5)).item() << " on rank " << dist::rank() << "\\n";
```

```output
5 on rank 0
10 on rank 0
10 on rank 1
```

```cpp run error ranks=2
dist::all_reduce(Tensor::ones({2 + dist::rank()})).realize();
```

```output
rank 0: all_reduce number 0 of 2 float32, but rank 1: all_reduce number 0 of 3 float32; all ranks must take the same way through the program
rank 1: all_reduce number 0 of 3 float32, but rank 0: all_reduce number 0 of 2 float32; all ranks must take the same way through the program
```
'''

# What is planted: a part of the page, what stands there instead, and what is found: an error with these words, or `anew`, the page
# written otherwise.
PLANTED = [
    ('12 of', '13 of', 'anew'),
    ('0.33333', '0.3341', 'anew'),
    ('0.33333', '0.33', 'anew'),
    ('(4,) do not', '(4,) do', 'anew'),
    ('int64_t offset = 0;', 'int64_t offset = 1;', 'anew'),
    ('  Dims coef;\n', '', 'anew'),
    ('#Affine', '#Afine', 'there is no declaration of Afine'),
    ('from=tinyops/base/shape.h', 'from=tinyops/base/shapes.h', 'there is no file'),
    ('#Affine', '#Affine [int64_t offse1]', 'it has no line with'),
    ('```cpp run\n', '```cpp\n', 'neither where it is from nor that it runs'),
    ('```cpp run\n', '```cpp rum\n', 'neither where it is from nor that it runs'),
    ('```cpp from=', '```cpp form=', 'neither where it is from nor that it runs'),
    ('```sh run\n', '```\n', 'neither where it is from nor that it runs'),
    ('```output\n12 of 0.33333\n```\n', '', 'anew'),
    ('```output\n+: (2, 3) and (4,) do not broadcast: sizes 3 and 4 differ and neither is 1\n```\n', '', 'anew'),
    ('```output\nLICENSE\n```\n', '```output\nNOTICE\n```\n', 'anew'),
    ('ls LICENSE', 'ls LICENCE', 'exit status'),
    ('.sum()', '.sun()', 'has no member named'),
    ('```cpp from=tinyops/base/shape.h#Affine\n', '```cpp sketch\n//\n//\n//\n', 'a sketch has at most 8 lines'),
    ('# A page\n', '# A page\n\n<!-- runs: x -->\nA paragraph.\n', 'a marker of another kind'),
    ('# A page\n', '# A page\n\n<!-- run: x -->\nA paragraph.\n', 'no program prints it'),
    ('# A page\n', '# A page\n\n![a picture](figures/99-none.svg)\n', 'is shown, and not drawn'),
    ('+ Tensor::ones({4})', '+ Tensor::ones({3})', 'anew'),
]
OF_RANKS = [
    ('10 on rank 1', '11 on rank 1', 'anew'),
    ('run ranks=1,2', 'run ranks=2', 'anew'),
    ('run ranks=1,2', 'run ranks=two', 'neither where it is from nor that it runs'),
    ('run error ranks=2', 'run ranks=2', 'exit status'),
    ('of 3 float32, but', 'of 4 float32, but', 'anew'),
]


# What is changed in a picture, and whether it is another one then.
PICTURE = """<svg width="600" height="90">
<style>.f-a{fill:#0969da}</style>
<rect x="10.5" y="20.0" width="30.0" height="20.0" class="f-a" stroke-width="1.5"/>
<rect x="50.5" y="20.0" width="30.0" height="20.0" class="f-a" opacity="0.25"/>
<path d="M1.0,2.0 L30.5,40.0"/>
<text x="5.0" y="7.0" class="f-dim">1.8</text>
<text x="5.0" y="7.0" class="f-ink">[0, 3) from 0.1000976</text>
</svg>
"""
CHANGED = [('10.5', '11.5', False), ('10.5', '19.5', True), ('L30.5,40.0', 'L31.5,41.0', False), ('L30.5,40.0', 'L30.5,50.0', True),
           ('1.8', '1.81', False), ('1.8', '1.9', True), ('[0, 3)', '[1, 3)', True), ('0.1000976', '0.1000977', False),
           ('0.1000976', '0.9', True), ('#0969da', '#0969db', True), ('class="f-a"', 'class="f-b"', True), ('"0.25"', '"0.3"', False),
           ('"0.25"', '"0.75"', True), ('from', 'to', True)]


def check(text):
    path = ROOT / 'build' / 'book' / '99-planted.md'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    page = notes.Page(path).check()
    return page.errors, page.anew()


def main():
    programs.library('cpu')
    missed = []
    planted = [(RIGHT, *plant) for plant in PLANTED] + [(RANKS, *plant) for plant in OF_RANKS if programs.has_mpi()]
    for page in sorted({page for page, *_ in planted}):
        errors, anew = check(page)
        if errors or anew:
            missed.append(f'a page that is right: {errors}{[text for _, text in anew]}')
    for page, before, after, words in planted:
        assert before in page, before
        errors, anew = check(page.replace(before, after, 1))
        if not (errors or anew) or words != 'anew' and not any(words in error for error in errors):
            missed.append(f'{before!r} instead of {after!r}: {errors}{[text for _, text in anew]}')
    has_mpi, programs.has_mpi = programs.has_mpi, lambda: False
    errors, anew = check(RANKS.replace('10', '11'))
    if errors or anew:
        missed.append(f'a page of many ranks where there is no MPI: {errors}{[text for _, text in anew]}')
    programs.has_mpi = has_mpi
    for before, after, is_another in CHANGED:
        assert before in PICTURE, before
        if notes.same_picture(PICTURE.replace(before, after, 1), PICTURE) == is_another:
            missed.append(f'a picture with {after!r} instead of {before!r} is {"not " if is_another else ""}another one')
    # Declarations are found whole, whatever stands in their comments and strings.
    for request, begins, ends in [('teeny/graph/lazy.cpp#ShapeTracker::reshape', 'ShapeTracker ShapeTracker::reshape(', '\n}\n'),
                                  ('teeny/graph/lazy.h#ShapeTracker::views', 'std::span<const View> views()', '}\n'),
                                  ('tinyops/base/shape.h#Interval', 'struct Interval', '};\n'),
                                  ('tinyops/kernel.h#Kernel', 'using Kernel', ';\n')]:
        text = source.excerpt(request)
        if not text.startswith(begins) or not text.endswith(ends) or text.count('{') != text.count('}'):
            missed.append(f'{request}: {text}')
    long, few = notes.Page(ROOT / 'notes' / '02-views.md'), notes.Page(ROOT / 'notes' / '02-views.md')
    long.text = long.text.replace('\n', '\n\n', book.MOST_LINES)
    few.text = few.text.partition('## Try it')[0] + '## Try it\n\n- One.\n'
    for page, words in ((long, f'{book.MOST_LINES} is the most'), (few, 'three to five things to try, not 1')):
        if not any(words in wrong for wrong in book.errors([page])):
            missed.append(f'a chapter of which should be said: {words}')
    row = '| 05 | [The lazy graph](05-the-lazy-graph.md) | 9 | 34, for 860 lines | 25, [09](exercises/09-destroy.md) |'
    for now, is_same in ((row.replace('860', '880'), True), (row.replace('860', '1,000'), False), (row.replace('[09]', '[08]'), False),
                         (row.replace('lazy graph', 'eager graph'), False)):
        if notes.same_contents(now, row) != is_same:
            missed.append(f'contents that {"have not" if is_same else "have"} changed: {now}')
    before = book.source_files
    book.source_files = lambda: before() + ['teeny_of_nobody/x.cpp']
    if not any('teeny_of_nobody/x.cpp is read beside no chapter' in wrong for wrong in book.reading()[1]):
        missed.append('a source file of no chapter')
    print('\n'.join(missed) or f'{len(planted) + len(CHANGED) + 8} planted mistakes, each is found')
    sys.exit(bool(missed))


main()
