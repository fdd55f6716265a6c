"""The figure of notes/07-rules.md: one rule, both ways."""
import svg


def product(section):
    lines = (line.split('\t') for line in section.strip().split('\n'))
    values = {name: f'({", ".join(numbers.split())})' for name, numbers in lines}
    picture = svg.Picture(660, 330, 'The rule of a product: forward makes z of x and y; backward makes two gradients of '
                                    'one, with the saved x and y')

    def tensor(x, y, name, value, colour):
        picture.rect(x, y, 140, 46, 'soft', 'ink', 4)
        picture.text(x + 70, y + 14, name, colour, bold=True)
        picture.text(x + 70, y + 33, value)

    def step(y, name, text, colour):
        picture.rect(250, y, 170, 106, f'soft-{colour}', colour, 6)
        picture.text(335, y + 36, name, colour, bold=True)
        picture.text(335, y + 64, text, 'ink', words=True, small=True)

    picture.text(20, 22, 'forward, on LazyBuffers', 'ink', 'start', words=True, bold=True)
    tensor(20, 40, 'x', values['x'], 'ink')
    tensor(20, 100, 'y', values['y'], 'ink')
    step(40, 'Mul::forward', 'x * y, element by element', 'a')
    tensor(500, 70, 'z', values['z'], 'ink')
    picture.line(160, 63, 248, 80, 'ink', 2, arrow=True)
    picture.line(160, 123, 248, 106, 'ink', 2, arrow=True)
    picture.line(420, 93, 498, 93, 'ink', 2, arrow=True)

    picture.text(20, 312, 'backward, in tensor arithmetic', 'ink', 'start', words=True, bold=True)
    tensor(20, 184, 'grad * y', values['dx'], 'b')
    tensor(20, 244, 'grad * x', values['dy'], 'b')
    step(184, 'Mul::backward', 'grad, and the inputs', 'b')
    tensor(500, 214, 'grad', values['grad'], 'b')
    picture.line(500, 237, 422, 237, 'b', 2, arrow=True)
    picture.line(250, 224, 162, 207, 'b', 2, arrow=True)
    picture.line(250, 250, 162, 267, 'b', 2, arrow=True)
    picture.line(335, 148, 335, 182, 'dim', 1.5, '5 4', arrow=True)
    picture.text(346, 165, 'the rule keeps x and y', 'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'product': product(sections['figure product'])}
