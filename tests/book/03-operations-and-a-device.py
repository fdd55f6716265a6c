"""The figure of notes/03-operations-and-a-device.md: a kernel as data, with what each instruction makes of two rows."""
import svg

CELL = 46


def matrix(picture, x, y, values, columns, colour):
    rows = [values[i:i + columns] for i in range(0, len(values), columns)]
    picture.cells(x, y, rows, CELL, colour, height=28)


def kernel(section):
    steps = [line.split('\t') for line in section.strip().split('\n')]
    values = [[f'{float(v):.3g}' for v in numbers.split()] for _, numbers in steps]
    picture = svg.Picture(680, 340, 'A kernel: an operand of 2 by 3, three instructions with the values each makes, and the result')
    for x, text in ((20, 'operand 0'), (210, 'program'), (430, 'value of each instruction')):
        picture.text(x, 22, text, 'dim', 'start', words=True)
    matrix(picture, 20, 66, values[0], 3, 'soft')
    picture.text(20, 52, 'float32', 'dim', 'start', small=True)
    picture.text(20, 140, '(2, 3)*(3, 1)', 'dim', 'start', small=True)
    for i, ((text, _), numbers) in enumerate(zip(steps, values)):
        y = 66 + 80 * i
        per_row = len(numbers) == 2
        picture.rect(210, y + 10, 190, 36, 'soft-b' if per_row else 'soft-a', 'b' if per_row else 'a')
        picture.text(222, y + 28, f'%{i} = {text}', 'ink', 'start')
        matrix(picture, 430, y, numbers, 1 if per_row else 3, 'soft-b' if per_row else 'soft-a')
        picture.text(490 if per_row else 580, y + 28, 'per row' if per_row else 'per element', 'b' if per_row else 'a', 'start', words=True,
                     small=True)
        if i:
            picture.line(305, y - 32, 305, y + 8, 'dim', arrow=True)
    picture.line(162, 94, 206, 94, 'ink', arrow=True)
    picture.path([(400, 274), (412, 274), (412, 300), (499, 300), (499, 286)], 'ink', arrow=True)
    picture.text(404, 300, 'store %2 to (2, 3)*(3, 1)', 'ink', 'end')
    picture.text(20, 324, 'The program runs once for each row; a load, an operation or a store goes over all elements of the row.', 'dim', 'start',
                 words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'kernel': kernel(sections['figure kernel'])}
