"""The figures of notes/08-adjoints-of-movement.md: matrices of movements with their transposes, and windows added up."""
import svg

ASKED = {'expand': '(2, 1) to (2, 3)', 'pad': '1 before, 2 behind', 'flip': '(4,)', 'permute': '(2, 3) to (3, 2)', 'unfold': '4, windows of 2',
         'gather': 'index 0 2 2 1'}


def matrices_of(section):
    """[(name, rows)]"""
    result = []
    for line in section.strip().split('\n'):
        if line[0].isalpha():
            result.append((line, []))
        else:
            result[-1][1].append([int(v) for v in line.split()])
    return result


def grid(picture, x, y, rows, colour, size=15):
    picture.cells(x, y, rows, size, lambda i, j: colour if rows[i][j] else None, text=False)


def matrices(section):
    pairs = matrices_of(section)
    picture = svg.Picture(700, 330, 'The matrices of six movements over those of their gradients: each lower one is the '
                                    'upper one transposed')
    for k in range(0, len(pairs), 2):
        (name, rows), (back, transposed) = pairs[k], pairs[k + 1]
        middle = 62 + 115 * (k // 2)
        picture.text(middle, 20, name, 'a', bold=True)
        picture.text(middle, 40, ASKED[name], 'dim', words=True, small=True)
        grid(picture, middle - len(rows[0]) * 7.5, 56 + (6 - len(rows)) * 7.5, rows, 'a')
        grid(picture, middle - len(transposed[0]) * 7.5, 186 + (6 - len(transposed)) * 7.5, transposed, 'b')
        picture.text(middle, 296, back, 'b', bold=True)
    key = 'blue: the movement; orange: its gradient. A filled cell is 1, an empty one 0'
    picture.text(10, 320, key, 'dim', 'start', words=True, small=True)
    return picture.svg()


def fold(section):
    (_, _), (_, rows) = matrices_of(section)
    picture = svg.Picture(620, 270, 'Gradients of three overlapping windows of three, each over the element it was read '
                                    'from, and their sums')
    names = [f'{window}{tap}' for window in 'abc' for tap in range(3)]
    size, left = 84, 130
    for window in range(3):
        y = 20 + 40 * window
        picture.text(20, y + 15, f'window {"abc"[window]}', 'dim', 'start', words=True)
        for tap in range(3):
            column = 3 * window + tap
            position = next(i for i in range(len(rows)) if rows[i][column])
            picture.rect(left + size * position, y, size, 30, f'soft-{"abc"[window]}', 'abc'[window], 0)
            picture.text(left + size * (position + 0.5), y + 15, names[column], 'abc'[window])
    picture.line(left, 150, left + size * len(rows), 150, 'ink')
    picture.text(20, 185, 'their sum', 'dim', 'start', words=True)
    for i, row in enumerate(rows):
        terms = [names[c] for c, v in enumerate(row) if v]
        picture.rect(left + size * i, 166, size, 38, 'soft', 'ink', 0)
        picture.text(left + size * (i + 0.5), 185, '+'.join(terms), small=len(terms) > 2)
        picture.text(left + size * (i + 0.5), 222, f'x{i}', 'dim')
    picture.text(20, 250, 'an element that was in three windows gets three gradients', 'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'matrices': matrices(sections['figure matrices']), 'fold': fold(sections['figure fold'])}
