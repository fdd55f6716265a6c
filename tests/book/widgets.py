#!/usr/bin/python3
"""Clicks through the widgets of the book in a headless Chromium, and compares what they show with what it computes.

    widgets.py [--shots FOLDER]

Needs Debian's chromium-driver and python3-selenium, and `make widgets`. With --shots it leaves pictures of every page,
360 and 1,600 pixels wide, light and dark.
"""
import argparse
import base64
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

arguments = argparse.ArgumentParser()
arguments.add_argument('--shots')
arguments = arguments.parse_args()
BOOK = pathlib.Path('build/book').resolve()
checks = 0


def check(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f'{what}:\n  shown     {got}\n  expected  {wanted}')


def check_that(what, holds):
    check(what, bool(holds), True)


class Page:
    """A page in the browser, as a reader has it: from a file, of some width, light or dark."""

    def __init__(self, browser, name, width=1600, dark=False):
        self.browser, self.name = browser, name
        browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
            'width': width, 'height': 1000, 'deviceScaleFactor': 1, 'mobile': width < 600})
        browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {
            'features': [{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}]})
        browser.get_log('browser')
        browser.get((BOOK / 'widgets' / f'{name}.html').as_uri())
        WebDriverWait(browser, 60).until(
            lambda _: self.all('main:not([hidden])') and not self.all('#status:not([hidden])'))

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def button(self, text, inside='body'):
        return next(b for b in self.all(inside + ' button') if b.text == text)

    def script(self, text, *args):
        return self.browser.execute_script(text, *args)

    def is_quiet_and_fits(self):
        """No error in the console, and nothing is wider than the window."""
        errors = [e['message'] for e in self.browser.get_log('browser') if e['level'] == 'SEVERE']
        check(f'{self.name}: the console', errors, [])
        wide = self.script('return document.documentElement.scrollWidth - innerWidth')
        check_that(f'{self.name}: {wide} pixels wider than the window', wide <= 0)

    def shot(self, name):
        if not arguments.shots:
            return
        pathlib.Path(arguments.shots).mkdir(parents=True, exist_ok=True)
        size = self.script('return {width: innerWidth, height: document.documentElement.scrollHeight}')
        picture = self.browser.execute_cdp_cmd('Page.captureScreenshot', {
            'captureBeyondViewport': True, 'clip': dict(size, x=0, y=0, scale=1)})
        (pathlib.Path(arguments.shots) / f'{name}.png').write_bytes(base64.b64decode(picture['data']))


# ---- Views: the same movements on a table from index to address ------------------------------------------------------

def indices(shape):
    return itertools.product(*(range(size) for size in shape))


class Table:
    """A tensor as a dictionary: index -> address in the buffer, or None where there is only padding."""

    def __init__(self, shape, addresses=None):
        self.shape = tuple(shape)
        self.at = addresses or {index: n for n, index in enumerate(indices(shape))}

    def made(self, shape, source):
        """The tensor whose element at an index is this one's at source(index); None: padding."""
        return Table(shape, {index: self.at.get(source(index)) for index in indices(shape)})

    def permute(self, axes):
        return self.made([self.shape[a] for a in axes], lambda i: tuple(i[axes.index(a)] for a in range(len(axes))))

    def transpose(self, a, b):
        axes = list(range(len(self.shape)))
        axes[a], axes[b] = b, a
        return self.permute(axes)

    def reshape(self, shape):
        values = [self.at[index] for index in indices(self.shape)]
        return Table(shape, dict(zip(indices(shape), values)))

    def flatten(self):
        return self.reshape((len(self.at),))

    def unsqueeze(self, axis):
        return self.reshape(self.shape[:axis] + (1,) + self.shape[axis:])

    def expand(self, shape):
        return self.made(shape, lambda i: tuple(0 if n == 1 else x for x, n in zip(i, self.shape)))

    def pad(self, before, after):
        shape = [n + b + e for n, b, e in zip(self.shape, before, after)]
        return self.made(shape, lambda i: tuple(x - b for x, b in zip(i, before)))  # outside there is nothing

    def shrink(self, begin, end):
        return self.made([e - b for b, e in zip(begin, end)], lambda i: tuple(x + b for x, b in zip(i, begin)))

    def flip(self, axis):
        last = self.shape[axis] - 1
        return self.made(self.shape, lambda i: tuple(last - x if a == axis else x for a, x in enumerate(i)))

    def unfold(self, axis, size, step):
        shape = list(self.shape)
        shape[axis] = (shape[axis] - size) // step + 1
        return self.made(shape + [size], lambda i: tuple(
            x * step + i[-1] if a == axis else x for a, x in enumerate(i[:-1])))

    def addresses(self):
        return [-1 if self.at[i] is None else self.at[i] for i in indices(self.shape)]


