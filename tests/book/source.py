"""Excerpts of source files: a declaration by its name, which a page shows as the file has it."""
import pathlib
import re
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEFT_OUT = re.compile(r'^ *(#pragma unroll|// \[?exercise \d\d\]?)\n', re.M)  # says nothing to a reader of a page


class NotThere(Exception):
    """What a page asks for, and its file does not have."""


def without_text(code):
    """The code, as long as before, with blanks in comments, strings and characters: what is left has the brackets that count."""
    blank = lambda m: re.sub(r'[^\n]', ' ', m[0])
    return re.sub(r'//.*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\'', blank, code)


def declaration_at(code, start):
    """Where the declaration that begins at `start` ends: at the ; or the last } that belongs to it."""
    depth = 0
    for at in range(start, len(code)):
        letter = code[at]
        if letter in '({[':
            depth += 1
        elif letter in ')}]':
            depth -= 1
            if depth == 0 and letter == '}' and not re.match(r'\s*(\.|,|;|\)|\{)', code[at + 1:at + 3]):
                return at + 1
        elif letter == ';' and depth == 0:
            return at + 1
    raise NotThere('its declaration does not end')


def lines_of(code, name):
    """Where lines begin that may declare `name`: not a use of it, which is indented further or ends otherwise."""
    if '(' in name:  # a literal beginning of the line, for one of several functions of a name
        return [m.start() for m in re.finditer(rf'^.*{re.escape(name)}.*$', code, re.M)]
    word = rf'(?<![\w:.>]){re.escape(name)}'
    kinds = [rf'^[ ]*(?:template ?<.*>\s*)?(?:struct|class|enum class|enum|union|namespace) {re.escape(name)}\b(?![^\n{{]*;)',
             rf'^#define {re.escape(name)}\b',
             rf'^(?!\s*(?:return|throw|else|if|for|while|case)\b)[ ]*[\w~][^\n;={{]*{word}\([^\n]*',
             rf'^[ ]*(?:using|inline|constexpr|static|const|enum)\b[^\n(]*{word}\b',
             rf'^[ ]*[\w:<>, ]+ {word}[;={{ ]']
    return [m.start() for kind in kinds for m in re.finditer(kind, code, re.M)]


def declaration(code, name):
    """The text of what `name` is in this code: its definition, or where there is none its declaration."""
    plain = without_text(code)
    found = []
    for start in lines_of(code if '(' in name else plain, name):
        if plain.startswith('#define', start):
            end = re.compile(r'(?:.*\\\n)*.*').match(code, start).end()
            return code[start:end]
        before = code.rfind('\n', 0, max(start - 1, 0)) + 1
        begin = before if re.match(r'[ ]*template ?<[^;{]*>\n', code[before:start]) else start
        found.append(code[begin:declaration_at(plain, start)])
    if not found and '::' in name:  # a member that is defined inside its struct
        outer, inner = name.split('::', 1)
        return declaration(declaration(code, outer), inner)
    if not found:
        raise NotThere(f'there is no declaration of {name}')
    return next((text for text in found if '{' in without_text(text)), found[0])


def chosen(text, ranges):
    """Of a text the lines from one that has the words a to one that has b, for each `a .. b`; `a` alone is one line, and `a ..` the
    statement that begins there."""
    lines, at, result = text.split('\n'), 0, []
    for number, part in enumerate(re.split(r' *, (?=\S)', ranges)):
        first, dots, last = (part + ' ').partition(' .. ')
        begin = next((i for i in range(at, len(lines)) if first.strip() in lines[i]), None)
        if begin is None:
            raise NotThere(f'it has no line with: {first}')
        last = last.strip()
        if dots and not last:
            before = sum(len(line) + 1 for line in lines[:begin])
            end = text.count('\n', 0, declaration_at(without_text(text), before))
        else:
            end = begin if not last else next((i for i in range(begin + 1, len(lines)) if last in lines[i]), None)
        if end is None:
            raise NotThere(f'behind {first} it has no line with: {last}')
        if number and begin > at:
            result.append(f'{re.match(" *", lines[begin])[0]}// ..')
        result += lines[begin:end + 1]
        at = end + 1
    return '\n'.join(result)


def excerpt(request):
    """What a block `cpp from=FILE#NAME [a .. b, c]` shows. NAME may be left out, with its #: then the lines are of the file."""
    where, bracket, ranges = request.partition(' [')
    path, _, name = where.strip().partition('#')
    if not (ROOT / path).is_file():
        raise NotThere(f'there is no file {path}')
    text = (ROOT / path).read_text()
    if name:
        text = declaration(text, name)
    if bracket:
        text = chosen(text, ranges.rstrip().removesuffix(']'))
    return textwrap.dedent(LEFT_OUT.sub('', text + '\n')).strip('\n') + '\n'
