"""The figures of notes/19-products-on-a-gpu.md: what a product asks of memory, and which thread has which elements."""
import math

import svg

FROM_MEMORY, FROM_BANKS = 4250 / (51000 / 2), 1  # bytes that an H200 can feed a multiply-add: see the page


def matrix(section):
    return [[int(v) for v in line.split()] for line in section.strip().split('\n')]


def ladder(section):
    rows = [line.split('\t') for line in section.strip().split('\n')]
    picture = svg.Picture(700, 330, 'Bytes for a multiply-add, on a logarithmic scale: from kernel to kernel less of global memory is '
                                    'asked, then less of shared memory')
    width, low, high = 220, -2, 2
    place = lambda x, value: x + (math.log10(value) - low) / (high - low) * width
    for x, column, title, limit, colour in ((170, 1, 'global memory, in sectors', FROM_MEMORY, 'a'),
                                            (440, 2, 'shared, in turns of 128 bytes', FROM_BANKS, 'b')):
        picture.text(x, 22, title, colour, 'start', words=True)
        for power in range(low, high + 1):
            at = x + (power - low) / (high - low) * width
            picture.line(at, 40, at, 270, 'rule', 1)
            picture.text(at, 282, f'{10.0 ** power:g}', 'dim', small=True)
        for i, row in enumerate(rows):
            value = float(row[column])
            y = 52 + 36 * i
            if value > 0:
                picture.rect(x, y, place(x, value) - x, 22, f'soft-{colour}', colour, 0)
                picture.text(x + 6, y + 11, f'{value:.3f}', 'ink', 'start', small=True)
            else:
                picture.text(x + 6, y + 11, 'none' if value == 0 else 'not counted', 'dim', 'start', words=True, small=True)
        picture.line(place(x, limit), 36, place(x, limit), 272, 'ink', 2, '5 4')
        picture.text(place(x, limit), 306, f'an H200 can feed {limit:.3g}', 'ink', words=True, small=True)
    for i, row in enumerate(rows):
        picture.text(160, 63 + 36 * i, row[0], 'ink', 'end')
    return picture.svg()


def hierarchy(section):
    owners = matrix(section)
    picture = svg.Picture(700, 366, 'The matrix of sums in blocks, one block in its two warps, and the 8 by 8 sums of one of its threads')
    me, size, side = 9, 128, 64
    blocks = [[v // 1000 for v in row] for row in owners]
    scale = 1.25
    picture.text(16, 20, f'c, {size} x {size}', 'ink', 'start', words=True)
    picture.text(16, 40, 'a block has a tile', 'dim', 'start', words=True, small=True)
    for block in sorted({b for row in blocks for b in row}):
        at = [(i, j) for i in range(size) for j in range(size) if blocks[i][j] == block]
        (top, left), (bottom, right) = min(at), max(at)
        picture.rect(16 + left * scale, 60 + top * scale, (right - left + 1) * scale, (bottom - top + 1) * scale,
                     'soft-a' if block == 0 else None, 'ink', 0, 1)
        picture.text(16 + (left + right + 1) / 2 * scale, 60 + (top + bottom + 1) / 2 * scale, f'block {block}', words=True, small=True)
    x, y, scale = 210, 60, 4
    picture.text(x, 20, f'block 0, {side} x {side}', 'a', 'start', words=True)
    picture.text(x, 40, 'blue rows: warp 0, grey: warp 1', 'dim', 'start', words=True, small=True)
    warp = [owners[i][0] // 32 for i in range(side)]
    first = 0
    for i in range(1, side + 1):
        if i == side or warp[i] != warp[first]:
            picture.rect(x, y + first * scale, side * scale, (i - first) * scale, 'soft-a' if warp[first] == 0 else 'soft', None, 0)
            first = i
    picture.rect(x, y, side * scale, side * scale, None, 'ink', 0, 1)
    mine = [(i, j) for i in range(side) for j in range(side) if owners[i][j] == me]
    for i, j in mine:
        picture.rect(x + j * scale, y + i * scale, scale, scale, 'b', None, 0)
    picture.text(x, y + side * scale + 20, f'thread {me}: {len(mine)} sums', 'b', 'start', words=True)
    rows, columns = sorted({i for i, _ in mine}), sorted({j for _, j in mine})
    x, y, size = 530, 110, 19
    picture.text(x - 30, 20, f'thread {me}', 'b', 'start', words=True)
    picture.text(x - 30, 40, 'for each k: 8 + 8 elements', 'dim', 'start', words=True, small=True)
    picture.cells(x, y - 34, [columns], size, 'soft-c', text=False)
    picture.text(x + 4 * size, y - 46, 'columns of b', 'c', words=True, small=True)
    picture.cells(x - 34, y, [[r] for r in rows], size, 'soft-c', text=False)
    picture.text(x - 17, y + 8 * size + 14, 'rows of a', 'c', words=True, small=True)
    picture.cells(x, y, [[''] * 8] * 8, size, 'soft-b', text=False)
    picture.text(x + 4 * size, y + 8 * size + 38, '64 multiply-adds, in registers', 'b', words=True, small=True)
    picture.text(x - 34, y + 8 * size + 62, f'rows {rows[0]}, {rows[1]}, {rows[2]} .. {rows[-1]}', 'dim', 'start', small=True)
    picture.text(x - 34, y + 8 * size + 82, f'columns {columns[0]}-{columns[3]}, {columns[4]}-{columns[7]}', 'dim', 'start', small=True)
    return picture.svg()


def fragments(a, b, c):
    me, size, height = 9, 34, 22
    picture = svg.Picture(640, 636, 'Which lane of a warp has which element of a, b and the sums: four of a, two of b and four sums each')
    def draw(x, y, rows, name, where):
        fill = lambda i, j: 'soft-b' if rows[i][j] == me else 'soft-a' if rows[i][j] // 4 == me // 4 else None
        marks = [(i, j) for i, row in enumerate(rows) for j, lane in enumerate(row) if lane == me]
        picture.cells(x, y, rows, size, fill, marks, height=height)
        picture.text(x + where[0], y + where[1], name, 'ink', 'start', words=True)
    draw(340, 40, b, 'b, 8 x 8', (0, -18))
    draw(40, 262, a, 'a, 16 x 8', (0, -18))
    draw(340, 262, c, 'sums, 16 x 8', (0, -18))
    picture.text(40, 52, f'A figure is a lane. Lane {me} has the', 'dim', 'start', words=True)
    picture.text(40, 74, 'elements with a thick border;', 'dim', 'start', words=True)
    picture.text(40, 96, f'lanes {me // 4 * 4} to {me // 4 * 4 + 3} are its group.', 'dim', 'start', words=True)
    return picture.svg()


def figures(sections):
    return {'ladder': ladder(sections['figure ladder']), 'hierarchy': hierarchy(sections['figure hierarchy']),
            'fragments': fragments(*(matrix(sections[f'figure fragment {name}']) for name in 'abc'))}