def shown_addresses(page):
    return page.script("return [...document.querySelectorAll('#view .cell')].map(c => Number(c.dataset.address))")


def shown_views(page):
    """(shape, strides, offset) of each View, the one at the buffer first."""
    found = []
    for view in reversed(page.all('.view')):
        terms = [d.text for d in view.find_elements(By.TAG_NAME, 'dd')]
        numbers = [tuple(int(n) for n in re.findall(r'-?\d+', term)) for term in terms[:3]]
        found.append((numbers[0], numbers[1], numbers[2][0]))
    return found


def check_views(page, what, table, views):
    check(what + ': addresses', shown_addresses(page), table.addresses())
    check(what + ': shape', shown_views(page)[-1][0], table.shape)
    check(what + ': Views', len(page.all('.view')), views)
    check(what + ': the sentence on copies', 'copies' in page.one('#why').text, views > 1)
    if views == 1:  # the strides and the offset, from the table: of each element that is there
        shape, strides, offset = shown_views(page)[0]
        for index, address in table.at.items():
            if address is not None:
                check(what + f': address of {index}', offset + sum(s * i for s, i in zip(strides, index)), address)


def test_views(browser):
    page = Page(browser, 'views')
    check_views(page, 'start', Table((3, 4)), 1)

    def axis(number, text):
        row = page.all('#axes tr')[number]
        next(b for b in row.find_elements(By.TAG_NAME, 'button') if b.text == text).click()

    def shape(text, button):
        page.one('#to').clear()
        page.one('#to').send_keys(text)
        page.button(button, '#whole').click()

    # Button by button.
    table = Table((3, 4))
    for do, change in [
            (lambda: axis(0, 'swap'), lambda t: t.transpose(0, 1)),
            (lambda: axis(0, 'pad <'), lambda t: t.pad([1, 0], [0, 0])),
            (lambda: axis(1, 'pad >'), lambda t: t.pad([0, 0], [0, 1])),
            (lambda: axis(0, 'windows'), lambda t: t.unfold(0, 3, 1)),
            (lambda: axis(1, 'flip'), lambda t: t.flip(1)),
            (lambda: axis(2, 'cut <'), lambda t: t.shrink([0, 0, 1], t.shape)),
            (lambda: axis(1, 'cut >'), lambda t: t.shrink([0, 0, 0], [t.shape[0], t.shape[1] - 1, t.shape[2]])),
            (lambda: page.button('unsqueeze(0)').click(), lambda t: t.unsqueeze(0)),
            (lambda: axis(0, 'expand'), lambda t: t.expand((3,) + t.shape[1:]))]:
        do()
        table = change(table)
        check_views(page, page.one('#expression').text, table, 1)
    check_that('guards are shown', '0 <= ' in page.one('#views').text and page.all('#view .none'))
    page.is_quiet_and_fits()
    page.button('flatten').click()
    check_views(page, 'flatten of all that', table.flatten(), 2)
    for _ in range(10):
        page.button('Undo').click()
    check_views(page, 'ten times undo', Table((3, 4)), 1)

    # The recipes: what is said of each.
    recipes = {
        'transpose, flatten': (Table((3, 4)).transpose(0, 1).flatten(), 2),
        'a window over padding': (Table((6,)).pad([1], [1]).unfold(0, 3, 1), 1),
        '3 x 3 windows of an image': (Table((4, 4)).pad([1, 1], [1, 1]).unfold(0, 3, 1).unfold(1, 3, 1), 1),
        'broadcast a row': (Table((5,)).reshape((1, 5)).expand((4, 5)), 1),
        'the diagonal': (Table((4, 4)).flatten().pad([0], [4]).reshape((4, 5)).shrink([0, 0], [4, 1]), 1),
        'pad, flatten': (Table((3, 4)).pad([0, 1], [0, 1]).flatten(), 2),
        'and back again': (Table((3, 4)).transpose(0, 1).flatten().reshape((4, 3)), 1),
    }
    check('recipes', [b.text for b in page.all('#recipes button')], list(recipes))
    for name, (table, views) in recipes.items():
        page.button(name).click()
        check_views(page, name, table, views)
        check(name + ': no error', page.one('#error').text, '')
    page.button('transpose, flatten').click()
    check_that('why no stride fits', 'moves the address by 1, but all 3 steps along axis 1 move it by 3 * 4 = 12'
               in page.one('#why').text)

    # Errors are teeny's.
    page.button('Reset').click()
    shape('5, 3', 'reshape')
    check('a wrong shape', page.one('#error').text, 'reshape: (3, 4) has 12 elements, (5, 3) would have 15')
    shape('5, 4', 'expand')
    check('a wrong expand', page.one('#error').text, 'expand: (3, 4) to (5, 4): only axes of size 1 can grow')
    check_views(page, 'as it was', Table((3, 4)), 1)
    shape('2, -1', 'reshape')
    check_views(page, 'reshape to 2, -1', Table((3, 4)).reshape((2, 6)), 1)

    # A slider, the keyboard, and an edge that is dragged.
    page.script("const s = document.getElementById('size0'); s.value = 5; s.dispatchEvent(new Event('input'))")
    check_views(page, 'a longer axis', Table((5, 4)), 1)
    page.one('#view').send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    check('the chosen element', page.one('#explain').text, 'Element (2, 1): address 4*2 + 1*1 = 9.')
    check_that('an arrow to the buffer', page.one('#picture .arrow').get_attribute('d'))
    cell = page.one('#view rect').size['width']
    handle = page.one('.handle[data-axis="1"][data-end="after"]')
    ActionChains(browser).click_and_hold(handle).move_by_offset(2 * cell, 0).release().perform()
    check_views(page, 'dragged outward', Table((5, 4)).pad([0, 0], [0, 2]), 1)
    handle = page.one('.handle[data-axis="0"][data-end="before"]')
    ActionChains(browser).click_and_hold(handle).move_by_offset(0, 3 * cell).release().perform()
    check_views(page, 'dragged inward', Table((5, 4)).pad([0, 0], [0, 2]).shrink([3, 0], [5, 6]), 1)
    page.is_quiet_and_fits()
    for width, dark in itertools.product((360, 1600), (False, True)):
        page = Page(browser, 'views', width, dark)
        for recipe in ('3 x 3 windows of an image', 'transpose, flatten'):
            page.button(recipe).click()
            page.one('#view').send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
            page.is_quiet_and_fits()
            page.shot(f'views-{recipe.split()[0]}-{width}-{"dark" if dark else "light"}')


