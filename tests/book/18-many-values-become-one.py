"""The figures of notes/18-many-values-become-one.md: the shuffles of eight lanes, and sums in many orders."""
import svg

LETTERS = 'abcdefgh'


def shuffles(section):
    totals = [int(v) for v in section.split()]
    rows = [totals[i:i + 8] for i in range(0, len(totals), 8)]
    size, left, step = 68, 120, 74
    picture = svg.Picture(700, 24 + step * len(rows), 'Eight lanes: after three shuffles each of them has the sum of all eight elements')
    place = lambda lane: left + (lane + 0.5) * size
    for lane in range(8):
        picture.text(place(lane), 18, f'lane {lane}', 'dim', words=True, small=True)
    for k, row in enumerate(rows):
        y = 34 + step * k
        if k:
            picture.text(left - 12, y + 13, f'xor {8 >> k}', 'ink', 'end')
        for lane, total in enumerate(row):
            if k:  # the lane whose total came is the one that brought what is new
                other = next(o for o in range(8) if rows[k - 1][o] == total - rows[k - 1][lane] and o ^ lane == 8 >> k)
                picture.line(place(other), y - step + 28, place(lane), y - 2, 'b' if lane == 0 else 'rule', 2 if lane == 0 else 1)
                picture.line(place(lane), y - step + 28, place(lane), y - 2, 'b' if lane == 0 else 'rule', 2 if lane == 0 else 1)
        for lane, total in enumerate(row):
            has = ''.join(LETTERS[i] for i in range(8) if total >> i & 1)
            picture.rect(place(lane) - size / 2 + 3, y, size - 6, 26, 'soft-b' if lane == 0 else 'soft', 'b' if lane == 0 else 'ink', 3, 1)
            picture.text(place(lane), y + 13, has if len(has) < 8 else 'all', 'ink', size=13)
    text = 'the letters of a box: whose elements are in the total'
    picture.text(left, 8 + step * len(rows), text, 'dim', 'start', words=True, small=True)
    return picture.svg()


def orders(section):
    results = [(float(value), int(count)) for value, count in (line.split() for line in section.strip().split('\n'))]
    picture = svg.Picture(700, 250, f'1000 orders of the same additions gave {len(results)} different sums')
    left, width, bottom, height = 40, 620, 190, 150
    first, last = results[0][0], results[-1][0]
    most = max(count for _, count in results)
    place = lambda value: left + 8 + (value - first) / (last - first) * (width - 16)
    picture.line(left, bottom, left + width, bottom, 'ink')
    for value, count in results:
        picture.rect(place(value) - 5, bottom - count / most * height, 10, count / most * height, 'soft-a', 'a', 0, 1,
                     tip=f'{value:.4f}: {count} times')
    for value in (first, max(results, key=lambda r: r[1])[0], last):
        picture.text(place(value), bottom + 16, f'{value:.4f}', 'dim', small=True)
    text = f'{len(results)} results of {sum(count for _, count in results)} orders; the most frequent came {most} times'
    picture.text(left, 20, text, 'ink', 'start', words=True)
    text = 'each bar is another float; floats of this size are 0.03125 apart'
    picture.text(left, bottom + 44, text, 'dim', 'start', words=True, small=True)
    return picture.svg()


def figures(sections):
    return {'shuffles': shuffles(sections['figure shuffles']), 'orders': orders(sections['figure orders'])}
