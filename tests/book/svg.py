"""Pictures for the pages: SVG text with a style of its own, for light and for dark pages.

Colours are classes: `ink` `dim` `paper`, and `a` to `e`, which are told apart by those who see no red or green, too. Lengths are
pixels; a letter of the usual size is 14 high and about 8.4 wide."""
import html
import math

LIGHT = {'paper': '#ffffff', 'ink': '#1b1f24', 'dim': '#6e7781', 'rule': '#d0d7de', 'a': '#0969da', 'b': '#bc4c00', 'c': '#1a7f37',
         'd': '#8250df', 'e': '#9a6700', 'soft-a': '#ddf4ff', 'soft-b': '#fff1e5', 'soft-c': '#dafbe1', 'soft-d': '#fbefff',
         'soft-e': '#fff8c5', 'soft': '#f3f5f8'}
DARK = {'paper': '#0d1117', 'ink': '#e6edf3', 'dim': '#8d96a0', 'rule': '#3d444d', 'a': '#58a6ff', 'b': '#f0883e', 'c': '#3fb950',
        'd': '#bc8cff', 'e': '#d29922', 'soft-a': '#0c2d4d', 'soft-b': '#3d2200', 'soft-c': '#0f2f1a', 'soft-d': '#2c1a4d',
        'soft-e': '#342a00', 'soft': '#1a2028'}


def _rules(colours):
    return ''.join(f'.f-{name}{{fill:{value}}}.s-{name}{{stroke:{value}}}' for name, value in colours.items())


STYLE = ('text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}'
         '.words{font-family:system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}.small{font-size:12px}.bold{font-weight:600}'
         '.none{fill:none}' + _rules(LIGHT) + f'@media(prefers-color-scheme:dark){{{_rules(DARK)}}}')


