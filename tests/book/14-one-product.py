"""The figure of notes/14-one-product.md: the register tile of a machine with 32 registers, from the constants of the source."""
import re

import source
import svg

REGISTERS, LANES = 32, 16  # AVX-512


def constant(file, name):
    """The value that a line `constexpr .. name.. = a > b ? c : d;` or `{ return ..; }` has, as Python."""
    text = (source.ROOT / 'tinyops/cpu/contract' / file).read_text()
    value = re.search(rf'{re.escape(name)} ?(?:= |{{ return )(.*?);', text)[1]
    value = re.sub(r'(.+) \? (.+) : (.+)', r'(\2) if (\1) else (\3)', value)
    return value.replace('std::', '').replace('/', '//').replace('kRegisters', str(REGISTERS))


def tile():
    packets = int(constant('row_panels.h', 'kMaxPackets'))
    near = eval(constant('micro_kernel.h', 'max_near(int packets)'), {'packets': packets})
    columns = min(eval(constant('micro_kernel.h', 'kColumns')), near)
    sums, loads = packets * columns, packets + columns
    picture = svg.Picture(680, 390, f'A tile of {packets} packets by {columns} columns: {sums} sums, which stay in registers while r goes on')
    x, y, wide, high = 250, 92, 44, 46
    picture.text(x + wide * columns / 2, 22, f'one element of each of {columns} columns, in all {LANES} lanes', 'b', words=True)
    picture.text(110, 58, f'a panel: {packets} packets of rows', 'a', words=True)
    for p in range(packets):
        for k in range(3):
            picture.rect(30 + 60 * k, y + high * p, 56, high - 6, 'soft-a' if k == 2 else 'soft', 'a' if k == 2 else 'rule')
            for lane in range(1, 4):
                picture.line(30 + 60 * k + 14 * lane, y + high * p + high - 12, 30 + 60 * k + 14 * lane, y + high * p + high - 6,
                             'a' if k == 2 else 'rule', 1)
            picture.text(58 + 60 * k, y + high * p + high / 2 - 6, f'a{p}', 'a' if k == 2 else 'dim', small=True)
        picture.line(206, y + high * (p + 0.5) - 3, x - 5, y + high * (p + 0.5) - 3, 'a', arrow=True)
    for k, label in enumerate(('2 later', 'next', 'r now')):
        picture.text(58 + 60 * k, y + high * packets + 8, label, 'a' if k == 2 else 'dim', small=True)
    for j in range(columns):
        picture.rect(x + wide * j, 40, wide - 6, 28, 'soft-b', 'b')
        picture.text(x + wide * (j + 0.5) - 3, 54, f'b{j}', 'b', small=True)
        picture.line(x + wide * (j + 0.5) - 3, 70, x + wide * (j + 0.5) - 3, y - 4, 'b', arrow=True)
        for p in range(packets):
            picture.rect(x + wide * j, y + high * p, wide - 6, high - 6, 'soft-c', 'c')
            for lane in range(1, 4):
                picture.line(x + wide * j + (wide - 6) * lane / 4, y + high * p + high - 12, x + wide * j + (wide - 6) * lane / 4,
                             y + high * p + high - 6, 'c', 1)
            picture.text(x + wide * (j + 0.5) - 3, y + high * p + high / 2 - 6, '+=', 'c', small=True)
    picture.text(x + wide * columns / 2, y + high * packets + 8, f'for each r: {loads} loads, {sums} multiply-adds of {LANES} floats', 'ink',
                 words=True)
    top, size = 300, 19.6
    picture.text(24, top - 24, f'the {REGISTERS} registers', 'dim', 'start', words=True)
    used = [('c', sums, 'sums'), ('a', packets, 'packets of rows'), ('b', 1, 'element of a column'), (None, REGISTERS - sums - packets - 1, 'free')]
    at = 24
    for colour, count, name in used:
        for k in range(count):
            picture.rect(at + size * k, top, size - 3, 30, f'soft-{colour}' if colour else None, colour or 'rule')
        picture.text(at + size * count / 2 - 2, top + 46 + (18 if colour in ('a', 'b') else 0) + (18 if colour == 'b' else 0), f'{count} {name}', colour or 'dim', words=True,
                     small=True)
        at += size * count
    return picture.svg()


def figures(_):
    return {'tile': tile()}
