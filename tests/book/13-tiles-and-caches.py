"""The figures of notes/13-tiles-and-caches.md: a program walked tile by tile, and the runs of a tile."""
import re

import svg


def tile(section):
    head, *lines = [line.split('\t') for line in section.strip('\n').split('\n')]
    blocks, tiles, length, _ = map(int, head)
    steps = [dict(zip(('stage', 'of', 'kind', 'name', 'value', 'slot', 'through', 'kept', 'args'), line)) for line in lines]
    left, size, height, where = 200, 58, 24, 200 + 58 * tiles + 16
    picture = svg.Picture(640, 66 + height * len(steps) + 30 * 3, f'A softmax walks {tiles} tiles in three stages: the maximum of '
                          'the row, the exponentials and their sum, the quotients; numbers give the order of the steps')
    for t in range(tiles):
        picture.text(left + size * (t + 0.5), 20, f'tile {t}', 'dim', words=True)
    picture.text(where, 20, 'where its values are', 'dim', 'start', words=True)
    y, order = 36, 0
    for stage in dict.fromkeys(s['stage'] for s in steps):
        of_row, of_tile = ([s for s in steps if s['stage'] == stage and s['of'] == of] for of in ('row', 'tile'))
        picture.text(12, y + 12, f'stage {stage}', 'dim', 'start', words=True, small=True)
        y += 26
        for s in of_row + of_tile:
            name = re.sub('reduce ', '', s['name'])
            text = {'load': f'%{s["value"]} = load x', 'finish': f'%{s["value"]} = {name} is done', 'store': f'store %{s["value"]}',
                    'accumulate': f'{name} takes in %{s["value"]}'}.get(s['kind'], f'%{s["value"]} = {name} {s["args"]}')
            picture.text(24, y + height / 2, text, 'b' if s['of'] == 'row' else 'ink', 'start', small=True)
            place = ('where they stand in memory' if s['kind'] == 'load' else 'already there' if s['kind'] == 'store' else
                     'one double' if s['kind'] == 'accumulate' and name == 'Sum' else
                     'one float' if s['kind'] == 'accumulate' else f'slot {s["slot"]}: one value' if s['of'] == 'row' else
                     'kept for stage 2' if s['kept'] != '-1' else 'straight in the result' if s['through'] != '-1' else f'slot {s["slot"]}')
            picture.text(where, y + height / 2, place, 'dim', 'start', words=True, small=True)
            for t in range(1 if s['of'] == 'row' else tiles):
                at = order + (of_row.index(s) if s['of'] == 'row' else len(of_row) + t * len(of_tile) + of_tile.index(s)) + 1
                wide = size * tiles if s['of'] == 'row' else size
                picture.rect(left + size * t, y + 1, wide, height - 2, 'soft-b' if s['of'] == 'row' else 'soft-a', None, 0)
                picture.text(left + size * t + wide / 2, y + height / 2, at, 'b' if s['of'] == 'row' else 'a', small=True)
            y += height
        order += len(of_row) + len(of_tile) * tiles
        y += 4
    return picture.svg()


def runs(section):
    text, *lines = section.strip().split('\n')
    of_tile = [tuple(map(int, line.split())) for line in lines]
    rows, columns = map(int, re.match(r'\((\d+), (\d+)\)', text).groups())
    row_guard, column_guard = ((int(at), int(size)) for at, size in re.findall(r'\)-(\d+)<(\d+)', text))
    stride, first = int(re.search(r'\*\((\d+)', text)[1]), int(re.search(r'\)-(\d+) if', text)[1])
    start, size, colours = 13, 34, 'abc'
    picture = svg.Picture(680, 330, 'A padded image of 4 by 9 places, of which 2 by 5 exist; a tile of 20 elements is three runs, and in '
                          'each run one interval exists')
    picture.text(20, 20, text, 'ink', 'start')
    in_run = {start + done + i: r for r, (done, length, *_) in enumerate(of_tile) for i in range(length)}
    exists = lambda i, j: 0 <= i - row_guard[0] < row_guard[1] and 0 <= j - column_guard[0] < column_guard[1]
    for there in (False, True):
        for i, j in ((i, j) for i in range(rows) for j in range(columns) if exists(i, j) == there):
            run = in_run.get(i * columns + j)
            y, x = 44 + size * i, 20 + size * j
            colour = None if run is None else f'soft-{colours[run]}'
            picture.rect(x, y, size, size, colour, 'ink' if there else 'rule', 0, 2 if there else 1)
            picture.text(x + size / 2, y + size / 2, i * stride + j - first if there else '0', 'ink' if there else 'dim', small=True)
    x = 20 + size * columns + 24
    for k, line in enumerate(('a place of the image has an address,', 'the padding around it reads as 0')):
        picture.text(x, 58 + 18 * k, line, 'dim', 'start', words=True, small=True)
    for r, (done, length, low, high, address) in enumerate(of_tile):
        there = f'[{low}, {high}) from address {address + low}' if low < high else 'no element exists'
        picture.text(x, 110 + 22 * r, f'run {r}: {length} elements, {there}', colours[r], 'start', words=True, small=True)
    size, y = 31, 250
    picture.text(20, y - 26, 'the tile that is gathered', 'dim', 'start', words=True)
    for r, (done, length, low, high, address) in enumerate(of_tile):
        for i in range(length):
            there = low <= i < high
            picture.rect(20 + size * (done + i), y, size, size, f'soft-{colours[r]}' if there else None, colours[r], 0, 1.5,
                         None if there else '3 3')
            picture.text(20 + size * (done + i + 0.5), y + size / 2, address + i if there else '0', 'ink' if there else 'dim', small=True)
        picture.text(20 + size * (done + length / 2), y + size + 18, f'run {r}', colours[r], small=True, words=True)
    return picture.svg()


def figures(sections):
    return {'tile': tile(sections['figure tile']), 'runs': runs(sections['figure runs'])}
