"""The book as a whole: its chapters, which source files each of them is read beside, and how long it takes."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_LINES = 150
WORDS_A_MINUTE, LINES_A_MINUTE = 130, 25  # of prose that is to be understood, and of source beside it


def chapters():
    return sorted((ROOT / 'notes').glob('[0-9][0-9]-*.md'))


def title(page):
    return re.match(r'# (?:\d\d )?(.*)\n', page.read_text())[1]


def source_files():
    listed = subprocess.run(['git', 'ls-files', 'teeny', 'tinyops', 'examples'], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [f for f in listed.stdout.split() if re.search(r'\.(h|cpp|cu)$', f)]


def named(page):
    """The files and folders that a chapter's first paragraph names, with their paths: `b.cpp` behind `a/a.h` is a/b.cpp."""
    first = re.sub(r'\A# .*\n+', '', page.read_text()).split('\n\n')[0]
    folder, result = '', []
    for name in re.findall(r'`([\w./-]*[./][\w./-]*)`', first):
        if '/' not in name:
            name = folder + name
        folder = name[:name.rfind('/') + 1]
        result.append(name)
    return result


def reading():
    """{chapter: its files}, and what is wrong. A file that no chapter names belongs to the one that names its folder."""
    wrong, owner = [], {}
    for page in chapters():
        for name in named(page):
            if not (ROOT / name).exists():
                wrong.append(f'{page.name}: there is no {name}')
            elif owner.get(name, page) != page:
                wrong.append(f'{name} is read beside {owner[name].name} and {page.name}')
            owner[name] = page
    files = {page: [] for page in chapters()}
    for file in source_files():
        places = [file, *(f'{p}/' for p in pathlib.PurePath(file).parents)]
        page = next((owner[place] for place in places if place in owner), None)
        if page is None:
            wrong.append(f'{file} is read beside no chapter')
        else:
            files[page].append(file)
    return files, wrong


def exercises():
    """{chapter's number: [(exercise, minutes)]}"""
    result = {}
    for page in sorted((ROOT / 'notes' / 'exercises').glob('*.md')):
        value = dict(re.findall(r'^(chapter|minutes): (\S+)$', page.read_text(), re.M))
        result.setdefault(value['chapter'], []).append((page, int(value['minutes'])))
    return result


def contents(which):
    """The table of the chapters `00 05`, from one to the other, for notes/README.md; or how much `all` of them are."""
    files, _ = reading()
    of_chapter, rows, totals = exercises(), [], [0, 0, 0, 0]
    for page in chapters():
        if which != 'all' and not which.split()[0] <= page.name[:2] <= which.split()[1]:
            continue
        words = len(re.findall(r'\w+', re.sub(r'<!--.*?-->', '', page.read_text())))
        lines = sum((ROOT / f).read_text().count('\n') for f in files[page])
        asked = of_chapter.get(page.name[:2], [])
        minutes = [round(words / WORDS_A_MINUTE), round(lines / LINES_A_MINUTE), sum(m for _, m in asked)]
        totals = [a + b for a, b in zip(totals, [*minutes, lines])]
        links = ' '.join(f'[{p.name[:2]}](exercises/{p.name})' for p, _ in asked)
        rows.append(f'| {page.name[:2]} | [{title(page)}]({page.name}) | {minutes[0]} | {minutes[1]}, for {lines:,} lines | '
                    f'{f"{minutes[2]}, {links}" if asked else ""} |')
    if which == 'all':
        read, source, write, lines = (f'{round(value, -2) if value > 5000 else value:,}' for value in totals)
        return (f'All of it: {len(chapters())} chapters, {int(totals[0] / 60 + 0.5)} hours to read, {lines} lines of source beside them, '
                f'and {int(totals[2] / 60 + 0.5)} hours of exercises.\n')
    return '\n'.join(['| | chapter | read, minutes | source beside it, minutes | exercises, minutes |', '| --- | --- | --- | --- | --- |',
                      *rows]) + '\n'


def errors(pages):
    """What is wrong with the book, of which these pages have been checked."""
    files, wrong = reading()
    of_chapters = [p for p in pages if p.path in files]
    wrong += [f'{p.path.name}: {n} lines, {MOST_LINES} is the most' for p in of_chapters if (n := p.text.count('\n')) > MOST_LINES]
    wrong += [f'{p.path.name}: three to five things to try, not {n}' for p in of_chapters
              if not 3 <= (n := len(re.findall(r'^- ', p.text.partition('\n## Try it\n')[2], re.M))) <= 5]
    shown = {name for p in (ROOT / 'notes').glob('*.md') for name in re.findall(r'figures/([\w-]+\.svg)', p.read_text())}
    wrong += [f'{f.relative_to(ROOT)} is in no page' for f in sorted((ROOT / 'notes' / 'figures').glob('*')) if f.name not in shown]
    cpp, sketches = sum(len(p.cpp) for p in of_chapters), sum(len(p.sketches) for p in of_chapters)
    if 5 * sketches > cpp:
        wrong.append(f'{sketches} of {cpp} C++ blocks are sketches: one in five is the most')
    return wrong
