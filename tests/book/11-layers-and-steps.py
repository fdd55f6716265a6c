"""The figure of notes/11-layers-and-steps.md: where three optimisers go, and what the loss is there."""
import math

import svg


def descent(section):
    lines = section.strip().split('\n')
    runs = [(name.split(), [[float(word) for word in point.split()] for point in points.strip(';').split(';')])
            for name, points in zip(lines[::2], lines[1::2])]
    picture = svg.Picture(700, 600, 'Three panels with the contours of a long valley and the path of SGD, of momentum and of Adam to its '
                          'lowest point; below them the three losses over sixty steps on a logarithmic axis')
    series = {}
    for k, ((name, rate), points) in enumerate(runs):
        colour, left, top, width, height = 'abc'[k], 20 + 226 * k, 40, 208, 170
        place = lambda x, y: (left + (x + 4.6) / 6.6 * width, top + (1.55 - y) / 3.1 * height)
        picture.text(left, 20, f'{name}, rate {rate}', colour, 'start', bold=True, words=True)
        for level in (0.3, 1.2, 4, 9):  # x^2 + 25 y^2 = 2 level
            a = math.sqrt(2 * level)
            ring = [(a * math.cos(t * math.pi / 40), a / 5 * math.sin(t * math.pi / 40)) for t in range(81)]
            picture.path([place(x, y) for x, y in ring if x < 1.95], 'rule', 1)
        picture.path([place(x, y) for x, y, _ in points], colour, 2)
        for x, y, _ in points[:16]:
            picture.circle(*place(x, y), 2.5, colour, None)
        picture.circle(*place(0, 0), 4, 'ink', None)
        picture.rect(left, top, width, height, None, 'rule', 0, 1)
        series[name] = (colour, [(i, max(loss, 1e-6)) for i, (_, _, loss) in enumerate(points)])
    picture.curves(70, 270, 530, 270, series, 'step', 'loss', 1e-6, 100, logarithmic=True)
    return picture.svg()


def figures(sections):
    return {'descent': descent(sections['figure descent'])}