# ---- The digit page --------------------------------------------------------------------------------------------------

# Strokes on a square from 0 to 1, as somebody might draw them, in a corner and of any size.
DRAWN = {
    0: [[(.5, .2), (.35, .3), (.3, .5), (.35, .7), (.5, .8), (.65, .7), (.7, .5), (.65, .3), (.5, .2)]],
    1: [[(.25, .15), (.24, .3), (.22, .5), (.21, .7)]],
    2: [[(.3, .35), (.4, .22), (.55, .22), (.62, .35), (.55, .5), (.4, .65), (.28, .78), (.45, .78), (.68, .78)]],
    3: [[(.32, .25), (.5, .2), (.62, .3), (.58, .42), (.45, .48),
         (.6, .55), (.66, .68), (.55, .8), (.4, .82), (.3, .75)]],
    4: [[(.35, .2), (.32, .35), (.3, .5), (.45, .5), (.65, .48)], [(.62, .22), (.6, .5), (.58, .82)]],
    7: [[(.3, .25), (.5, .25), (.7, .24), (.62, .42), (.54, .6), (.48, .82)]],
}


def chances(page):
    return page.script("return [...document.querySelectorAll('#chances li')].map(li => Number(li.dataset.value))")


def answer(page):
    return int(page.one('#answer strong').text)


def grey(page, canvas):
    """The pixels of a canvas, 0 to 255."""
    return page.script('const c = arguments[0], all = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;'
                       'return [...all].filter((_, i) => i % 4 == 0)', canvas)


def draw(page, strokes):
    page.button('Clear').click()
    box = page.one('#pad').size
    for stroke in strokes:
        to = [(round((x - .5) * box['width']), round((y - .5) * box['height'])) for x, y in stroke]
        act = ActionChains(page.browser, duration=5)
        act.move_to_element_with_offset(page.one('#pad'), *to[0]).click_and_hold()
        for (x, y), (next_x, next_y) in zip(to, to[1:]):
            act.move_by_offset(next_x - x, next_y - y)
        act.release().perform()
    page.browser.execute_async_script(
        'const done = arguments[0]; requestAnimationFrame(() => setTimeout(() => setTimeout(done, 300)))')


