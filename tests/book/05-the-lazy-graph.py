"""The figure of notes/05-the-lazy-graph.md: what holds what, before and after realize."""
import graphs
import svg

PLACES = {'Mul': (150, 80), 'Sum': (220, 180), 'Add': (150, 280), 'Source': (150, 380)}


def panel(picture, left, graph, title):
    at = {n: PLACES[op] for n, (op, _, _) in graph.nodes.items()}
    picture.text(left + 10, 24, title, 'ink', 'start', words=True, bold=True)
    seen = {}
    for node, source, view in graph.edges:
        (x1, y1), (x2, y2) = at[node], at[source]
        twice = [e[1] for e in graph.edges if e[0] == node].count(source) > 1
        k = seen[node, source] = seen.get((node, source), -1) + 1
        shift = (60 * k - 30) if twice else -45 if y2 - y1 > 100 else 0
        if shift and not twice:
            picture.line(left + x1 + shift, y1 + 22, left + x2 + shift, y2 - 22, 'a', arrow=True)
        else:
            picture.line(left + x1 + shift, y1 + 22, left + x2 + shift, y2 - 22, 'a', arrow=True)
        label_y = (y1 + y2) / 2
        if twice:
            picture.text(left + x1 + shift + (6 if k else -6), label_y, view, 'a', 'start' if k else 'end', small=True)
        elif shift:
            picture.text(left + x1 + shift - 6, label_y, view, 'a', 'end', small=True)
        else:
            picture.text(left + (x1 + x2) / 2 + 12, label_y + (8 if y2 > 200 else -8), view, 'a', 'start', small=True)
    for name, _, node in graph.handles:
        x, y = at[node]
        picture.circle(left + 24, y, 14, 'soft-b', 'b')
        picture.text(left + 24, y, name, 'b', bold=True)
        picture.line(left + 38, y, left + x - graphs.WIDTH / 2, y, 'b', arrow=True)
    for n, node in graph.nodes.items():
        graphs.box(picture, left + at[n][0], at[n][1], *node)


def figures(sections):
    picture = svg.Picture(690, 415, 'The graph of s = x + x.t() and y = s * s.sum(0), before and after y is realized: arrows show what holds what')
    panel(picture, 0, graphs.Graph(sections['figure before']), 'before y.realize()')
    panel(picture, 370, graphs.Graph(sections['figure after']), 'after it')
    picture.line(345, 30, 345, 400, 'rule')
    return {'realize': picture.svg()}
