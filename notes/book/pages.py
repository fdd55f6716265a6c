#!/usr/bin/env python3
"""The book as HTML in build/book, which a browser reads from the disk: `make book`.

Each page of notes/ goes through pandoc. What pandoc does not know is added here: the frame around a page (page.html),
links between pages and into the source, what a listing is, the index for the search. Each source file that a page names
becomes a page, too. A link or a picture that leads nowhere is an error, told with its file and line.

    pages.py            pictures where a widget may stand
    pages.py --widgets  the widgets, which are in build/book/widgets
"""
import html
import json
import os
import pathlib
import re
import shutil
import string
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTES, HERE, OUT = ROOT / 'notes', ROOT / 'notes' / 'book', ROOT / 'build' / 'book'
FRAME = string.Template((HERE / 'page.html').read_text())
TAG = re.compile(r'<[^>]*>')
SOURCES = '.h', '.cpp', '.cu', '.py', '.sh', '.awk', '.css', '.js', '.html', '.mk'
errors = []


class Page:
    def __init__(self, path, group):
        self.path, self.group = path, group
        self.name = path.relative_to(NOTES).as_posix()
        self.out = 'index.html' if self.name == 'README.md' else self.name[:-3] + '.html'
        self.up = '../' * self.out.count('/')
        self.text = path.read_text()
        self.title = re.search(r'^# (.*)', self.text, re.M)[1].replace('`', '')
        number = re.match(r'\d\d', path.name)
        self.number = number[0] if number else ''
        self.chapter = (re.search(r'^chapter: (\d\d)$', self.text, re.M) or [0, ''])[1] if group == 'Exercises' else ''
        self.short = re.sub(r'^\d\d\s+', '', self.title)


def pages():
    """In the order in which they are read: the table of contents, what it links to, the rest, the exercises."""
    first = NOTES / 'README.md'
    found, group, seen = [Page(first, '')], '', {first}
    for line in first.read_text().splitlines():
        if line.startswith('## '):
            group = line[3:]
        for name in re.findall(r'\]\(([\w-]+\.md)\)', line) if group else ():
            if NOTES / name not in seen and (NOTES / name).exists():
                seen.add(NOTES / name)
                found.append(Page(NOTES / name, group))
    found += [Page(p, group) for p in sorted(NOTES.glob('*.md')) if p not in seen]
    return found + [Page(p, 'Exercises') for p in sorted(NOTES.glob('exercises/*.md'))]


# ---- From markdown to a fragment of HTML ----------------------------------------------------------------------------

def exercise(page, chapters):
    """The page of an exercise for a reader: no stub and no wrong bodies, and each hint folded."""
    fields = dict(re.findall(r'^([a-z]+): (.*)\n', page.text, re.M))
    text = re.sub(r'^[a-z]+: .*\n', '', page.text, flags=re.M)
    text = re.sub(r'^```cpp (stub|wrong)\n.*?^```\n', '', text, flags=re.S | re.M)
    text, *hints = re.split(r'^## Hint\n', text, flags=re.M)
    chapter = chapters.get(fields['chapter'])
    facts = [f'`{fields["file"]}`', f'chapter [{chapter.title}](../{chapter.name})' if chapter else '',
             f'after exercise {fields["needs"]}' if 'needs' in fields else '',
             f'{fields["points"]} point' + 's' * (fields['points'] != '1'), f'about {fields["minutes"]} minutes']
    title, text = text.split('\n', 1)
    result = f'{title}\n\n{" · ".join(filter(None, facts))}\n\n{text.strip()}\n\n'
    result += f'```sh\nmake start EX={int(page.number)}   # opens it in the source\n' \
              f'make watch EX={int(page.number)}   # checks it whenever you save; make hint, make skip\n```\n\n'
    for n, hint in enumerate(hints, 1):
        result += f'<details><summary>Hint {n}</summary>\n\n{hint.strip()}\n\n</details>\n\n'
    return result


def attributes(fence):
    """A fence whose info string pandoc understands: the reader is told an excerpt's place, the environment, what throws."""
    indent, language, rest = fence.groups()
    place, environment = re.match(r'from=(\S+)', rest), ' '.join(re.findall(r'[A-Z]+=\S+', rest))
    told = (f'from="{place[1]}"' if place else f'with="{environment}"' if environment else
            'throws=yes' if 'error' in rest.split() else '')
    return f'{indent}{{.{language} {told}}}'


def pandoc(page, chapters):
    text = exercise(page, chapters) if page.group == 'Exercises' else page.text
    text = re.sub(r'^( *```)(\w+) +(.+)$', attributes, text, flags=re.M)
    run = subprocess.run(['pandoc', '-f', 'gfm+attributes', '-t', 'html5', '--wrap=preserve', '--no-highlight'],
                         input=text, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f'{page.path.relative_to(ROOT)}: {run.stderr}')
    return run.stdout


