#!/usr/bin/python3
"""Opens each page of build/book in a real browser, from the disk: Debian's chromium-driver and python3-selenium.

    browser.py [FOLDER]     what is checked is below; with screenshots and a printed chapter in FOLDER
    browser.py --self-test  plants mistakes into a copy of the book, and fails where one is not found
"""
import base64
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
import urllib.parse

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    sys.exit('browser.py needs Selenium: apt-get install chromium-driver python3-selenium, and run it with /usr/bin/python3')

BOOK = pathlib.Path(__file__).resolve().parents[2] / 'build' / 'book'
PHONE, DESK = (360, 740), (1600, 1000)

# What a page is asked: its identifiers, links, pictures that did not load, and what is wider than the window.
STATE = '''
const root = document.scrollingElement, width = arguments[0];
const wide = root.scrollWidth <= width ? [] : [...document.querySelectorAll('body *')].filter(e => {
  if (e.getBoundingClientRect().right <= width + 1) return false;
  for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== 'visible') return false;
  return true;
});
return {
  ids: [...document.querySelectorAll('[id]')].map(e => e.id),
  links: [...document.querySelectorAll('a[href]')].map(e => e.href),
  pictures: [...document.images].filter(i => !i.complete || !i.naturalWidth || !i.alt).map(i => i.getAttribute('src')),
  wide: wide.slice(0, 3).map(e => e.tagName.toLowerCase() + ' ' + e.textContent.trim().slice(0, 40)),
  scrolls: root.scrollWidth - width,
  title: document.title,
  next: document.querySelector('#neighbours [rel=next]')?.href,
  before: document.querySelector('#neighbours [rel=prev]')?.href,
}'''

# The smallest contrast of a text and what lies behind it, over all pairs of colours of a page: WCAG asks for 4.5.
CONTRAST = '''
const rgb = c => c.match(/[\\d.]+/g).map(Number);
const light = c => rgb(c).slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => {
  const colour = e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)';
  return (rgb(colour)[3] ?? 1) > 0 ? colour : behind(e.parentElement);
};
const seen = new Map();
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
  const text = getComputedStyle(e).color, back = behind(e), name = e.tagName.toLowerCase() + '.' + e.className;
  if (!seen.has(text + back)) seen.set(text + back, [text, back, name, e.textContent.trim().slice(0, 30)]);
}
return [...seen.values()].map(([text, back, ...where]) => {
  const [a, b] = [light(text), light(back)].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), text, back, ...where];
}).filter(([ratio]) => ratio < 4.5)'''


class Browser:
    def __init__(self, book):
        self.book, self.wrong = book, []
        options = webdriver.ChromeOptions()
        for option in ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
                       '--disable-background-networking', '--force-device-scale-factor=1'):
            options.add_argument(option)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.driver = webdriver.Chrome(options=options)
        self.driver.set_page_load_timeout(20)

    def size(self, width, height):
        self.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride',
                                    {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 500})

    def scheme(self, name):
        self.driver.execute_cdp_cmd('Emulation.setEmulatedMedia',
                                    {'features': [{'name': 'prefers-color-scheme', 'value': name}]})

    def open(self, page):
        self.driver.get((self.book / page).as_uri() if '://' not in page else page)

    def expect(self, good, where, what):
        if not good:
            self.wrong.append(f'{where}: {what}')

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait(self, condition, where, what):
        try:
            WebDriverWait(self.driver, 5, 0.05).until(lambda d: condition())
        except Exception:
            self.expect(False, where, what)

    def picture(self, file):
        if folder:
            (folder / file).write_bytes(base64.b64decode(
                self.driver.execute_cdp_cmd('Page.captureScreenshot', {'format': 'png'})['data']))


# ---- What must hold -------------------------------------------------------------------------------------------------

def each_page(b, pages):
    """No error in the console, no picture missing, nothing wider than the window; what the page links to is returned."""
    states = {}
    for size in (DESK, PHONE):
        b.size(*size)
        for page in pages:
            if size == PHONE and page.startswith('source/'):
                continue
            b.open(page)
            state = b.driver.execute_script(STATE, size[0])
            states.setdefault(page, state)
            where = f'{page} at {size[0]} pixels'
            b.expect(not state['pictures'], where, f'pictures that are missing or say nothing: {state["pictures"]}')
            b.expect(state['scrolls'] <= 0, where, f'scrolls by {state["scrolls"]} pixels to the side: {state["wide"]}')
            for entry in b.driver.get_log('browser'):
                b.expect(False, where, f'console: {entry["message"]}')
    return states


