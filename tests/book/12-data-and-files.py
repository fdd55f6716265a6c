"""The figure of notes/12-data-and-files.md."""
import json
import struct

import svg

WIDE = 70  # letters of the header in a line
LETTER, LINE = 8.43, 19


def file_in_bytes(section):
    data = bytes(int(word) for word in section.split())
    length = struct.unpack('<Q', data[:8])[0]
    header = data[8:8 + length].decode()
    begin = 8 + length
    entries = {name: entry for name, entry in json.loads(header).items() if name != '__metadata__'}
    text = header.rstrip(' ')
    padding = len(header) - len(text)
    lines = [text[i:i + WIDE] for i in range(0, len(text), WIDE)]
    picture = svg.Picture(700, 244 + LINE * len(lines), 'A safetensors file: eight bytes with the length of the header, the header as JSON '
                          'text and spaces, and the bytes of two tensors, to which the header points')
    left = 74

    def places(y, at):
        picture.text(left - 12, y, at, 'dim', 'end', small=True)

    picture.text(left - 12, 18, 'byte', 'dim', 'end', words=True, small=True)
    for i, byte in enumerate(data[:8]):
        picture.rect(left + 34 * i, 32, 34, 28, 'soft-a', 'a', 0, 1)
        picture.text(left + 34 * (i + 0.5), 46, f'{byte:02x}')
    places(46, 0)
    picture.text(left + 8 * 34 + 14, 46, f'length of the header: {length}', 'a', 'start', words=True)

    top, height = 78, LINE * len(lines) + 34
    picture.rect(left, top, 700 - left - 10, height, 'soft', 'dim', 0, 1)
    places(top + 16, 8)
    # A letter's colour is that of the tensor whose entry it is in.
    colours = ['dim'] * len(text)
    for colour, name in zip('bc', entries):
        start = text.index(f'"{name}":{{')
        stop = text.index('}', start) + 1
        colours[start:stop] = [colour] * (stop - start)
    for row, line in enumerate(lines):
        first = 0
        while first < len(line):
            colour, last = colours[row * WIDE + first], first
            while last < len(line) and colours[row * WIDE + last] == colour:
                last += 1
            picture.text(left + 10 + first * LETTER, top + 16 + LINE * row, line[first:last], colour, 'start')
            first = last
    picture.text(left + 10, top + height - 14, f'and {padding} spaces, so that the elements begin at a multiple of 64', 'dim', 'start', words=True,
                 small=True)

    y = top + height + 46
    places(y + 14, begin)
    for colour, (name, entry) in zip('bc', entries.items()):
        first, last = entry['data_offsets']
        values = struct.unpack(f'<{(last - first) // 4}{"f" if entry["dtype"] == "F32" else "i"}', data[begin + first:begin + last])
        for i in range(first, last):
            picture.rect(left + 30 * i, y, 30, 28, f'soft-{colour}', colour, 0, 1)
            picture.text(left + 30 * (i + 0.5), y + 14, f'{data[begin + i]:02x}', small=True)
        for i, value in enumerate(values):
            picture.text(left + 30 * (first + 4 * i + 2), y + 44, f'{value:g}', colour)
        shape = ', '.join(str(size) for size in entry['shape'])
        picture.text(left + 30 * (first + last) / 2, y - 20, f'{name}: bytes {first} to {last}', colour, words=True, small=True)
        picture.text(left + 30 * (first + last) / 2, y + 68, f'{entry["dtype"]} ({shape})', colour, words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'bytes': file_in_bytes(sections['figure bytes'])}
