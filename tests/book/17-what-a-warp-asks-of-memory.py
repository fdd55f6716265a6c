"""The figures of notes/17-what-a-warp-asks-of-memory.md: sectors of global memory, and banks of shared memory."""
import svg

FLOATS, SHOWN = 8, 16  # of a sector; and the sectors that a strip has room for
NOTES = {'x[256 * i]': '; a column, each in another row'}


def sectors(section):
    lines = [line.split('\t') for line in section.strip('\n').split('\n')]
    picture = svg.Picture(700, 40 + 62 * len(lines), 'Five reads of a warp, and the sectors they touch: 4, 5, 8, 32 and 32')
    left, cell = 120, 4
    width = FLOATS * cell
    for k, (name, count, text) in enumerate(lines):
        addresses = [int(i) for i in text.split()]
        y = 34 + 62 * k
        picture.text(left - 12, y + 12, name, 'ink', 'end')
        touched = sorted({a // FLOATS for a in addresses})
        far = touched[-1] > 2 * len(touched)
        drawn = touched[:SHOWN] if far else range(SHOWN)
        for place, sector in enumerate(drawn):
            x = left + place * width
            picture.rect(x, y, width - (3 if far else 0), 24, 'soft-a' if sector in touched else None,
                         'ink' if sector in touched else 'dim', 0, 1)
            for at in addresses:
                if at // FLOATS == sector:
                    picture.rect(x + at % FLOATS * cell, y + 1, cell - 1, 22, 'a', None, 0)
        used = 100 * len(addresses) / (FLOATS * int(count))
        more = f', {len(touched) - SHOWN} of them not drawn' if len(touched) > SHOWN else ''
        text = f'{count} sectors{more}, {used:g} % used{NOTES.get(name, "")}'
        picture.text(left, y + 38, text, 'dim', 'start', words=True, small=True)
    text = 'memory: a box is a sector of 8 floats; light: touched; full: what the lanes request'
    picture.text(left, 14, text, 'dim', 'start', words=True, small=True)
    return picture.svg()


def banks(section):
    picture = svg.Picture(700, 330, 'The banks of a tile with rows of 32 and with rows of 33; the first column is marked')
    rows, columns, size = 6, 6, 30
    for k, line in enumerate(section.strip().split('\n')):
        width, turns = (int(v) for v in line.split())
        x, y = 60 + 340 * k, 70
        shown = [*range(columns - 1), None, width - 1]
        picture.text(x, 16, f'rows of {width}', 'ink', 'start', words=True, bold=True)
        picture.text(x, 36, f'a column of 32: {turns} turn{"s" if turns > 1 else ""}', 'b' if turns > 1 else 'c', 'start', words=True)
        for i in [*range(rows - 1), None, 31]:
            at = y + size * (rows if i == 31 else rows - 1 if i is None else i)
            picture.text(x - 12, at + size / 2, '..' if i is None else i, 'dim', 'end', small=True)
            for j, column in enumerate(shown):
                if i is None or column is None:
                    picture.text(x + (j + 0.5) * size, at + size / 2, '..', 'dim')
                    continue
                unused = column >= 32
                colour = None if unused else 'soft-b' if column == 0 and turns > 1 else 'soft-c' if column == 0 else 'soft'
                picture.rect(x + j * size, at, size, size, colour, 'dim' if unused else 'ink', 0, 1, '3 3' if unused else None)
                picture.text(x + (j + 0.5) * size, at + size / 2, (i * width + column) % 32, 'dim' if unused else 'ink')
        for j, column in enumerate(shown):
            picture.text(x + (j + 0.5) * size, y - 10, '' if column is None else column, 'dim', small=True)
        picture.text(x, y + 7 * size + 18, f'word {width} * row + column is in bank', 'dim', 'start', words=True, small=True)
        picture.text(x, y + 7 * size + 36, f'({width} * row + column) % 32', 'dim', 'start', small=True)
    return picture.svg()


def figures(sections):
    return {'sectors': sectors(sections['figure sectors']), 'banks': banks(sections['figure banks'])}
