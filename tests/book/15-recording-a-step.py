"""The figures of notes/15-recording-a-step.md: the temporaries of a call in the blocks that they share; a program file; what a guard
leaves of a view's addresses."""
import json
import re
import struct

import svg

LETTER, LINE = 8.43, 19


def lives(section):
    found = [tuple(map(int, line.split())) for line in section.strip().split('\n')]  # bytes, first, last, block
    kernels, blocks = max(f[2] for f in found) + 1, max(f[3] for f in found) + 1
    size = [max(f[0] for f in found if f[3] == b) for b in range(blocks)]
    left, column, top, scale = 120, 22, 50, 88 / max(size)
    high = [max(30, s * scale) for s in size]
    picture = svg.Picture(left + column * kernels + 24, top + sum(high) + 8 * blocks + 20,
                          f'{len(found)} temporaries of {kernels} kernels in {blocks} blocks: in each block one life ends before the next begins')
    picture.text(left + column * kernels / 2, 14, 'kernels, one after the other', 'dim', words=True)
    for k in range(kernels):
        picture.text(left + column * (k + 0.5), 36, k, 'dim', small=True)
    y = top
    for b in range(blocks):
        picture.text(12, y + high[b] / 2 - 8, f'block {b}', f'{"abcde"[b % 5]}', 'start', words=True)
        picture.text(12, y + high[b] / 2 + 10, f'{size[b] // 1024} KiB', 'dim', 'start', words=True, small=True)
        picture.rect(left, y, column * kernels, high[b], 'soft', None, 0)
        for n, first, last, block in found:
            if block == b:
                tall = max(26, n * scale)
                picture.rect(left + column * first + 1, y + high[b] - tall, column * (last - first + 1) - 2, tall,
                             f'soft-{"abcde"[b % 5]}', 'abcde'[b % 5], 2, tip=f'written by kernel {first}, last read by kernel {last}')
                picture.text(left + column * (first + last + 1) / 2, y + high[b] - tall / 2, n // 1024, 'abcde'[b % 5], small=True)
        y += high[b] + 8
    return picture.svg()


def program_file(section):
    """The bytes, and of the header the first call, a line for each part, in the colours of its slots."""
    data = bytes(int(word) for word in section.split())
    length = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + length])
    call = json.loads(header['__metadata__']['teeny.program'])['calls'][0]
    name, weight = next((name, entry) for name, entry in header.items() if name != '__metadata__')
    one_line = lambda value: json.dumps(value, separators=(',', ':'))
    kernel = call['kernels'][0]
    colours = ['a', 'b', 'c']  # of slots 0, 1, 2
    slots = [one_line(slot) for slot in call['slots']]
    lines = []  # pieces of text with their colours, and what a line is

    def add(*pieces, says=''):
        lines.append(([(text, 'ink') if isinstance(text, str) else text for text in pieces], says))

    port = lambda port: (one_line(port), colours[port['slot']])
    operand = lambda operand: (one_line(operand), colours[operand['slot']])
    add('"inputs":[', port(call['inputs'][0]), ']')
    add('"outputs":[', port(call['outputs'][0]), ']')
    pieces = [piece for slot, colour in zip(slots, colours) for piece in ((slot, colour), ',')]
    add('"slots":[', *pieces[:-1], ']')
    add('"kernels":[{"kind":' + one_line(kernel['kind']) + ',"shape":' + one_line(kernel['shape']) + ',"inner":' + one_line(kernel['inner']) + ',')
    for i, given in enumerate(kernel['inputs']):
        if 'guards' in given:
            plain = {key: value for key, value in given.items() if key != 'guards'}
            add('    ', (one_line(plain)[:-1] + ',', colours[given['slot']]), says=f'input {i}')
            add('     ', ('"guards":' + one_line(given['guards']) + '}', colours[given['slot']]), ',')
        else:
            add('  "inputs":[' if i == 0 else '    ', operand(given), ']' if given is kernel['inputs'][-1] else '', ',', says=f'input {i}')
    for v, (op, dtype, *args) in enumerate(kernel['program']):
        says = f'value {v}: ' + (f'input {args[0]}' if op == 'Load' else f'value {args[0]} {"−" if op == "Sub" else "×"} value {args[1]}')
        end = ']' if v + 1 == len(kernel['program']) else ''
        add('  "program":[' if v == 0 else '    ', one_line([op, dtype, *args]) + end + ',', says=says)
    add('  "outputs":[', operand(kernel['outputs'][0]), ']}],')

    picture = svg.Picture(700, 206 + LINE * len(lines), 'A program file: eight bytes with the length of the header; the header, in which a '
                          'call names its input, its output, three slots, and one kernel whose operands are slots; the bytes of the weight')
    left = 62
    picture.text(left - 12, 18, 'byte', 'dim', 'end', words=True, small=True)
    picture.text(left - 12, 46, 0, 'dim', 'end', small=True)
    for i, byte in enumerate(data[:8]):
        picture.rect(left + 30 * i, 32, 30, 28, 'soft', 'dim', 0, 1)
        picture.text(left + 30 * (i + 0.5), 46, f'{byte:02x}', small=True)
    picture.text(left + 8 * 30 + 14, 46, f'length of the header: {length}', 'dim', 'start', words=True)
    top, height = 76, LINE * len(lines) + 48
    picture.rect(left, top, 700 - left - 8, height, 'soft', 'dim', 0, 1)
    picture.text(left - 12, top + 18, 8, 'dim', 'end', small=True)
    picture.text(left + 10, top + 18, 'From the header: parts of the call, without the \\ before each "', 'dim', 'start', words=True, small=True)
    for row, (pieces, says) in enumerate(lines):
        y, x = top + 44 + LINE * row, left + 10
        for text, colour in pieces:
            picture.text(x + LETTER * (len(text) - len(text.lstrip())), y, text.lstrip(), colour, 'start', size=13)
            x += 7.83 * len(text)
        picture.text(682, y, says, 'dim', 'end', words=True, small=True)
    y = top + height + 22
    first, last = weight['data_offsets']
    picture.text(left - 12, y + 14, 8 + length + first, 'dim', 'end', small=True)
    for i in range(first, last):
        picture.rect(left + 30 * i, y, 30, 28, 'soft-b', 'b', 0, 1)
        picture.text(left + 30 * (i + 0.5), y + 14, f'{data[8 + length + i]:02x}', small=True)
    picture.text(left + 30 * last + 14, y + 14, f'{name}, {weight["dtype"]}', 'b', 'start', words=True)
    for i, value in enumerate(struct.unpack(f'<{(last - first) // 4}f', data[8 + length + first:8 + length + last])):
        picture.text(left + 30 * (4 * i + 2), y + 42, f'{value:g}', 'b')
    return picture.svg()


