"""The figure of notes/01-numbers.md: the bits of one number in three dtypes."""
import svg

CELL = 18


def bits(section):
    picture = svg.Picture(660, 300, 'The bits of 0.1: float32 has 8 bits of exponent and 23 of fraction, bfloat16 8 and 7, float16 5 and 10')
    for row, line in enumerate(section.strip().split('\n')):
        dtype, exponent, value, word = line.split('\t')
        exponent = int(exponent)
        y = 34 + 90 * row
        power = int(word[1:1 + exponent], 2) - (2 ** (exponent - 1) - 1)
        fraction = int(word[1 + exponent:], 2) / 2 ** (len(word) - 1 - exponent)
        picture.text(20, y - 14, dtype, 'ink', 'start', bold=True)
        picture.text(110, y - 14, f'(1 + {fraction:.8g}) * 2^{power} = {value}', 'ink', 'start')
        for i, bit in enumerate(word):
            colour = 'b' if i == 0 else 'a' if i <= exponent else 'c'
            picture.rect(20 + i * CELL, y, CELL, 28, f'soft-{colour}', colour, 0, 1)
            picture.text(20 + (i + 0.5) * CELL, y + 14, bit, small=True)
        for begin, end, name, colour in ((0, 1, 'sign', 'b'), (1, 1 + exponent, 'exponent', 'a'), (1 + exponent, len(word), 'fraction', 'c')):
            where, anchor = (20 + (begin + end) * CELL / 2, 'middle') if begin > 1 else (20 + 44 * begin, 'start')
            bits_of = f', {end - begin} bits' if begin else ''
            picture.text(where, y + 42, name + bits_of, colour, anchor, words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'bits': bits(sections['figure bits'])}