# ---- Links ----------------------------------------------------------------------------------------------------------

class Links:
    def __init__(self, book):
        self.pages = {p.path: p for p in book}
        self.files = {p.relative_to(ROOT).as_posix() for top in ('teeny', 'tinyops', 'examples', 'tests', 'notes')
                      for p in (ROOT / top).rglob('*') if p.suffix in SOURCES} | {'Makefile'}
        self.by_name = {}
        for f in self.files:
            self.by_name.setdefault(f.rsplit('/', 1)[-1], []).append(f)
        self.readers, self.pictures = {}, set()  # {source file: the pages that name it}

    def source(self, page, file, line=None):
        if page not in self.readers.setdefault(file, []):
            self.readers[file].append(page)
        return f'{page.up}source/{file}.html' + (f'#L{line}' if line else '')

    def target(self, page, url):
        """Where a link of a page's markdown leads in the book; None: nowhere."""
        if re.match(r'[a-z]+:', url):
            return url
        path, _, fragment = url.partition('#')
        fragment = fragment and '#' + fragment
        file = pathlib.Path(os.path.normpath(page.path.parent / path)) if path else page.path
        if file in self.pages:
            return (os.path.relpath(self.pages[file].out, os.path.dirname(page.out) or '.') if path else '') + fragment
        name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else ''
        if name in self.files:
            return self.source(page, name) + fragment
        if file.is_file() and file.is_relative_to(NOTES):
            self.pictures.add(file)
            return path
        return '' if file.exists() else None  # a folder, or the README of the whole: text

    def file_of(self, text, folder):
        """The source file that a phrase names: by its path, in the folder of the one before, or the only one so called."""
        if not re.fullmatch(r'[\w/.-]+', text):
            return None
        found = [f for f in self.by_name.get(text.rsplit('/', 1)[-1], ()) if ('/' + f).endswith('/' + text)]
        return next((f for f in (text, folder + text) if f in found), found[0] if len(found) == 1 and '.' in text else None)


def complain(page, what, text):
    line = next((n for n, l in enumerate(page.text.splitlines(), 1) if text in l), 1)
    errors.append(f'{page.path.relative_to(ROOT)}:{line}: {what}: {text}')


# ---- Colours --------------------------------------------------------------------------------------------------------

# Pandoc has a highlighter, too, but takes three times as long with it, and source files are coloured as well.
CPP = '''alignas break case catch class const constexpr consteval continue default delete do else enum explicit
extern false for friend if inline namespace new noexcept nullptr operator override private protected public return sizeof
static struct switch template this throw true try typename union using virtual volatile while __global__ __device__ __shared__ __host__'''
PYTHON = '''and as assert break class continue def del elif else except False finally for from if import in is lambda
None not or pass raise return True try while with yield'''
STRING = r'(?P<string>"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')'


def tokens(comment, words, rest=''):
    return re.compile(rf'(?P<comment>{comment})|{STRING}{rest}|(?P<keyword>\b(?:{"|".join(words.split())})\b)', re.M)


NUMBER = r"|(?P<number>\b\d(?:[\w.]|'(?=\w))*)"
TYPE = r'|(?P<type>\b(?:auto|bool|char|double|float|int|long|short|unsigned|void|\w+_t|[A-Z]\w*[a-z]\w*)\b)'
HASH = r'(?:^|(?<=\s))#.*'
LANGUAGES = {'cpp': tokens(r'//.*|/\*(?s:.*?)\*/', CPP, r'|(?P<directive>^[ \t]*#.*)' + NUMBER + TYPE),
             'python': tokens(HASH, PYTHON, NUMBER), 'sh': tokens(HASH, 'if then else fi for do done while case esac')}
ENDINGS = {'h': 'cpp', 'cpp': 'cpp', 'cu': 'cpp', 'py': 'python', 'sh': 'sh'}


def coloured(text, language):
    """HTML of a text, each of its tokens with a class; one that is longer than a line is several."""
    if language not in LANGUAGES:
        return html.escape(text, False)
    result, at = [], 0
    for m in LANGUAGES[language].finditer(text):
        lines = (f'<i class="{m.lastgroup}">{html.escape(line, False)}</i>' if line else '' for line in m[0].split('\n'))
        result += html.escape(text[at:m.start()], False), '\n'.join(lines)
        at = m.end()
    return ''.join(result) + html.escape(text[at:], False)


# ---- What is added to pandoc's HTML ---------------------------------------------------------------------------------