def inside(section):
    """Two views on lines of numbers, side by side."""
    views = [tuple(map(int, line.split())) for line in section.strip().split('\n')]
    picture = svg.Picture(700, 250, 'Intervals on a line of numbers. Left: all addresses, what the guard lets through, and what is in both lies '
                          'in the slot. Right: what is in both reaches one element behind the slot')
    step = 38
    for k, (offset, low, high, size, least, greatest, elements) in enumerate(views):
        zero = 150 + 350 * k + (40 if k == 0 else 0)  # where address 0 begins
        place = lambda address: zero + step * address
        fits = 0 <= least and greatest < elements
        sign = f'− {-offset}' if offset < 0 else f'+ {offset}'

        def bar(y, first, last, colour, name, says=''):
            picture.rect(place(first) + 2, y, step * (last - first + 1) - 4, 24, f'soft-{colour}', colour)
            picture.text(place((first + last + 1) / 2), y + 12, f'{first} .. {last}', colour)
            picture.text(20 + 350 * k, y + (5 if says else 12), name, 'ink', 'start', words=True, small=True)
            picture.text(20 + 350 * k, y + 20, says, 'dim', 'start', small=True)

        picture.text(20 + 350 * k, 16, 'as it is saved' if k == 0 else 'with other numbers', 'ink', 'start', words=True, bold=True)
        bar(40, low, high, 'a', 'all addresses', f'i {sign}')
        bar(84, 0, size - 1, 'd', 'the guard', f'0 <= i {sign} < {size}')
        bar(128, least, greatest, 'c' if fits else 'b', 'both')
        for address in (least, greatest + 1):
            picture.line(place(address), 156, place(address), 178, 'c' if fits else 'b', 1, dash='3 3')
        for address in range(elements):
            picture.rect(place(address), 180, step, 28, 'soft', 'dim', 0, 1)
            picture.text(place(address + 0.5), 194, address)
        if not fits:
            picture.rect(place(elements), 180, step * (greatest + 1 - elements), 28, None, 'b', 0, 1, dash='4 3')
            picture.text(place(elements + 0.5), 194, elements, 'b')
        picture.text(20 + 350 * k, 194, 'slot 0', 'ink', 'start', words=True, small=True)
        picture.text(20 + 350 * k, 232, 'inside: accepted' if fits else 'outside: refused', 'c' if fits else 'b', 'start', words=True)
    return picture.svg()


def figures(sections):
    return {'lives': lives(sections['figure lives']), 'file': program_file(sections['figure file']),
            'inside': inside(sections['figure inside'])}
