"""The figure of notes/05-the-lazy-graph.md: what holds what, before and after realize."""
import graphs
import svg

PLACES = {'Mul': (150, 80), 'Sum': (220, 180), 'Add': (150, 280), 'Source': (150, 380)}


def panel(picture, left, graph, title):
    """Boxes under each other, with what they hold below them; an arrow has the view through which it is read."""
    at = {n: (left + PLACES[op][0], PLACES[op][1]) for n, (op, _, _) in graph.nodes.items()}
    picture.text(left + 10, 24, title, 'ink', 'start', words=True, bold=True)
    pairs = [(node, source) for node, source, _ in graph.edges]
    for k, (node, source, view) in enumerate(graph.edges):
        (x1, y1), (x2, y2) = at[node], at[source]
        second, twice = pairs.index((node, source)) < k, pairs.count((node, source)) > 1
        shift = (30 if second else -30) if twice else -45 if y2 - y1 > 100 else 0
        picture.line(x1 + shift, y1 + 22, x2 + shift, y2 - 22, 'a', arrow=True)
        if shift < 0:
            picture.text(x1 + shift - 6, (y1 + y2) / 2, view, 'a', 'end', small=True)
        else:
            sideways = 6 if shift else 12
            down = 0 if shift else 8 if y2 > 200 else -8
            picture.text((x1 + x2) / 2 + shift + sideways, (y1 + y2) / 2 + down, view, 'a', 'start', small=True)
    for name, _, node in graph.handles:
        x, y = at[node]
        picture.circle(left + 24, y, 14, 'soft-b', 'b')
        picture.text(left + 24, y, name, 'b', bold=True)
        picture.line(left + 38, y, x - graphs.WIDTH / 2, y, 'b', arrow=True)
    for n, node in graph.nodes.items():
        graphs.box(picture, *at[n], *node)


def figures(sections):
    title = 'The graph of s = x + x.t() and y = s * s.sum(0), before and after y is realized: arrows show what holds what'
    picture = svg.Picture(690, 415, title)
    panel(picture, 0, graphs.Graph(sections['figure before']), 'before y.realize()')
    panel(picture, 370, graphs.Graph(sections['figure after']), 'after it')
    picture.line(345, 30, 345, 400, 'rule')
    return {'realize': picture.svg()}
