"""The figures of notes/23-many-ranks.md: a ring of four ranks, round by round; a training step whose collectives run beside its kernels."""
import svg

COLOURS = ['a', 'b', 'c', 'd']


def ring():
    """Of how many ranks each part's sum consists, on each rank and behind each round. In round k rank r sends its part r - k: the next
    rank adds it to its own, and from round n - 1 on takes it as it is."""
    n = 4
    states, sent = [[[1] * n for _ in range(n)]], []
    for k in range(2 * (n - 1)):
        before = states[-1]
        after = [row[:] for row in before]
        sent.append([(r, (r - k) % n) for r in range(n)])
        for r, part in sent[-1]:
            there = (r + 1) % n
            after[there][part] = before[r][part] + (before[there][part] if k < n - 1 else 0)
        states.append(after)
    size, gap, left, top = 19, 22, 66, 58
    picture = svg.Picture(left + len(states) * (n * size + gap) - gap + 12, top + n * 27 + 46,
                          'Four ranks in a ring: after three rounds each has one part of the sum, after six all have all of it')
    for r in range(n):
        picture.text(8, top + r * 27 + 10, f'rank {r}', 'ink', 'start', words=True)
    for k, state in enumerate(states):
        x = left + k * (n * size + gap)
        picture.text(x + n * size / 2, 38, 'at first' if k == 0 else f'round {k}', 'dim', words=True, small=True)
        for r, row in enumerate(state):
            y = top + r * 27
            for part, ranks in enumerate(row):
                whole = ranks == n
                picture.rect(x + part * size, y, size, 20, f'soft-{COLOURS[part]}' if whole else 'soft', 'dim', 0, 0.75)
                picture.text(x + (part + 0.5) * size, y + 10, ranks, COLOURS[part] if whole else 'ink', small=True, bold=whole)
            if k < len(sent):
                part = sent[k][r][1]
                picture.rect(x + part * size, y, size, 20, None, 'ink', 0, 2.5)
                picture.line(x + n * size + 2, y + 10, x + n * size + gap - 3, y + (37 if r < n - 1 else 10), 'dim', 1, arrow=r < n - 1)
    halves = [(0, n - 1, 'reduce_scatter: what comes is added'), (n - 1, 2 * (n - 1), 'all_gather: what comes is taken as it is')]
    for first, end, text in halves:
        x0, x1 = left + first * (n * size + gap) + n * size + 2, left + (end + 1) * (n * size + gap) - gap
        picture.line(x0, 20, x1, 20, 'dim', 1)
        picture.text((x0 + x1) / 2, 8, text, 'ink', words=True, small=True)
    y = top + n * 27 + 14
    picture.text(left, y, 'a row: four parts of the gradients, and how many ranks are in each sum', 'ink', 'start', words=True, small=True)
    picture.text(left, y + 20, 'a thick border: what this rank sends to the next one (the last to the first) in the round that follows',
                 'ink', 'start', words=True, small=True)
    return picture.svg()


def overlap(section):
    """Kernels as boxes of one width, which is no time; a collective as a bar from its start to its finish."""
    events = [line.split() for line in section.strip().split('\n')]
    kernels = [(what, int(layer)) for what, layer in events if what not in ('start', 'finish')]
    unit, left, top = 22, 96, 40
    picture = svg.Picture(left + unit * len(kernels) + 24, top + 172,
                          'A training step: the sums of the last layers are on their way while the backward pass computes the first ones')
    x, start, bars, groups = left, {}, {}, []
    for what, layer in events:
        if what == 'start':
            start[int(layer)] = x
        elif what == 'finish':
            bars[int(layer)] = (start[int(layer)], x)
        else:
            colour = COLOURS[int(layer)] if what != 'forward' else None
            picture.rect(x + 1, top, unit - 2, 28, f'soft-{colour}' if colour else 'soft', colour or 'dim', 1, 1.25)
            if groups and groups[-1][0] == (what, layer):
                groups[-1][2] = x + unit
            else:
                groups.append([(what, layer), x, x + unit])
            x += unit
    picture.text(left - 10, top + 14, 'kernels', 'ink', 'end', words=True)
    for (what, layer), x0, x1 in groups:
        picture.text((x0 + x1) / 2, top - 12, {'forward': 'forward', 'backward': f'backward {int(layer) + 1}', 'update': f'{int(layer) + 1}'}[what],
                     COLOURS[int(layer)] if what != 'forward' else 'dim', words=True, small=True)
    updates = [g for g in groups if g[0][0] == 'update']
    picture.text((updates[0][1] + updates[-1][2]) / 2, top - 30, 'updates of', 'ink', words=True, small=True)
    picture.text(left - 10, top + 92, 'all_reduce', 'ink', 'end', words=True)
    rows = [(layer, x0, x1, top + 48 + row * 32, COLOURS[layer]) for row, (layer, (x0, x1)) in enumerate(sorted(bars.items(), reverse=True))]
    for _, x0, _, y, colour in rows:
        picture.line(x0, top + 28, x0, y, colour, 1, '3 3')
    for layer, x0, x1, y, colour in rows:
        picture.rect(x0, y, max(x1 - x0, 3), 24, f'soft-{colour}', colour, 2, 1.25)
        long = x1 - x0 > 150
        picture.text(x0 + 8 if long else x0 - 8, y + 12, f"of layer {layer + 1}'s gradients{'' if x1 > x0 else ': nothing is left to do beside it'}", colour, 'start' if long else 'end', words=True, small=True)
    x = max(x1 for _, x1 in bars.values())
    picture.line(x, top + 28, x, top + 140, 'ink', 1, '3 3')
    picture.text(x, top + 154, 'finish: what is not over yet is waited for', 'ink', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'ring': ring(), 'overlap': overlap(sections['figure overlap'])}
