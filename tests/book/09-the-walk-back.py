"""The figure of notes/09-the-walk-back.md: a ladder of diamonds."""
import svg


def ladder(section):
    counts = [tuple(map(int, line.split('\t'))) for line in section.strip().split('\n')]
    picture = svg.Picture(680, 250, 'Four diamonds in a row: the paths from the last tensor to each one double, the rule of '
                                    'each runs once')
    steps = len(counts) - 1
    at = lambda i: 60 + 140 * i
    for i, (paths, runs) in enumerate(counts):
        picture.circle(at(i), 80, 22, 'soft-a', 'a')
        picture.text(at(i), 80, f'y{i}', bold=True)
        picture.text(at(i), 164, paths, 'b', bold=True)
        picture.text(at(i), 206, runs, 'c', bold=True)
        if i < steps:
            for side in (-1, 1):
                picture.rect(at(i) + 52, 80 + 36 * side - 13, 36, 26, 'soft', 'ink')
                picture.text(at(i) + 70, 80 + 36 * side, '/2')
                picture.line(at(i + 1) - 22, 80 + 6 * side, at(i) + 88, 80 + 36 * side, 'b', 1.5, arrow=True)
                picture.line(at(i) + 52, 80 + 36 * side, at(i) + 22, 80 + 6 * side, 'b', 1.5, arrow=True)
    picture.text(20, 142, f'paths from y{steps} back to it:', 'b', 'start', words=True, small=True)
    picture.text(20, 186, 'runs of its rule in teeny:', 'c', 'start', words=True, small=True)
    key = 'arrows: the way of the gradient. y1 = y0 / 2 + y0 / 2, y2 = y1 / 2 + y1 / 2, and so on'
    picture.text(20, 234, key, 'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'ladder': ladder(sections['figure ladder'])}
