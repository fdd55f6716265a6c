"""The figures of notes/02-views.md: where the elements of views lie."""
import svg

LETTERS = 'abcdefgh'


def views(section):
    """(text, addresses) of each line."""
    lines = [line.split('\t') for line in section.strip().split('\n')]
    return [(text, [int(a) for a in addresses.split()]) for text, addresses in lines]


def buffer(picture, x, y, count, size=40):
    """The memory: a row of letters over their addresses."""
    picture.cells(x, y, [LETTERS[:count]], size, 'soft')
    for i in range(count):
        picture.text(x + (i + 0.5) * size, y + size + 12, i, 'dim', small=True)
    return lambda address: x + (address + 0.5) * size


def strides(section):
    picture = svg.Picture(640, 300, 'A buffer of six elements, read with strides (3, 1) as 2 rows of 3, and with (1, 3) as 3 rows of 2')
    picture.text(30, 24, 'the buffer, and addresses', 'dim', 'start', words=True)
    place = buffer(picture, 30, 44, 6)
    for (text, addresses), x, columns, colour in zip(views(section), (60, 420), (3, 2), 'ab'):
        rows = [[LETTERS[a] for a in addresses[i:i + columns]] for i in range(0, 6, columns)]
        picture.cells(x, 160, rows, 40, f'soft-{colour}')
        picture.text(x + columns * 20, 140, text, colour)
    picture.text(350, 64, 'one step along a row of the matrix:', 'dim', 'start', words=True, small=True)
    for k, (colour, stride) in enumerate((('a', 1), ('b', 3))):
        picture.text(350, 84 + 20 * k, f'{"as it is" if k == 0 else "transposed"}: {stride} address{"es" if stride > 1 else ""} on', colour,
                     'start', words=True, small=True)
    picture.path([(place(0), 44), (place(0) + 4, 36), (place(1) - 4, 36), (place(1), 43)], 'a', arrow=True)
    picture.path([(place(0), 106), (place(0) + 4, 118), (place(3) - 4, 118), (place(3), 106)], 'b', arrow=True)
    return picture.svg()


def guard(section):
    (text, addresses), = views(section)
    picture = svg.Picture(640, 190, 'Six indices of a padded row: three have an address in the buffer, the others read as 0')
    picture.text(20, 22, text, 'ink', 'start')
    for i, address in enumerate(addresses):
        x = 60 + 60 * i
        there = address >= 0
        picture.rect(x, 50, 60, 40, 'soft-a' if there else None, 'ink', 0, 1.5, None if there else '4 4')
        picture.text(x + 30, 70, LETTERS[address] if there else '0', 'ink' if there else 'dim')
        picture.text(x + 30, 38, i, 'dim', small=True)
        if there:
            picture.line(x + 30, 92, 90 + 60 * address + 60, 136, 'a', arrow=True)
    picture.text(440, 70, 'index i', 'dim', 'start', words=True)
    picture.cells(120, 140, [LETTERS[:3]], 60, 'soft', height=34)
    picture.text(440, 157, 'the buffer: address i - 1', 'dim', 'start', words=True)
    return picture.svg()


def windows(section):
    (_, row), (text, taps) = views(section)
    picture = svg.Picture(640, 270, 'Four windows of three taps over a padded row of four; the first and the last tap fall on padding')
    picture.text(20, 22, text, 'ink', 'start')
    place = buffer(picture, 80, 50, 4, 44)
    for address in (-1, 4):
        picture.rect(place(address) - 22, 50, 44, 44, None, 'dim', 0, 1.5, '4 4')
        picture.text(place(address), 72, '0', 'dim')
    for window in range(4):
        x, y = 80 + (window - 1) * 44, 124 + 32 * window
        for tap in range(3):
            address = taps[3 * window + tap]
            picture.rect(x + 44 * tap, y, 44, 26, 'soft-b' if address >= 0 else None, 'b', 0, 1.5, None if address >= 0 else '4 4')
            picture.text(x + 44 * (tap + 0.5), y + 13, LETTERS[address] if address >= 0 else '0', 'ink' if address >= 0 else 'dim')
        picture.text(360, y + 13, f'window {window}: addresses {", ".join("none" if a < 0 else str(a) for a in taps[3 * window:][:3])}',
                     'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'strides': strides(sections['figure strides']), 'guard': guard(sections['figure guard']),
            'windows': windows(sections['figure windows'])}
