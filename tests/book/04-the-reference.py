"""The figure of notes/04-the-reference.md: the index space of a kernel with a reduction."""
import svg

WIDTH, HEIGHT = 70, 44


def rows(section):
    loaded, sums = (line.split() for line in section.strip().split('\n'))
    picture = svg.Picture(680, 300, 'Four rows of three elements, walked row by row; each row is reduced to one value')
    x, y = 150, 70
    picture.text(x + 1.5 * WIDTH, 22, 'inner axis: 3 elements', 'a', words=True)
    picture.text(20, y + 2 * HEIGHT - 10, 'outer axis:', 'b', 'start', words=True)
    picture.text(20, y + 2 * HEIGHT + 10, '4 rows', 'b', 'start', words=True)
    picture.line(x, 42, x + 3 * WIDTH, 42, 'a', arrow=True)
    picture.line(x - 16, y, x - 16, y + 4 * HEIGHT, 'b', arrow=True)
    for j in range(3):
        picture.text(x + (j + 0.5) * WIDTH, 58, j, 'dim', small=True)
    for i in range(4):
        for j in range(3):
            value = loaded[3 * i + j]
            there = value != 'none'
            picture.rect(x + j * WIDTH, y + i * HEIGHT, WIDTH, HEIGHT, 'soft-a' if there else None, 'ink', 0, 1, None if there else '4 4')
            picture.text(x + (j + 0.5) * WIDTH, y + (i + 0.5) * HEIGHT, value if there else '0', 'ink' if there else 'dim')
        middle = y + (i + 0.5) * HEIGHT
        picture.line(x + 3 * WIDTH + 8, middle, x + 3 * WIDTH + 118, middle, 'dim', arrow=True)
        if i == 0:
            picture.text(x + 3 * WIDTH + 60, middle - 14, 'reduce Sum', 'dim', small=True)
        picture.rect(x + 3 * WIDTH + 124, middle - HEIGHT / 2, WIDTH, HEIGHT, 'soft-b', 'ink', 0, 1)
        picture.text(x + 3 * WIDTH + 124 + WIDTH / 2, middle, sums[i])
    picture.text(x + 3 * WIDTH + 124 + WIDTH / 2, 22, 'one value a row', 'b', words=True)
    picture.text(x, y + 4 * HEIGHT + 24, 'dashed: no element there, the guard says; it reads as 0', 'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'rows': rows(sections['figure rows'])}
