"""The figures of notes/00-one-epoch.md: the first steps of a training, and a digit on its way through the layers."""
import svg

SMOOTH = 10  # steps


def training(section):
    steps = [[float(v) for v in line.split()] for line in section.strip().split('\n')]
    def smooth(column):  # the mean over the last steps; a batch is easier or harder than the next
        values = [step[column] for step in steps]
        return [(i, sum(values[max(0, i + 1 - SMOOTH):i + 1]) / min(SMOOTH, i + 1)) for i in range(len(values))]
    picture = svg.Picture(660, 250, 'Over a hundred steps the loss falls from 2.3 to about 0.3, and the accuracy rises from 0.1 to about 0.9')
    for x, name, column, colour, top in ((60, 'loss', 0, 'b', 2.4), (380, 'accuracy', 1, 'a', 1)):
        picture.curves(x, 40, 240, 150, {'': (colour, smooth(column))}, 'step', f'{name}, mean of the last {SMOOTH} steps', 0, top)
    return picture.svg()


def images(picture, x, y, size, side, values, exact=False):
    """One map: each of its numbers is a square, as dark as the number is large. All are drawn, since a zero may be
    a little more on another processor, but of `exact` ones."""
    width = size / side
    parts = [f'<path d="M{x + j * width:.1f},{y + i * width:.1f}h{width:.1f}v{width:.1f}h-{width:.1f}z" opacity="{values[i * side + j]:.2f}"/>'
             for i in range(side) for j in range(side) if values[i * side + j] or not exact]
    picture.parts.append('<g class="f-ink" shape-rendering="crispEdges">' + '\n'.join(parts) + '</g>')
    picture.rect(x, y, size, size, None, 'rule', 0, 1)


def digit(section):
    picture = svg.Picture(700, 290, 'A 7, four of the first layer’s maps, eight of the second’s, and a bar for each digit: that of 7 is the longest')
    maps = {}
    for line in section.strip().split('\n'):
        name, side, rest = line.split('\t')
        count, *values = rest.split()
        maps[name] = int(side), int(count), [float(v) for v in values]
    side, _, values = maps['image']
    picture.text(20, 22, 'image, 28 x 28', 'dim', 'start', words=True, small=True)
    images(picture, 20, 70, 140, side, values, exact=True)
    for name, x, columns, size in (('first layer', 210, 2, 96), ('second layer', 450, 2, 44)):
        side, count, values = maps[name]
        picture.text(x, 22, f'{name}, {side} x {side}', 'dim', 'start', words=True, small=True)
        for k in range(count):
            images(picture, x + k % columns * (size + 8), 42 + k // columns * (size + 8), size, side, values[k * side * side:][:side * side])
    picture.text(590, 22, 'chances', 'dim', 'start', words=True, small=True)
    chances = maps['chances'][2]
    for k, chance in enumerate(chances):
        picture.text(596, 52 + 22 * k, k)
        picture.rect(608, 45 + 22 * k, 80, 14, None, 'rule', 0, 1)
        picture.rect(608, 45 + 22 * k, 80 * chance, 14, 'a', None, 0)
    for x in (166, 416, 556):
        picture.line(x, 140, x + 32 if x < 556 else x + 24, 140, 'ink', arrow=True)
    return picture.svg()


def figures(sections):
    return {'training': training(sections['figure training']), 'digit': digit(sections['figure digit'])}