class Picture:
    """Draws in the order of the calls. Every shape takes `fill` and `stroke`, names of colours, or a `#rrggbb`."""

    def __init__(self, width, height, title):
        self.width, self.height, self.title, self.parts, self.heads = width, height, title, [], set()

    @staticmethod
    def _paint(fill, stroke, width=1.5, dash=None):
        own = lambda kind, colour: f' {kind}="{colour}"' if colour and colour.startswith('#') else ''
        classes = ' '.join([f'f-{fill}' if fill and not own('', fill) else '' if fill else 'none',
                            f's-{stroke}' if stroke and not own('', stroke) else '']).strip()
        return (f' class="{classes}"' if classes else '') + own('fill', fill) + own('stroke', stroke) + \
            (f' stroke-width="{width}"' if stroke else '') + (f' stroke-dasharray="{dash}"' if dash else '')

    def rect(self, x, y, width, height, fill=None, stroke='ink', round=3, stroke_width=1.5, dash=None, tip=None):
        shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round}"' \
                f'{self._paint(fill, stroke, stroke_width, dash)}'
        self.parts.append(f'{shape}><title>{html.escape(tip)}</title></rect>' if tip else f'{shape}/>')

    def circle(self, x, y, radius, fill=None, stroke='ink'):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"{self._paint(fill, stroke)}/>')

    def text(self, x, y, text, fill='ink', anchor='middle', words=False, small=False, bold=False, size=None):
        """The letters' base line is at y + 5, so that y is their middle. `words` is for prose, otherwise all letters are as wide."""
        classes = ' '.join(c for c, on in (('words', words), ('small', small), ('bold', bold), (f'f-{fill}', not fill.startswith('#'))) if on)
        own = f' fill="{fill}"' if fill.startswith('#') else ''
        style = f' style="font-size:{size}px"' if size else ''
        self.parts.append(f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="{anchor}" class="{classes}"{own}{style}>'
                          f'{html.escape(str(text))}</text>')

    def line(self, x1, y1, x2, y2, stroke='ink', width=1.5, dash=None, arrow=False):
        self.path([(x1, y1), (x2, y2)], stroke, width, dash, arrow)

    def path(self, points, stroke='ink', width=1.5, dash=None, arrow=False, fill=None):
        where = ' '.join(f'{"L" if i else "M"}{x:.1f},{y:.1f}' for i, (x, y) in enumerate(points))
        self._shape(where, stroke, width, dash, arrow, fill)

    def curve(self, x1, y1, x2, y2, bend=0.5, stroke='ink', width=1.5, dash=None, arrow=True):
        """From a point to one below or above it, vertical at both ends."""
        middle = (y2 - y1) * bend
        self._shape(f'M{x1:.1f},{y1:.1f} C{x1:.1f},{y1 + middle:.1f} {x2:.1f},{y2 - middle:.1f} {x2:.1f},{y2:.1f}', stroke, width, dash,
                    arrow, None)

    def _shape(self, where, stroke, width, dash, arrow, fill):
        head = f' marker-end="url(#to-{stroke})"' if arrow else ''
        self.heads |= {stroke} if arrow else set()
        self.parts.append(f'<path d="{where}"{self._paint(fill, stroke, width, dash)}{head}/>')

    def cells(self, x, y, rows, size=34, fill=None, marks=(), text=True, height=None):
        """A matrix of texts as boxes; `fill(row, column)` is a colour or None, and cells of `marks` have a thick border."""
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                colour = fill(i, j) if callable(fill) else fill
                self.rect(x + j * size, y + i * (height or size), size, height or size, colour, 'ink', 0, 2.5 if (i, j) in marks else 1)
                if text and value is not None:
                    self.text(x + (j + 0.5) * size, y + (i + 0.5) * (height or size), value)

    def curves(self, x, y, width, height, series, x_label='', y_label='', y_from=None, y_to=None, logarithmic=False):
        """A chart of lines: {name: (colour, [(x, y), ..])}, each with its name at its end."""
        scale = math.log10 if logarithmic else lambda v: v
        points = [p for _, line in series.values() for p in line]
        x0, x1 = min(p[0] for p in points), max(p[0] for p in points)
        y0 = scale(y_from if y_from is not None else min(p[1] for p in points))
        y1 = scale(y_to if y_to is not None else max(p[1] for p in points))
        place = lambda p: (x + (p[0] - x0) / ((x1 - x0) or 1) * width, y + height - (scale(p[1]) - y0) / ((y1 - y0) or 1) * height)
        for step in range(5):
            value = y0 + (y1 - y0) * step / 4
            at = y + height - height * step / 4
            self.line(x, at, x + width, at, 'rule', 1)
            self.text(x - 8, at, f'{10 ** value if logarithmic else value:.3g}', 'dim', 'end', small=True)
        for step in range(5):
            value = x0 + (x1 - x0) * step / 4
            self.text(x + width * step / 4, y + height + 16, f'{value:.4g}', 'dim', small=True)
        self.text(x + width / 2, y + height + 36, x_label, 'dim', words=True, small=True)
        self.text(x, y - 16, y_label, 'dim', 'start', words=True, small=True)
        for name, (colour, line) in series.items():
            self.path([place(p) for p in line], colour, 2)
            end = place(line[-1])
            self.text(end[0] + 6, end[1], name, colour, 'start', words=True, small=True)

    def svg(self):
        heads = ''.join(f'<marker id="to-{c}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
                        f'<path d="M0,0 L8,4 L0,8 z" class="f-{c}"/></marker>' for c in sorted(self.heads))
        defs = f'<defs>{heads}</defs>\n' if heads else ''
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" width="{self.width:.0f}" '
                f'height="{self.height:.0f}" role="img">\n<title>{html.escape(self.title)}</title>\n<style>{STYLE}</style>\n{defs}'
                f'<rect width="100%" height="100%" class="f-paper"/>\n' + '\n'.join(self.parts) + '\n</svg>\n')
