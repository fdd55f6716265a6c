"""The figure of notes/22-how-we-know-it-is-right.md: the error of a difference quotient over its step."""
import math
import re

import source
import svg


def step(section):
    lines = [line.split() for line in section.strip().split('\n')]
    of = {bits: [(float(h), float(error)) for b, h, error in lines if b == bits] for bits in ('64', '32')}
    options = source.declaration((source.ROOT / 'teeny/testing.h').read_text(), 'GradcheckOptions')
    h, tolerance = (float(re.search(rf'{name} = ([\d.e-]+)', options)[1]) for name in ('step', 'tolerance'))
    picture = svg.Picture(680, 360, 'The error of a difference quotient falls with its step down to a least value, and rises again; '
                          'in float64 that is 8 digits lower than the tolerance, in float32 it is above')
    x, y, width, height, low, high = 80, 40, 460, 260, 1e-12, 1
    picture.curves(x, y, width, height, {'': ('a', of['64']), ' ': ('b', of['32'])}, 'log10 of the step h',
                   'relative error of (f(x + h) - f(x - h)) / 2h, f = x^3', low, high, logarithmic=True)
    at_x = lambda value: x + (math.log10(value) - of['64'][0][0]) / (of['64'][-1][0] - of['64'][0][0]) * width
    at_y = lambda value: y + height - (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low)) * height
    picture.line(at_x(h), y, at_x(h), y + height, 'dim', 1.5, '5 4')
    picture.text(at_x(h) - 8, y + height - 14, f'h = {h:g}', 'dim', 'end', small=True)
    picture.line(x, at_y(tolerance), x + width, at_y(tolerance), 'c', 1.5, '5 4')
    picture.text(x + width + 6, at_y(tolerance), f'tolerance {tolerance:g}', 'c', 'start', words=True, small=True)
    picture.text(at_x(10 ** -9.4), at_y(10 ** -8.6), 'float64', 'a', 'end', words=True)
    picture.text(at_x(10 ** -6.2), at_y(10 ** -1.1), 'float32', 'b', 'end', words=True)
    picture.text(at_x(10 ** -11), at_y(10 ** -7.3), 'rounding', 'dim', words=True)
    picture.text(at_x(10 ** -2.1), at_y(10 ** -7.9), 'truncation', 'dim', words=True)
    return picture.svg()


def figures(sections):
    return {'step': step(sections['figure step'])}