def links(b, states):
    """Each link leads to a page, and to a place in it."""
    base = b.book.as_uri() + '/'
    for page, state in states.items():
        for link in sorted(set(state['links'])):
            address, _, fragment = link.partition('#')
            if not address.startswith('file:'):
                continue
            target = urllib.parse.unquote(address[len(base):]) if address.startswith(base) else None
            if target is None or not (b.book / target).is_file():
                b.expect(False, page, f'a link to nowhere: {link}')
            elif fragment and target in states:
                b.expect(urllib.parse.unquote(fragment) in states[target]['ids'], page, f'no such place: {target}#{fragment}')


def chain(b, states):
    """From the first page each `next` leads on, and `before` back, until all pages but those of the source were seen."""
    base, page, seen = b.book.as_uri() + '/', 'index.html', []
    while page and page not in seen and page in states:
        seen.append(page)
        following = (states[page]['next'] or '')[len(base):]
        if following in states:
            back = (states[following]['before'] or '')[len(base):]
            b.expect(back == page, following, f'`before` leads to {back}, not to {page}')
        page = following
    missing = {p for p in states if not p.startswith('source/')} - set(seen)
    b.expect(not page, page, 'is in the chain of `next` twice')
    b.expect(not missing, 'index.html', f'the chain of `next` misses {sorted(missing)}')


def readable(b, where):
    for ratio, text, back, *what in b.driver.execute_script(CONTRAST):
        b.expect(False, where, f'contrast {ratio:.1f} of {text} on {back}: {what}')


def contrast(b, pages):
    for scheme in ('light', 'dark'):
        b.scheme(scheme)
        for size in (DESK, PHONE):
            b.size(*size)
            for page in pages:
                b.open(page)
                if size == PHONE:
                    b.one('#menu').click()
                readable(b, f'{page}, {scheme}')
    b.scheme('light')


def search(b, page):
    """`/` and a word: a result leads to the place, and the word is marked there."""
    b.size(*DESK)
    b.open(page)
    b.driver.switch_to.active_element.send_keys('/')
    box = b.one('#search input')
    b.expect(b.driver.switch_to.active_element == box, page, '`/` does not lead to the search')
    box.send_keys('caching allocator')
    results = lambda: b.driver.find_elements(By.CSS_SELECTOR, '#found a')
    b.wait(results, page, 'the search finds nothing')
    if not results():
        return
    b.expect('CachingAllocator' in b.one('#found').text, page, 'the search for `caching allocator` does not show it')
    for scheme in ('dark', 'light'):
        b.scheme(scheme)
        readable(b, f'what is found, {scheme}')
        b.picture(f'search-desk-{scheme}.png')
    box.send_keys(Keys.DOWN)
    address = results()[0].get_attribute('href')
    b.driver.switch_to.active_element.send_keys(Keys.ENTER)
    b.wait(lambda: b.driver.current_url == address, page, 'a result of the search does not open')
    b.expect(b.driver.find_elements(By.CSS_SELECTOR, 'article mark'), address, 'the word that was searched is not marked')
    readable(b, address)
    box = b.one('#search input')
    box.send_keys('xyzzyx')
    b.wait(lambda: 'No page' in b.one('#found').text, page, 'the search does not say that there is nothing')
    box.send_keys(Keys.ESCAPE)
    b.expect(not b.one('#found').is_displayed(), page, 'Escape does not close the search')
    b.expect(not b.driver.find_elements(By.CSS_SELECTOR, 'article mark'), page, 'Escape does not take the marks away')


def copy(b, page):
    b.size(*DESK)
    b.open(page)
    b.driver.execute_cdp_cmd('Browser.grantPermissions', {'permissions': ['clipboardReadWrite', 'clipboardSanitizedWrite']})
    code = b.one('article .code pre').get_property('innerText')
    b.driver.execute_script('document.querySelector(".copy").scrollIntoView({block: "center"})')
    b.one('.copy').click()
    b.wait(lambda: b.one('.copy').text == 'Copied', page, 'the copy button does nothing')
    copied = b.driver.execute_async_script('navigator.clipboard.readText().then(arguments[0], arguments[0])')
    b.expect(str(copied).strip() == code.strip(), page, f'copied was {copied!r}')


