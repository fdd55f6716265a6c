#!/usr/bin/env python3
"""How cost grows with batch, width, nodes, threads and ranks: a table, and a picture of six panels.

    growth.py GROWTH FOLDER [--ranks PROGRAM] [--only CURVES] [--passes N] [--seconds S] [--most X]

GROWTH is the program of growth.cpp, PROGRAM the same one for many ranks, which make builds; it is left out where there is no
MPI. Each curve is measured once in every pass, so that a slow minute of the machine meets all of them; a pass has the best of a
few runs of a point. FOLDER gets growth.csv, a line for each point with the median, the least and the most of all passes, and
growth.svg, which draws the median as a line in a band from the least to the most.
"""
import argparse
import collections
import csv
import math
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests' / 'book'))
import svg  # noqa: E402

CORES = len(os.sched_getaffinity(0))
CURVES = ['batch', 'width', 'nodes', 'threads', 'ranks']
FIELDS = ['curve', 'series', 'x', 'median', 'least', 'most', 'unit', 'limit', 'milliseconds', 'passes']

NETWORK = [('inference', 'inference'), ('training', 'training')]
GRAPHS = [('chain', 'a chain'), ('gradient', 'with gradients'), ('wide', 'chains of ten')]
Panel = collections.namedtuple('Panel', 'curve title subtitle x_label series limit_label unit logarithmic')
PANELS = [
    Panel('batch', 'Batch: time over the least possible', 'MLP of three layers of 512; below 1 its weights come from the cache',
          'examples a batch', NETWORK, "the machine's limit", 'times', True),
    Panel('width', 'Width: time over the least possible', 'MLP of three layers, batches of 128; small ones fit the cache',
          'width of a layer', NETWORK, "the machine's limit", 'times', True),
    Panel('nodes', 'Graph: microseconds a node', 'additions of 16 floats: made, scheduled, run and given back',
          'nodes', GRAPHS, 'goal', 'us', True),
    Panel('memory', 'Graph: bytes a node', 'the most that are held at once', 'nodes', GRAPHS, 'goal', 'bytes', True),
    Panel('threads', 'Threads: how many times as fast', 'as one: a product of 1024, a 5×5 convolution, 2²⁴ additions, an MLP',
          'threads', [(name, name) for name in ('product', 'convolution', 'addition', 'training')], 'ideal', 'times', True),
    Panel('ranks', 'Ranks: efficiency', f'examples a second a core; MLP of 512, 128 examples a rank, {CORES} cores',
          'ranks', [('training', 'training')], 'ideal', 'of 1', False),
]
GOALS = {'nodes': 1.2, 'memory': 1000}


class Samples:
    """What the programs print: values by (curve, series, x), what a point needs at least, and the most the machine can do."""

    def __init__(self):
        self.values, self.needs, self.peak = collections.defaultdict(list), {}, [0, 0]

    def read(self, curve, line):
        series, *numbers = line.split()
        numbers = [float(number) for number in numbers]
        if series == 'peak':  # other programs make it lower, nothing makes it higher
            self.peak = [max(pair) for pair in zip(self.peak, numbers)]
            return
        if curve == 'nodes':
            series, unit = series.rsplit('_', 1)
            curve = 'memory' if unit == 'bytes' else curve
        key = curve, series, int(numbers[0])
        self.values[key].append(numbers[1])
        if len(numbers) == 4:
            self.needs[key] = numbers[2:]

    def rows(self):
        """The lines of the table. Speed-ups and efficiencies compare with one thread or rank of the same pass."""
        for panel in PANELS:
            for series, _ in panel.series:
                points = sorted(x for c, s, x in self.values if (c, s) == (panel.curve, series))
                for x in points:
                    key = panel.curve, series, x
                    drawn, limit, milliseconds = list(self.values[key]), GOALS.get(panel.curve, 1), ''
                    alone = self.values.get((panel.curve, series, 1), [])
                    if panel.unit not in ('us', 'bytes'):
                        milliseconds = f'{statistics.median(drawn):.5g}'
                    if key in self.needs:
                        least = 1e-6 * max(need / most for need, most in zip(self.needs[key], self.peak))
                        drawn = [value / least for value in drawn]
                    elif panel.curve == 'threads':
                        drawn, limit = [one / value for one, value in zip(alone, drawn)], x
                    elif panel.curve == 'ranks':
                        drawn = [one / value * x / min(x, CORES) for one, value in zip(alone, drawn)]
                    yield dict(zip(FIELDS, [*key, statistics.median(drawn), min(drawn), max(drawn), panel.unit, limit,
                                            milliseconds, len(drawn)]))


