"""The figure of notes/16-a-first-kernel.md: which threads have which elements."""
import svg


def grid(section):
    (count, without), *warps = [[int(v) for v in line.split()] for line in section.strip().split('\n')]
    blocks = sorted({warp[0] for warp in warps})
    last_block = [warp for warp in warps if warp[0] == blocks[-1]]
    _, last, first, lanes = warps[-1]
    side = (count + without) // len(blocks)
    picture = svg.Picture(700, 344, f'{count} elements in blocks of {side} threads: the last warp has {lanes} elements, and its other '
                                    f'{without} lanes have none')
    left, width = 30, 640

    def zoom(from_x, from_width, y):
        for start, end in ((from_x, left), (from_x + from_width, left + width)):
            picture.line(start, y, end, y + 44, 'dim', 1, '4 4')

    picture.text(left, 20, f'the grid: {len(blocks)} blocks of {side} threads', 'ink', 'start', words=True)
    for i, block in enumerate(blocks):
        x, each = left + i * width / len(blocks), width / len(blocks)
        mine = [warp for warp in warps if warp[0] == block]
        elements = sum(warp[3] for warp in mine)
        picture.rect(x, 36, each * elements / side, 40, 'soft-a', None, 0)
        picture.rect(x, 36, each, 40, None, 'ink', 0)
        picture.text(x + each / 2, 47, f'block {block}', 'ink', words=True, small=True)
        picture.text(x + each / 2, 63, f'{mine[0][2]} .. {mine[-1][2] + mine[-1][3] - 1}', 'dim', small=True)
    zoom(left + width * (len(blocks) - 1) / len(blocks), width / len(blocks), 78)
    picture.text(left + 290, 106, f'block {blocks[-1]}: {side // 32} warps', 'ink', 'start', words=True)
    for _, warp, begin, elements in last_block:
        each = width / (side // 32)
        x = left + warp * each
        picture.rect(x, 124, each * elements / 32, 40, 'soft-a', None, 0)
        picture.rect(x, 124, each, 40, None, 'ink', 0)
        picture.text(x + each / 2, 135, f'warp {warp}', 'ink', words=True, small=True)
        picture.text(x + each / 2, 151, f'{begin} ..', 'dim', small=True)
    zoom(left + last * width / (side // 32), width / (side // 32), 166)
    picture.text(left + 290, 194, f'warp {last}: 32 lanes', 'ink', 'start', words=True)
    each = width / 32
    for lane in range(32):
        there = lane < lanes
        picture.rect(left + lane * each, 212, each, 30, 'soft-a' if there else None, 'ink' if there else 'dim', 0, 1,
                     None if there else '3 3')
        picture.text(left + (lane + 0.5) * each, 227, lane, 'ink' if there else 'dim', size=12)
    none = f'no element: {without} lanes do nothing, since i < n is false'
    for x, text, colour, to in ((left, f'x[{first}] .. x[{count - 1}]', 'a', lanes), (left + lanes * each, none, 'dim', 32)):
        picture.path([(x + 2, 248), (x + 2, 256), (left + to * each - 2, 256), (left + to * each - 2, 248)], colour)
        picture.text(x + 2, 272, text, colour, 'start', words=True)
    picture.text(left, 312, 'i = blockIdx.x * blockDim.x + threadIdx.x', 'ink', 'start')
    picture.text(left, 332, f'{count - 1} = {blocks[-1]} * {side} + {32 * last + lanes - 1}', 'dim', 'start')
    return picture.svg()


def figures(sections):
    return {'grid': grid(sections['figure grid'])}
