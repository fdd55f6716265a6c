#!/usr/bin/env python3
"""Writes examples/unicode_table.h: which code points are letters (\\p{L}) and numbers (\\p{N}).

    python unicode_table.py > examples/unicode_table.h

They are asked of the package `tokenizers`, one by one: a code point is a letter where GPT-2's pattern takes it into one
piece with an `a`, and a number where it does so with a `1`. So the table is exactly what the published tokenizer has. Its
version of Unicode shows in what it does not know yet: the tests of AGE below.
"""
import itertools

import tokenizers
from tokenizers import pre_tokenizers

AGE = [('16.0', 0x105C0, True), ('17.0', 0xA7CE, False)]  # letters that came with this version, and whether they are known

split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(beside):
    known = {c for c in POINTS if len(split(beside + chr(c))) == 1}
    found = []
    for _, group in itertools.groupby(sorted(known), key=lambda c, n=itertools.count(): c - next(n)):
        run = list(group)
        found.append((run[0], run[-1]))
    return found


def table(name, rows):
    print(f'inline constexpr CodePointRange {name}[] = {{')
    line = '   '
    for first, last in rows:
        item = f' {{0x{first:X}, 0x{last:X}}},'
        if len(line) + len(item) > 120:
            print(line)
            line = '   '
        line += item
    print(line)
    print('};')


letters = ranges('a')
for version, point, known in AGE:
    assert any(first <= point <= last for first, last in letters) == known, version
print('#pragma once')
print(f'// Written by tests/interop/unicode_table.py: Unicode 16.0, as in the package tokenizers {tokenizers.__version__}.')
print()
print('namespace examples {')
print()
print('struct CodePointRange {')
print('  char32_t first, last;')
print('};')
print()
print('// clang-format off')
table('kLetters', letters)
print()
table('kNumbers', ranges('1'))
print('// clang-format on')
print()
print('}  // namespace examples')