# ---- Measuring ------------------------------------------------------------------------------------------------------


class Progress:
    """One line about what is being measured, redrawn in a terminal."""

    def __init__(self):
        self.start, self.text = time.monotonic(), ''

    def begin(self, text):
        self.text = text
        self.show('')
        if not sys.stderr.isatty():
            print(f'{time.monotonic() - self.start:5.0f} s  {text}', file=sys.stderr, flush=True)

    def show(self, line):
        if sys.stderr.isatty():
            text = f'{time.monotonic() - self.start:.0f} s  {self.text}  {line}'
            print(f'\r\033[K{text[:78]}', end='', file=sys.stderr, flush=True)

    def end(self):
        if sys.stderr.isatty():
            print('\r\033[K', end='', file=sys.stderr, flush=True)


def run(command, env, curve, samples, progress):
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}) as process:
        for line in process.stdout:
            samples.read(curve, line)
            progress.show(line.strip())
    if process.returncode:
        sys.exit(f'\n{command[0]}: the curve of {curve} ended with status {process.returncode}')


def launchers(program):
    """What starts `program` as so many ranks of a thread each; empty, with a word, where there is no MPI."""
    # A make of its own, with the variables of the one that has started this, which has nothing else to do.
    plain = {name: value for name, value in os.environ.items() if name not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    given = shlex.split(re.split(r'(?:^|\s)--\s', os.environ.get('MAKEFLAGS', '') + ' -- ')[1])

    def make(*what):
        made = subprocess.run(['make', '--no-print-directory', '-s', *given, 'RANKS=mpi', *what], cwd=ROOT,
                              capture_output=True, text=True, env={**plain, 'OMP_NUM_THREADS': '1'})
        if made.returncode:
            raise FileNotFoundError(re.sub(r'^.*\*\*\* |  Stop\.$', '', made.stderr.strip().splitlines()[-1]))
        return made.stdout.split()
    try:
        make(program)
        return {ranks: [*make('launch', f'NP={ranks}'), program] for ranks in (1, 2, 4, 8)}
    except FileNotFoundError as error:
        print(f'no curve of ranks: {error}', file=sys.stderr)
        return {}


def measure(args):
    samples, progress = Samples(), Progress()
    options = ['--seconds', str(args.seconds), '--most', str(args.most), '--curve']
    of_ranks = launchers(args.ranks) if args.ranks and 'ranks' in args.only else {}
    thread_counts = sorted({CORES, *(2 ** i for i in range(CORES.bit_length()))})
    for number in range(1, args.passes + 1):
        for curve in args.only:
            progress.begin(f'pass {number} of {args.passes}: {curve}')
            if curve == 'threads':
                for threads in thread_counts:
                    run([args.growth, *options, curve], {'OMP_NUM_THREADS': str(threads)}, curve, samples, progress)
            elif curve == 'ranks':
                for command in of_ranks.values():
                    run([*command, *options, curve], {}, curve, samples, progress)
            else:
                run([args.growth, *options, curve], {}, curve, samples, progress)
    progress.end()
    return samples


# ---- What is shown --------------------------------------------------------------------------------------------------


def show(rows):
    """The table: `*` marks a median that is beyond its goal."""
    for panel in PANELS:
        lines = [row for row in rows if row['curve'] == panel.curve]
        if not lines:
            continue
        print(f'\n{panel.title} ({panel.subtitle}); {panel.limit_label}: '
              + (f'{lines[0]["limit"]:g}' if panel.curve != 'threads' else 'as many as threads'))
        by_x = collections.defaultdict(dict)
        for row in lines:
            by_x[row['x']][row['series']] = row
        print(f'{panel.x_label:>18}' + ''.join(f'{label:>28}' for _, label in panel.series))
        for x, found in by_x.items():
            cells = ''
            for series, _ in panel.series:
                row = found.get(series)
                beyond = row and panel.curve in GOALS and row['median'] > row['limit']
                ms = f'{float(row["milliseconds"]):9.3f} ms' if row and row['milliseconds'] else ''
                cells += f'{ms:>14}{row["median"]:12.3g} {"*" if beyond else " "}' if row else f'{"-":>28}'
            print(f'{x:18}{cells}')


def ticks(low, high, logarithmic):
    if not logarithmic:
        step = 0.25 if high <= 1.3 else 0.5
        return [step * i for i in range(int(high / step + 0.01) + 1)]
    steps = (1, 1.5, 2, 3, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 200 else (1,)
    every = [digit * 10.0 ** power for power in range(-3, 8) for digit in steps]
    return [value for value in every if 0.999 * low <= value <= 1.001 * high]


def short(x):
    """4096 as it is, 10000 as 10⁴."""
    if x >= 10000 and 10 ** round(math.log10(x)) == x:
        return '10' + ''.join('⁰¹²³⁴⁵⁶⁷⁸⁹'[int(digit)] for digit in str(round(math.log10(x))))
    return f'{x:,g}'.replace(',', ' ')


LEFT, WIDTH, HEIGHT, ACROSS, DOWN = 62, 360, 200, 470, 350
COLOURS = ['a', 'b', 'c', 'd']


def draw_panel(picture, panel, rows, x, y):
    """One panel: its plot's corner is at (x + LEFT, y + 90)."""
    left, top = x + LEFT, y + 90
    picture.text(x + 8, y + 14, panel.title, 'ink', 'start', words=True, bold=True, size=16)
    picture.text(x + 8, y + 36, panel.subtitle, 'dim', 'start', words=True, small=True)
    if not rows:
        picture.text(left + WIDTH / 2, top + HEIGHT / 2, 'not measured', 'dim', words=True)
        return
    xs = sorted({row['x'] for row in rows})
    low = min(min(row['least'], row['limit']) for row in rows)
    high = max(max(row['most'], row['limit']) for row in rows)
    low, high = (low / 1.25, max(high * 1.25, 2.5 * low)) if panel.logarithmic else (0, high * 1.08)
    scale = math.log if panel.logarithmic else lambda value: value
    x_span = math.log(xs[-1] / xs[0]) or 1

    def at(value_x, value):
        return (left + 14 + math.log(value_x / xs[0]) / x_span * (WIDTH - 28),
                top + HEIGHT - (scale(value) - scale(low)) / (scale(high) - scale(low)) * HEIGHT)

    for value in ticks(low, high, panel.logarithmic):
        height = at(xs[0], value)[1]
        picture.line(left, height, left + WIDTH, height, 'rule', 1)
        picture.text(left - 8, height, short(value), 'dim', 'end', words=True, small=True)
    shown = [value for value in xs if len(xs) < 9 or math.log2(value) % 2 == 0]
    for value in shown:
        picture.line(at(value, low)[0], top + HEIGHT, at(value, low)[0], top + HEIGHT + 4, 'dim', 1)
        picture.text(at(value, low)[0], top + HEIGHT + 15, short(value), 'dim', words=True, small=True)
    picture.text(left + WIDTH / 2, top + HEIGHT + 34, panel.x_label, 'dim', words=True, small=True)

    lines = [([row for row in rows if row['series'] == series], label, colour)
             for (series, label), colour in zip(panel.series, COLOURS)]
    for points, _, colour in lines:
        picture.path([at(p['x'], p['most']) for p in points] + [at(p['x'], p['least']) for p in reversed(points)], None,
                     fill=f'soft-{colour}')
    limit = [at(value, value if panel.curve == 'threads' else rows[0]['limit']) for value in xs]
    picture.path(limit, 'ink', 1.5, '6 4')
    legend = x + 8
    for points, label, colour in lines:
        picture.path([at(p['x'], p['median']) for p in points], colour, 2)
        for p in points:
            picture.circle(*at(p['x'], p['median']), 3, colour, colour)
        picture.line(legend, y + 62, legend + 16, y + 62, colour, 3)
        picture.text(legend + 21, y + 62, label, 'ink', 'start', words=True, small=True)
        legend += 38 + 6.7 * len(label)
    lowest = -math.inf  # of the values at the lines' ends, which make room for each other
    for points, _, colour in sorted(lines, key=lambda line: -line[0][-1]['median']):
        lowest = max(at(points[-1]['x'], points[-1]['median'])[1], lowest + 14)
        picture.text(left + WIDTH - 4, lowest, f'{points[-1]["median"]:.3g}', colour, 'start', words=True, small=True)
    picture.line(legend, y + 62, legend + 16, y + 62, 'ink', 1.5, '6 4')
    picture.text(legend + 21, y + 62, panel.limit_label, 'ink', 'start', words=True, small=True)


def draw(rows, peak, passes):
    curves = {row['curve'] for row in rows}
    panels = [panel for panel in PANELS if panel.curve in curves]
    down = (len(panels) + 1) // 2
    picture = svg.Picture(2 * ACROSS, 90 + DOWN * down, 'How cost grows')
    model = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), 'processor')
    machine = f'{model}, {CORES} cores' + (f'; at most {peak[0]:.0f} GFLOP/s and {peak[1]:.0f} GB/s' if peak[0] else '')
    picture.text(8, 18, f'How the cost of teeny grows: {machine}', 'ink', 'start', words=True, bold=True)
    caption = (f'Points: the median of {passes} pass{"es" * (passes > 1)}; bands: from the least to the most. '
               'Least possible: the larger of the time for the multiply-adds and for the bytes.')
    picture.text(8, 42, caption, 'dim', 'start', words=True, small=True)
    for i, panel in enumerate(panels):
        draw_panel(picture, panel, [row for row in rows if row['curve'] == panel.curve], i % 2 * ACROSS, 70 + i // 2 * DOWN)
    return picture.svg()


def main():
    parser = argparse.ArgumentParser(description='How cost grows: growth.csv and growth.svg.')
    parser.add_argument('growth')
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--ranks', default='', help='the program of many ranks, which make builds')
    parser.add_argument('--only', default=','.join(CURVES), help='curves with commas: batch,nodes')
    parser.add_argument('--passes', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=0.2, help='how long a point is repeated in each pass')
    parser.add_argument('--most', type=int, default=1000000, help='no batch, width or number of nodes beyond this')
    args = parser.parse_args()
    args.only = args.only.split(',')
    for curve in args.only:
        if curve not in CURVES:
            parser.error(f'--only {curve}: unknown; there are {", ".join(CURVES)}')
    if args.passes < 1 or args.seconds <= 0 or args.most < 64:
        parser.error('--passes must be 1 or more, --seconds above 0, and --most 64 or more')

    args.folder.mkdir(parents=True, exist_ok=True)
    samples = measure(args)
    rows = list(samples.rows())
    with open(args.folder / 'growth.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator='\n')
        writer.writeheader()
        writer.writerows({**row, **{name: f'{row[name]:.5g}' for name in ('median', 'least', 'most')}} for row in rows)
    (args.folder / 'growth.svg').write_text(draw(rows, samples.peak, args.passes))
    show(rows)
    print(f'\n{args.folder}/growth.csv  {args.folder}/growth.svg')


main()
