"""The figures of notes/10-formulas.md."""
import math

import svg


def softmax(section):
    rows = [[float(word) for word in line.split()] for line in section.strip().split('\n')]
    most = rows[-1][0]
    picture = svg.Picture(680, 330, 'The loss of two classes with the logits 0 and x. The exponentials overflow at 89, the probability '
                          'itself becomes 0 at 104, and log_softmax goes on in a straight line')
    left, width = 20, 620
    place = lambda x: left + x / most * width
    names = ('log(e^x / sum of e^x)', 'softmax().log()', 'log_softmax()')
    ends = ('e^x is infinite', 'the probability is 0, and log 0 is infinite', '')
    for k, (name, end, colour) in enumerate(zip(names, ends, 'bac')):
        top, bottom = 30 + 92 * k, 96 + 92 * k
        line = [(x, values[k]) for x, *values in rows if math.isfinite(values[k])]
        if line[-1][0] < most:
            start = place(line[-1][0] + 1)
            picture.rect(start, top, left + width - start, bottom - top, f'soft-{colour}', colour, 0, 1, '4 4')
            words = end.split(', ')
            for i, word in enumerate(words):
                picture.text((start + left + width) / 2, (top + bottom) / 2 + (i - (len(words) - 1) / 2) * 18, word, 'ink', words=True, small=True)
        picture.line(left, bottom, left + width, bottom, 'rule', 1)
        picture.path([(place(x), bottom - y / most * (bottom - top)) for x, y in line], colour, 2.5)
        picture.text(left + 4, top + 6, name, colour, 'start')
        if line[-1][0] < most:
            picture.text(place(line[-1][0]) - 8, bottom - line[-1][1] / most * (bottom - top) - 8, f'x = {line[-1][0]:.0f}', 'dim', 'end', small=True)
        else:
            picture.text(left + width, bottom - 14, f'loss {line[-1][1]:.0f}', 'dim', 'end', small=True)
    for x in range(0, int(most) + 1, 20):
        picture.text(place(x), 296, x, 'dim', small=True)
    picture.text(left + width / 2, 316, 'x, the logit of the wrong class', 'dim', words=True, small=True)
    return picture.svg()


def attention(section):
    picture = svg.Picture(640, 320, 'Two matrices of attention weights. With a causal mask the upper triangle is 0, and the rows still '
                          'add up to 1')
    mix = lambda weight: '#' + ''.join(f'{round(255 + (c - 255) * min(weight, 1)):02x}' for c in (9, 85, 190))
    for k, (line, title) in enumerate(zip(section.strip().split('\n'), ('no mask', 'causal'))):
        weights, x, y = [float(word) for word in line.split()], 60 + 300 * k, 70
        picture.text(x + 115, 22, title, bold=True, words=True)
        picture.text(x + 115, 50, 'key', 'dim', words=True, small=True)
        picture.text(x - 24, y + 115, 'query' if k == 0 else '', 'dim', words=True, small=True)
        for i in range(5):
            for j in range(5):
                weight = weights[5 * i + j]
                hidden = k == 1 and j > i
                picture.rect(x + 46 * j, y + 46 * i, 46, 46, None if hidden else mix(weight), 'ink', 0, 1)
                picture.text(x + 46 * (j + 0.5), y + 46 * (i + 0.5), '0' if weight == 0 else f'{weight:.2f}'[1:] if weight < 0.995 else '1',
                             'dim' if hidden else '#ffffff' if weight > 0.58 else '#1b1f24')
    return picture.svg()


def figures(sections):
    return {'softmax': softmax(sections['figure softmax']), 'attention': attention(sections['figure attention'])}