def line_of(text, code):
    """The line of a text at which an excerpt begins: where its first two lines are, or its first."""
    lines = [l.strip() for l in text.splitlines()]
    first = [l.strip() for l in code.strip().splitlines()[:2]]
    found = [n for n in range(len(lines)) if lines[n:n + 2] == first] or [n for n, l in enumerate(lines) if l == first[0]]
    return found[0] + 1 if found else None


def listing(page, links, match):
    """A block of code with its colours; one of the source says from where."""
    language, kind, told, text = match.groups()
    if language in (None, 'output'):
        return match[0]
    code, head = html.unescape(text), ''
    if kind == 'from':
        file, _, name = html.unescape(told).partition('#')
        if file not in links.files:
            complain(page, 'no such file', file)
            return match[0]
        line = line_of((ROOT / file).read_text(), code)
        head = f'<a href="{links.source(page, file, line)}"><code>{file}</code></a> {html.escape(name.split("(")[0])}'
    elif kind == 'with':
        head = f'run with <code>{told}</code>'
    head = head and f'<p class="head">{head}</p>'
    return f'<div class="code{" throws" * (kind == "throws")}">{head}<pre><code>{coloured(code, language)}</code></pre></div>'


def widget(page, match):
    name, picture = match.groups()
    if not (OUT / 'widgets' / f'{name}.html').exists():
        return picture
    alt = (re.search(r'alt="([^"]*)"', picture) or [0, name])[1]
    place = f'{page.up}widgets/{name}.html'
    return (f'<figure class="widget"><iframe src="{place}" title="{alt}" loading="lazy"></iframe>'
            f'<figcaption><a href="{place}" target="_blank">The same on a page of its own</a></figcaption></figure>\n'
            f'<div class="instead">{picture}</div>')


def finished(page, links, body, widgets):
    """The fragment with its links, listings, tables and pictures as the book has them."""
    def link(match):
        url = html.unescape(match[2])
        place = links.target(page, url)
        if place is None:
            complain(page, 'no such ' + ('page or file' if match[1] == 'href' else 'picture'), url)
        return f'{match[1]}="{html.escape(place or "")}"'

    def picture(match):
        file = pathlib.Path(os.path.normpath(page.path.parent / match[1]))
        text = file.read_text() if file.suffix == '.svg' and file.exists() else ''
        own = '' if 'prefers-color-scheme' in text else ' paper'  # drawn for white paper
        if not re.search('alt="[^"]', match[0]):
            complain(page, 'a picture without alternative text', match[1])
        return f'<p class="picture{own}">{match[0][3:]}'

    folder = ''

    def code(match):
        nonlocal folder
        file = links.file_of(html.unescape(match[1]), folder) if match[1] else None
        folder = file[:file.rfind('/') + 1] if file else folder
        return f'<a href="{links.source(page, file)}">{match[0]}</a>' if file else match[0]

    body = re.sub(r'\b(href|src)="([^"]*)"', link, body)
    body = re.sub(r'<a href="">(.*?)</a>', r'\1', body, flags=re.S)
    body = re.sub(r'<p><img\s+src="([^"]*)"[^>]*></p>', picture, body)
    body = re.sub(r'(?s:<pre.*?</pre>|<a .*?</a>|<h\d.*?</h\d>)|<code>([^<]*)</code>', code, body)
    body = re.sub(r'<pre(?: class="(\w+)[^"]*")?(?: data-(from|with|throws)="([^"]*)")?><code>(.*?)</code></pre>',
                  lambda m: listing(page, links, m), body, flags=re.S)
    body = re.sub(r'(<div class="code[^>]*>(?:(?!</div>).)*</div>)\s*(<pre class="output">.*?</pre>)',
                  r'<div class="run">\1\2</div>', body, flags=re.S)
    body = body.replace('<table>', '<div class="table"><table>').replace('</table>', '</table></div>')
    if widgets:
        body = re.sub(r'<!-- widget: ([\w-]+) -->\s*(<p.*?</p>)', lambda m: widget(page, m), body, flags=re.S)
    return re.sub(r'<!--.*?-->\n?', '', body, flags=re.S)


def headings(body):
    return [(int(level), name, TAG.sub('', text).strip())
            for level, name, text in re.findall(r'<h([1-6])\s+id="([^"]*)">(.*?)</h\1>', body, re.S)]


def sections(page, body):
    """For the search: each section's fragment, heading and text."""
    result = []
    for part in re.split(r'(?=<h[2-6]\s)', body):
        head = re.match(r'<h[2-6]\s+id="([^"]*)">(.*?)</h\d>', part, re.S)
        text = html.unescape(TAG.sub('', part[head.end():] if head else part))
        result.append([page.out + ('#' + head[1] if head else ''), page.title,
                       html.unescape(TAG.sub('', head[2])).strip() if head else '', ' '.join(text.split())])
    return [r for r in result if r[2] or r[3]]


