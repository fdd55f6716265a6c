"""Graphs that tests/book/graph.h prints, as boxes and arrows."""
WIDTH, HEIGHT = 150, 44
COLOURS = {'realized': 'soft-c', 'no memory': 'soft', 'unrealized': None}


class Graph:
    """`handles` (name, view, node), `nodes` {number: (op, shape, state)}, `edges` (node, source, view)."""

    def __init__(self, section):
        rows = [line.split('\t') for line in section.strip().split('\n')]
        self.handles = [(r[1], r[2], int(r[3])) for r in rows if r[0] == 'handle']
        self.nodes = {int(r[1]): (r[2], r[3], r[4]) for r in rows if r[0] == 'node'}
        self.edges = [(int(r[1]), int(r[2]), r[3]) for r in rows if r[0] == 'edge']


def box(picture, x, y, op, shape, state, width=WIDTH):
    """A node around (x, y): green where its elements are in memory, dashed where they are not."""
    picture.rect(x - width / 2, y - HEIGHT / 2, width, HEIGHT, COLOURS[state], 'ink', 4, 1.5, '5 4' if state == 'unrealized' else None)
    picture.text(x, y - 9, f'{op} {shape}', bold=True)
    picture.text(x, y + 10, state, 'dim', words=True, small=True)
