"""The figures of notes/20-streams-and-graphs.md: the order of two streams, which nobody has timed, and the launches of a step."""
import svg

# (row, from, to, text, colour): an order, no times.
ROWS = ['host', "loader's thread", "copies' stream", "kernels' stream"]
ENTRIES = [(0, 0, 1, 'launch a', 'soft'), (0, 1, 2, 'launch b', 'soft'), (0, 2, 3, 'launch c', 'soft'),
           (0, 3, 4, 'launch d', 'soft'), (0, 4, 9, 'read(loss): waits', None), (1, 1.1, 2.4, 'memcpy 0', 'soft-b'),
           (1, 2.4, 3.7, 'memcpy 1', 'soft-b'), (2, 2.4, 4.4, '0 over the bus', 'soft-b'), (2, 4.4, 6.4, '1 over the bus', 'soft-b'),
           (3, 1, 2.6, 'a', 'soft-a'), (3, 2.6, 4.7, 'b', 'soft-a'), (3, 4.7, 5.2, '0', 'soft-b'), (3, 5.2, 6.7, 'c', 'soft-a'),
           (3, 6.7, 7.2, '1', 'soft-b'), (3, 7.2, 8.3, 'd', 'soft-a'), (3, 8.3, 9, 'back', 'soft')]
ARROWS = [(0, 1, 3, 1), (1, 2.4, 2, 2.4), (1, 3.7, 2, 4.4), (2, 4.4, 3, 4.7), (2, 6.4, 3, 6.7), (3, 9, 0, 9)]
WHY = {'x': ('reads the new batch', 'a'), 'y': ('reads the new labels', 'd'), 'c': ('random counter', 'b'),
       'n': ('new memory: loss, gradients', 'c')}


def streams():
    picture = svg.Picture(700, 300, 'While kernels run, the next batch is copied over the bus on a stream of its own; the short copies to '
                                    'their destination wait among the kernels')
    left, unit, height = 130, 60, 58
    y = lambda row: 34 + row * height
    for row, name in enumerate(ROWS):
        picture.text(left - 10, y(row) + 14, name, 'ink', 'end', words=True)
        picture.line(left, y(row) + 34, left + 9.2 * unit, y(row) + 34, 'rule', 1)
    for row, begin, end, text, colour in ENTRIES:
        dash = None if colour else '4 4'
        picture.rect(left + begin * unit, y(row), (end - begin) * unit, 28, colour, 'ink' if colour else 'dim', 2, 1, dash)
        picture.text(left + (begin + end) / 2 * unit, y(row) + 14, text, 'ink' if colour else 'dim', words=True, small=True)
    for row, at, to, there in ARROWS:
        down = to > row
        picture.line(left + at * unit, y(row) + (28 if down else 0), left + there * unit, y(to) + (0 if down else 28), 'dim', 1, None, True)
    picture.line(left, 274, left + 9.2 * unit, 274, 'dim', 1, arrow=True)
    picture.text(left, 288, 'an order, not a measurement: no length here was timed', 'dim', 'start', words=True, small=True)
    return picture.svg()


def graph(section):
    _, *nodes = section.strip().split('\n')[-1].split()
    size, left = 25, 130
    updated = [node for node in nodes if node != '-']
    picture = svg.Picture(700, 270, f'A replayed step: {len(nodes)} launches are compared, {len(updated)} nodes of the graph are '
                                    'updated, and one call starts all of them')
    text = f'at each replay: {len(nodes)} launches compared, {len(updated)} nodes updated, one call'
    picture.text(left, 18, text, 'ink', 'start', words=True)
    for row, name, y in ((0, 'host', 40), (1, "kernels' stream", 126)):
        picture.text(left - 10, y + 14, name, 'ink', 'end', words=True)
        for i, node in enumerate(nodes):
            colour = WHY[node][1] if node != '-' else None
            picture.rect(left + i * size, y, size, 28, f'soft-{colour}' if colour else 'soft', colour or 'ink', 0, 1.5 if colour else 1)
            if row == 0:
                picture.text(left + (i + 0.5) * size, y + 14, '=' if node == '-' else node, colour or 'dim')
            else:
                picture.text(left + (i + 0.5) * size, y + 14, i + 1, 'dim', size=12)
            if row == 0 and colour:
                picture.line(left + (i + 0.5) * size, 68, left + (i + 0.5) * size, 124, colour, 1, '3 3')
    picture.line(left + len(nodes) * size - 2, 70, left + len(nodes) * size - 2, 96, 'ink')
    picture.path([(left + len(nodes) * size - 2, 96), (left - 4, 96), (left - 4, 140), (left - 1, 140)], 'ink')
    picture.text(left - 10, 96, 'one call', 'ink', 'end', words=True)
    for k, (letter, (why, colour)) in enumerate([('=', ('as the time before', 'dim')), *WHY.items()]):
        count = sum(node == (letter if letter != '=' else '-') for node in nodes)
        x, y = left + k % 2 * 290, 184 + k // 2 * 24
        picture.text(x, y, letter, colour, 'start')
        picture.text(x + 20, y, f'{why}: {count}', 'ink', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'streams': streams(), 'graph': graph(sections['figure graph'])}
