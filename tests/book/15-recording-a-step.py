"""The figure of notes/15-recording-a-step.md: the temporaries of a call in the blocks that they share."""
import svg


def lives(section):
    found = [tuple(map(int, line.split())) for line in section.strip().split('\n')]  # bytes, first, last, block
    kernels, blocks = max(f[2] for f in found) + 1, max(f[3] for f in found) + 1
    size = [max(f[0] for f in found if f[3] == b) for b in range(blocks)]
    left, column, top, scale = 120, 22, 50, 88 / max(size)
    high = [max(30, s * scale) for s in size]
    picture = svg.Picture(left + column * kernels + 24, top + sum(high) + 8 * blocks + 20,
                          f'{len(found)} temporaries of {kernels} kernels in {blocks} blocks: in each block one life ends before the next begins')
    picture.text(left + column * kernels / 2, 14, 'kernels, one after the other', 'dim', words=True)
    for k in range(kernels):
        picture.text(left + column * (k + 0.5), 36, k, 'dim', small=True)
    y = top
    for b in range(blocks):
        picture.text(12, y + high[b] / 2 - 8, f'block {b}', f'{"abcde"[b % 5]}', 'start', words=True)
        picture.text(12, y + high[b] / 2 + 10, f'{size[b] // 1024} KiB', 'dim', 'start', words=True, small=True)
        picture.rect(left, y, column * kernels, high[b], 'soft', None, 0)
        for n, first, last, block in found:
            if block == b:
                tall = max(26, n * scale)
                picture.rect(left + column * first + 1, y + high[b] - tall, column * (last - first + 1) - 2, tall,
                             f'soft-{"abcde"[b % 5]}', 'abcde'[b % 5], 2, tip=f'written by kernel {first}, last read by kernel {last}')
                picture.text(left + column * (first + last + 1) / 2, y + high[b] - tall / 2, n // 1024, 'abcde'[b % 5], small=True)
        y += high[b] + 8
    return picture.svg()


def figures(sections):
    return {'lives': lives(sections['figure lives'])}