# ---- The frame ------------------------------------------------------------------------------------------------------

def navigation(book, up, page=None):
    groups = {}
    for p in book:
        groups.setdefault(p.group, []).append(p)
    result = ''
    for group, members in groups.items():
        items = ''.join(f'<li><a href="{up}{p.out}"{" aria-current=page" if p is page else ""}>'
                        f'<span>{p.number}</span>{html.escape(p.short)}</a></li>' for p in members)
        if group == 'Exercises':
            result += f'<details{" open" if page in members else ""}><summary>{group}</summary><ul>{items}</ul></details>'
        else:
            result += (f'<h2>{html.escape(group)}</h2>' if group else '') + f'<ul>{items}</ul>'
    return result


def contents(heads):
    items = [(level, f'<a href="#{name}">{text}</a>') for level, name, text in heads if level in (2, 3)]
    if len(items) < 2:
        return ''
    return '<details class="toc" open><summary>On this page</summary><ul>' + ''.join(
        f'<li class="h{level}">{link}</li>' for level, link in items) + '</ul></details>'


def write(place, **fields):
    file = OUT / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FRAME.substitute(up='../' * place.count('/'), **fields))


def neighbours(page, book):
    at = book.index(page)
    one = lambda p, rel, word: f'<a rel="{rel}" href="{page.up}{p.out}"><small>{word}</small>{html.escape(p.title)}</a>'
    return (one(book[at - 1], 'prev', 'Previous') if at else '<span></span>') + \
        (one(book[at + 1], 'next', 'Next') if at + 1 < len(book) else '')


# ---- Source files ----------------------------------------------------------------------------------------------------

def source_page(file, book, readers):
    text, up = (ROOT / file).read_text(), '../' * (file.count('/') + 1)
    lines = coloured(text, ENDINGS.get(file.rsplit('.', 1)[-1])).rstrip('\n').split('\n')
    code = ''.join(f'<span id="L{n}">{l}\n</span>' for n, l in enumerate(lines, 1))
    named = ', '.join(f'<a href="{up}{p.out}">{html.escape(p.title)}</a>' for p in readers)
    body = f'<h1><code>{file}</code></h1><p>Named in {named}</p><pre class="lines"><code>{code}</code></pre>'
    write(f'source/{file}.html', title=html.escape(file), kind='source', contents='', neighbours='',
          navigation=navigation(book, up), body=body)


# ---- All of it ------------------------------------------------------------------------------------------------------

def main():
    if not shutil.which('pandoc'):
        sys.exit('make book needs pandoc: run apt-get install pandoc')
    widgets = '--widgets' in sys.argv
    book = pages()
    links, chapters = Links(book), {p.number: p for p in book if p.number and p.group != 'Exercises'}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        raw = list(pool.map(lambda p: pandoc(p, chapters), book))
    bodies = {}
    for page, body in zip(book, raw):
        bodies[page.out] = finished(page, links, body, widgets)
        asked = [p for p in book if p.chapter == page.number != '']
        if asked and page.group != 'Exercises':
            bodies[page.out] += '<p class="exercises">Exercises of this chapter: ' + ', '.join(
                f'<a href="{p.out}">{html.escape(p.title)}</a>' for p in asked) + '</p>'

    ids = {out: set(re.findall(r'\sid="([^"]*)"', body)) for out, body in bodies.items()}
    for page in book:
        for url in re.findall(r'href="([^":]*#[^"]+)"', bodies[page.out]):
            path, fragment = url.split('#')
            out = os.path.normpath(os.path.join(os.path.dirname(page.out), path)) if path else page.out
            if out in ids and fragment not in ids[out]:
                complain(page, f'{out} has no such section', '#' + fragment)
    if errors:
        sys.exit('\n'.join(dict.fromkeys(errors)))

    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        if old.name != 'widgets':
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for page in book:
        heads = headings(bodies[page.out])
        write(page.out, title=html.escape(page.title), kind='page', body=bodies[page.out], contents=contents(heads),
              navigation=navigation(book, page.up, page), neighbours=neighbours(page, book))
    for file in sorted(links.readers):
        source_page(file, book, links.readers[file])
    for file in [*links.pictures, HERE / 'book.css', HERE / 'book.js']:
        to = OUT / (file.name if file.parent == HERE else file.relative_to(NOTES))
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to)
    index = [s for p in book for s in sections(p, bodies[p.out])]
    text = json.dumps(index, ensure_ascii=False, separators=(',', ':'))
    (OUT / 'index.js').write_text(f'window.bookIndex = {text};\n')
    print(f'build/book/index.html: {len(book)} pages, {len(links.readers)} source files, {len(links.pictures)} pictures')


main()