def test_digit(browser):
    data = json.loads((BOOK / 'widgets' / 'digit-data.js').read_text().removeprefix('const DIGIT = ').rstrip(';\n'))
    check_that(f'{data["accuracy"]} % of the test set', data['accuracy'] >= 98)
    page = Page(browser, 'digit')
    check('a sample of each class', [b.text for b in page.all('#samples button')], [*'0123456789', 'wrong'])

    def compare(what, sample):
        shown = chances(page)
        check_that(what + ': ten chances', len(shown) == 10 and abs(sum(shown) - 1) < 1e-5 and min(shown) >= 0)
        worst = max(abs(a - b) for a, b in zip(shown, sample['chances']))
        check_that(f'{what}: the native program differs by {worst}', worst < 1e-4)

    for digit in range(10):
        for sample in data['right'][digit]:
            if digit == 7 and sample is data['right'][7][0] and answer(page) == 7:
                compare('the first image', sample)  # which the page begins with
            page.button(str(digit), '#samples').click()
            compare(f'image {sample["index"]}', sample)
            check(f'image {sample["index"]}', answer(page), digit)
    for sample in data['wrong'][:3]:
        page.button('wrong').click()
        compare(f'wrong image {sample["index"]}', sample)
        check_that('it is wrong', answer(page) != sample['label'])

    # The layers: their shapes, and that something is seen in them.
    check('layers', [h.text.split(' \u2192 ')[1] for h in page.all('.layer h3')],
          ['(16, 24, 24)', '(16, 12, 12)', '(32, 8, 8)', '(32, 4, 4)', '(10)'])
    for n, (channels, height) in enumerate([(16, 24), (16, 12), (32, 8), (32, 4)]):
        pixels = [grey(page, canvas) for canvas in page.all('.layer')[n].find_elements(By.TAG_NAME, 'canvas')]
        check(f'layer {n}', (len(pixels), len(pixels[0])), (channels, height * height))
        check(f'layer {n}: the brightest value is white', max(max(image) for image in pixels), 255)

    # What is drawn is read, wherever and however large.
    for digit, strokes in DRAWN.items():
        for scale, shift in ((1, 0), (.55, .4)):
            draw(page, [[(x * scale + shift, y * scale + shift) for x, y in stroke] for stroke in strokes])
            check(f'a drawn {digit}, {scale} as large', answer(page), digit)
            pixels = grey(page, page.one('#input'))
            lit = [(i // 28, i % 28) for i, p in enumerate(pixels) if p]
            side = max(max(x) - min(x) + 1 for x in zip(*lit))
            check_that(f'a drawn {digit} fills {side} pixels', 19 <= side <= 22)
            centre = [sum(p * (i // 28, i % 28)[k] for i, p in enumerate(pixels)) / sum(pixels) for k in (0, 1)]
            check_that(f'a drawn {digit}: its centre of mass is {centre}', all(abs(c - 13.5) < .6 for c in centre))
    page.shot('digit-drawn')
    page.button('Undo a stroke').click()
    page.button('Clear').click()
    page.is_quiet_and_fits()
    for width, dark in itertools.product((360, 1600), (False, True)):
        page = Page(browser, 'digit', width, dark)
        for _ in range(9):
            page.button('3', '#samples').click()
        page.is_quiet_and_fits()
        page.shot(f'digit-{width}-{"dark" if dark else "light"}')
    return float(page.one('#time').get_attribute('data-ms'))


# ---- The fusion explorer ---------------------------------------------------------------------------------------------

def trace(name, fuse):
    """The kernels of a program as DEBUG=3 lists them now, and the arrows of GRAPH= between them."""
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, DEBUG='3', FUSE=str(int(fuse)), GRAPH=f'{folder}/graph.dot')
        text = subprocess.run(['build/cpu-native/notes/widgets/programs', name], env=env, stderr=subprocess.PIPE, text=True, check=True).stderr
        arrows = re.findall(r'(\w+) -> (\w+);', pathlib.Path(folder, 'graph.dot').read_text())
    lines, kernels = text.split('== run\n')[1].splitlines(keepends=True), ['']
    for line in lines:
        if re.match(r' *\d+ +[\d.]+ us ', line):
            kernels.append('')
        else:
            kernels[-1] += line
    return kernels[:-1], arrows


def panel(page, way):
    return page.one(f'#{way} .listing pre').get_attribute('textContent')


def click(page, kernel):
    page.script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", kernel)


def test_fusion(browser):
    page = Page(browser, 'fusion')
    names = [b.get_attribute('data-name') for b in page.all('#programs button')]
    check_that('six programs and more', len(names) >= 6)
    for name in names:
        page.one(f'#programs [data-name={name}]').click()
        counts = {}
        for way in ('fused', 'unfused'):
            kernels, arrows = trace(name, way == 'fused')
            counts[way] = len(kernels)
            check(f'{name}, {way}: kernels drawn', len(page.all(f'#{way} .kernel')), len(kernels))
            check_that('operands of a kernel: a, b, c = kernel 6', ',,' not in page.one(f'#{way} svg').text)
            check(f'{name}, {way}: kernels counted', page.one(f'#kernels-{way}').text, str(len(kernels)))
            for number in sorted({0, len(kernels) // 2, len(kernels) - 1}):
                kernel = next(k for k in page.all(f'#{way} .kernel')
                              if k.get_attribute('aria-label').startswith(f'kernel {number}:'))
                click(page, kernel)
                check(f'{name}, {way}, kernel {number}', panel(page, way), kernels[number])
                check('chosen', len(page.all(f'#{way} .node.chosen')), 1)
                read, written = (sum(end == f'k{number}' for end in ends) for ends in list(zip(*arrows))[::-1])
                check('what it reads', len(page.all(f'#{way} .node.reads')), read)
                check('what reads its result', len(page.all(f'#{way} .node.writes')), written)
        check_that(f'{name}: fusion saves kernels', counts['fused'] < counts['unfused'])

    # By the keyboard: from the first kernel to the second and to the last, and what lies between.
    page.one('#programs [data-name=attention]').click()
    kernels, _ = trace('attention', True)
    page.one('#fused .kernel[tabindex="0"]').send_keys(Keys.ARROW_DOWN)
    check('arrow down', panel(page, 'fused'), kernels[1])
    check_that('what reads its result', page.all('#fused .node.writes') and page.all('#fused .edge.writes'))
    page.browser.switch_to.active_element.send_keys(Keys.END)
    check('end', panel(page, 'fused'), kernels[-1])
    width = page.one('#fused svg').size['width']
    page.one('#fused .larger').click()
    check_that('larger', page.one('#fused svg').size['width'] > width)
    page.is_quiet_and_fits()
    for width, dark in itertools.product((360, 1600), (False, True)):
        page = Page(browser, 'fusion', width, dark)
        for name in ('softmax', 'attention', 'training_step'):
            page.one(f'#programs [data-name={name}]').click()
            for way in ('fused', 'unfused'):
                kernels = page.all(f'#{way} .kernel')
                click(page, kernels[len(kernels) // 2])
            page.is_quiet_and_fits()
            page.shot(f'fusion-{name}-{width}-{"dark" if dark else "light"}')


# ---- In the chapters -------------------------------------------------------------------------------------------------

def test_chapters(browser):
    """Each chapter that has a widget shows it in a frame as high as it is."""
    for name, chapter in (('digit', '00-one-epoch'), ('views', '02-views'), ('fusion', '06-from-a-graph-to-kernels')):
        if not (BOOK / f'{chapter}.html').exists():
            continue  # only the widgets were built
        for width in (360, 1600):
            page = Page(browser, f'../{chapter}', width)
            frame = page.one(f'iframe[src="widgets/{name}.html"]')
            page.script('arguments[0].scrollIntoView()', frame)
            browser.switch_to.frame(frame)
            WebDriverWait(browser, 60).until(
                lambda _: page.all('main:not([hidden])') and not page.all('#status:not([hidden])'))
            check_that('no title of its own', not page.one('h1').is_displayed() and not page.one('nav').is_displayed())
            WebDriverWait(browser, 10).until(  # the chapter hears of the height
                lambda _: page.script('return innerHeight >= document.documentElement.scrollHeight'))
            browser.switch_to.default_content()
            page.is_quiet_and_fits()
            page.shot(f'chapter-{name}-{width}')


def main():
    options = webdriver.ChromeOptions()
    for option in ('headless=new', 'no-sandbox', 'disable-gpu', 'window-size=1600,1000', 'force-device-scale-factor=1'):
        options.add_argument('--' + option)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    browser = webdriver.Chrome(options=options)
    browser.set_script_timeout(60)
    try:
        for test in (test_views, test_digit, test_fusion, test_chapters):
            before, note = checks, test(browser)
            speed = f', {note:.0f} ms a digit' if note else ''
            print(f'{test.__name__[5:]:8} {checks - before} checks{speed}', flush=True)
    finally:
        browser.quit()


main()
