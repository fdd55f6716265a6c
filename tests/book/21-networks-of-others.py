"""The figure of notes/21-networks-of-others.md."""
import svg

STEP, WIDE, HIGH = 168, 124, 44


def known(section):
    """What runs in each call in a row from the left to the right, and above it what is computed once."""
    nodes = [dict(zip(('op', 'kind', 'shape', 'values', 'inputs', 'output'), line.split('|'))) for line in section.strip().split('\n')]
    picture = svg.Picture(680, 290, 'The first nodes of a network. Convolution, Reshape and Transpose run in each call. Shape, Slice and Concat '
                          'compute the shape that Reshape wants, and are known before')
    rows = {'run': 190, 'known': 70}
    place = {}  # of a value: the middle of its node
    boxes = [n for n in nodes if n['kind'] != 'constant']
    columns = {'run': 0, 'known': 0}
    for node in boxes:
        kind = node['kind']
        node['x'], node['y'] = 20 + STEP * columns[kind], rows[kind]
        columns[kind] += 1
        place[node['output']] = node
    for node in boxes:
        colour = 'a' if node['kind'] == 'run' else 'c'
        for name in node['inputs'].split():
            source = place.get(name)
            if source is None:
                continue
            if source['kind'] == node['kind']:
                picture.line(source['x'] + WIDE, source['y'] + HIGH / 2, node['x'] - 2, node['y'] + HIGH / 2, colour, arrow=True)
            elif node['kind'] == 'known':
                picture.line(source['x'] + WIDE / 2, source['y'], node['x'] + WIDE / 2, node['y'] + HIGH + 22, 'c', dash='5 4', arrow=True)
                picture.text(source['x'] + WIDE / 2 - 10, source['y'] - 22, 'its shape', 'c', 'end', words=True, small=True)
            else:
                picture.line(source['x'] + WIDE / 2, source['y'] + HIGH + 22, node['x'] + WIDE / 2, node['y'] - 2, 'c', arrow=True)
        picture.rect(node['x'], node['y'], WIDE, HIGH, f'soft-{colour}', colour)
        picture.text(node['x'] + WIDE / 2, node['y'] + HIGH / 2, node['op'].replace('Normalization', 'Norm.'), 'ink', bold=True)
        if node['kind'] == 'known':
            values = ', '.join(node['values'].split())
            picture.text(node['x'] + WIDE / 2, node['y'] + HIGH + 12, values, 'c')
            read = node['inputs'].split()
            constants = [n['values'].strip() for name in read for n in nodes if n['output'] == name and n['kind'] == 'constant']
            if constants:
                text = f'constant{"s" if len(constants) > 1 else ""} {", ".join(constants)}'
                picture.text(node['x'] + WIDE / 2, node['y'] - 14, text, 'dim', words=True, small=True)
        else:
            picture.text(node['x'] + WIDE / 2, node['y'] + HIGH + 14, node['shape'], 'dim', small=True)
    picture.text(20, 22, 'computed once for these shapes', 'c', 'start', words=True)
    picture.text(20, 276, 'computed in each call, and recorded by a Jit', 'a', 'start', words=True)
    return picture.svg()


def figures(sections):
    return {'known': known(sections['figure known'])}