def on_a_phone(b, page):
    """The list of pages is out of the way until it is asked for, and leads on."""
    b.size(*PHONE)
    b.open(page)
    pages = b.one('#pages')
    b.expect(not pages.is_displayed(), page, 'the list of pages covers the text of a phone')
    b.one('#menu').click()
    told = b.one('#menu').get_attribute('aria-expanded')
    b.expect(pages.is_displayed() and told == 'true', page, 'the button shows no list of pages')
    b.picture('pages-phone.png')
    link = b.driver.find_elements(By.CSS_SELECTOR, '#pages li a')[1]
    address = link.get_attribute('href')
    link.click()
    b.wait(lambda: b.driver.current_url == address, page, 'the list of pages leads nowhere')
    b.size(*DESK)
    b.expect(b.one('#pages').is_displayed() and not b.one('#menu').is_displayed(), page, 'no list of pages beside the text')


def printed(b, page):
    """On paper: pages with the text, and without the list of pages."""
    b.open(page)
    b.scheme('dark')
    paper = {'preferCSSPageSize': True, 'paperWidth': 8.27, 'paperHeight': 11.69}
    pdf = base64.b64decode(b.driver.execute_cdp_cmd('Page.printToPDF', paper)['data'])
    b.scheme('light')
    count = len(re.findall(rb'/Type\s*/Page\b', pdf))
    b.expect(2 <= count <= 30, page, f'printed it has {count} pages')
    if folder:
        (folder / 'print.pdf').write_bytes(pdf)
    b.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'media': 'print'})
    for part in ('#pages', 'header', '#neighbours'):
        b.expect(not b.one(part).is_displayed(), page, f'{part} is printed')
    b.driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'media': ''})


def screenshots(b, pages):
    for scheme in ('light', 'dark'):
        b.scheme(scheme)
        for name, size in (('desk', DESK), ('phone', PHONE)):
            b.size(*size)
            for page in pages:
                b.open(page)
                b.picture(f'{page.replace("/", "-")[:-5]}-{name}-{scheme}.png')
    b.scheme('light')


def examine(book, only=None):
    """What is wrong with the book."""
    names = sorted(p.relative_to(book).as_posix() for p in book.rglob('*.html'))
    pages = [name for name in names if not name.startswith('widgets/')]
    chapters = [p for p in pages if re.match(r'\d\d-', p)] or [p for p in pages if '/' not in p]
    richest = max(chapters, key=lambda p: (book / p).read_text().count('<div class="code'))
    source = next(p for p in pages if p.endswith('.h.html'))
    sample = ['index.html', richest, 'glossary.html', next(p for p in pages if p.startswith('exercises/0')), source]
    b = Browser(book)
    try:
        states = each_page(b, [p for p in pages if only is None or p in only])
        links(b, states)
        contrast(b, only or sample)
        if only is None:
            chain(b, states)
            search(b, source)
            for check in (search, copy, on_a_phone, printed):
                check(b, richest)
            if folder:
                screenshots(b, sample)
        for entry in b.driver.get_log('browser'):
            b.expect(False, 'later', f'console: {entry["message"]}')
    finally:
        b.driver.quit()
    return len(pages), b.wrong


# ---- The test of the test -------------------------------------------------------------------------------------------

PLANTED = {
    'a link to nowhere': '<p><a href="nowhere.html">x</a></p>',
    'no such place': '<p><a href="#nowhere">x</a></p>',
    'pictures that are missing': '<p><img src="nowhere.svg" alt="x"></p>',
    'console: .*planted': '<script>throw new Error("planted")</script>',
    'light: contrast': '<p style="color: #aaa">x</p>',
    'dark: contrast': '<p style="color: #444">x</p>',
    'at 360 .*scrolls by': '<table><tr><td style="min-width: 500px">x</td></tr></table>',
    'at 1600 .*scrolls by': '<p><span style="display: block; width: 1700px">x</span></p>',
}


def self_test():
    failed = 0
    for says, planted in PLANTED.items():
        with tempfile.TemporaryDirectory() as copy_of:
            book = pathlib.Path(copy_of) / 'book'
            shutil.copytree(BOOK, book)
            file = book / 'index.html'
            file.write_text(file.read_text().replace('</article>', planted + '</article>'))
            found = [w for w in examine(book, {'index.html'})[1] if re.search(says, w)]
            failed += not found
            print(f'{"found" if found else "NOT FOUND":10} {planted[:60]:62}{found[0][:100] if found else ""}')
    return failed


if not (BOOK / 'index.html').exists():
    sys.exit('there is no build/book: run make book')
folder = None
if '--self-test' in sys.argv:
    sys.exit(self_test() > 0)
if len(sys.argv) > 1:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
started = time.time()
count, wrong = examine(BOOK)
print('\n'.join(wrong[:40]))
print(f'{count} pages in {time.time() - started:.0f} s: {len(wrong)} things are wrong')
sys.exit(len(wrong) > 0)
