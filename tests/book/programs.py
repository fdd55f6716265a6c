"""Compiles and runs what the pages show, and says what it prints.

    programs.py FILE [LAUNCHER ..]
                        the same for a piece of a program of yours (make try FILE=piece.cpp): the body of a main, or all of it; as
                        many ranks where words follow that start these (make try FILE=piece.cpp RANKS=mpi NP=2)
"""
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / 'build' / 'book' / 'programs'
# What a program is linked with, and what make builds that with.
LIBRARY = {'cpu': ('build/cpu-native/libteeny.a', []), 'ranks': ('build/cpu-mpi-native/libteeny.a', ['RANKS=mpi']),
           'emulated': ('build/cuda-emulated-native/libteeny.a', ['BACKEND=cuda', 'EMULATE=1', 'SHARED=build/cpu-native'])}
# GCC 12 warns of an overlap in `"text" + string` where there is none (its bug 105651).
FLAGS = ['-std=c++20', '-O1', '-Wall', '-Wextra', '-Wno-restrict', '-Wno-unused', '-I.', '-pthread']
EMULATED = ['-Itests/gpu_emulator', '-fsanitize=bounds', '-Wno-unknown-pragmas', '-Wno-missing-field-initializers']
BEGIN = '#include <cmath>\n#include <iomanip>\n#include <iostream>\n#include <sstream>\n#include <vector>\n\n#include "teeny/teeny.h"\n'
# A piece of one's own ends with the message of an Error that nobody catches, a line of each rank: of an abort Open MPI would show
# the stack.
SAYS_ERROR = '''#include <cstdio>
#include <cstdlib>
#include <exception>
static const auto teeny_says_error = std::set_terminate([] {
  std::string message = "what was thrown is no std::exception";
  try {
    if (std::current_exception()) throw;
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
  }
  std::cout << std::flush;
  std::fprintf(stderr, "Error: %s\\n", message.c_str());
  std::_Exit(1);
});
'''
LINE_BY_LINE = 'std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);'  # so that ranks do not write into each other's lines
lock = threading.Lock()


class Failed(Exception):
    """A program that does not compile, or does not end well."""


@functools.cache
def library(kind):
    """Made when it is first asked for, behind that of the CPU, which the others differ from in a few files."""
    file, options = LIBRARY[kind]
    if kind != 'cpu':
        library('cpu')
    subprocess.run(['make', '--no-print-directory', '-s', *options, file], cwd=ROOT, check=True, close_fds=False)  # shares its jobs
    return file


@functools.cache
def links(kind):
    """The linker's words for this library and what it needs."""
    mpi = subprocess.run(['pkg-config', '--libs', 'mpi'], stdout=subprocess.PIPE, text=True).stdout.split() if kind == 'ranks' else []
    return [library(kind), *mpi, '-fopenmp', '-lz']


@functools.cache
def has_mpi():
    return bool(shutil.which('pkg-config')) and subprocess.run(['pkg-config', '--exists', 'mpi']).returncode == 0


@functools.cache
def newest():
    """When what a program may include was changed last: headers, and sources of tests and examples."""
    places = [ROOT.glob(f'{folder}/**/*.h') for folder in ('teeny', 'tinyops', 'tests', 'examples')]
    return max(p.stat().st_mtime for place in [*places, ROOT.glob('tests/*.cpp'), ROOT.glob('examples/*.cpp')] for p in place)


@functools.cache
def prefix():
    """teeny.h compiled once, for all programs."""
    header, compiled = HERE / 'prefix.h', HERE / 'prefix.h.gch'
    if not compiled.exists() or compiled.stat().st_mtime < newest():
        HERE.mkdir(parents=True, exist_ok=True)
        header.write_text(BEGIN)
        subprocess.run(['g++', *FLAGS, '-x', 'c++-header', header, '-o', compiled], cwd=ROOT, check=True)
    return ['-include', header]


def compiled(code, include=(), ranks=False):
    """The program of this source text; the same text, headers and library give the same file, which is kept."""
    emulated = 'tinyops/cuda/' in code or 'tests/book/emulated.h' in code
    kind = 'emulated' if emulated else 'ranks' if ranks else 'cpu'
    with lock:  # what is made once is made by one thread
        linked = links(kind)
        flags = [*FLAGS, *(EMULATED if emulated else prefix()), *(f'-I{path}' for path in include)]
    parts = [code] + [p.read_text() for path in include for p in sorted(pathlib.Path(path).iterdir()) if p.is_file()]
    parts += [str(newest()), str((ROOT / linked[0]).stat().st_mtime_ns), str(FLAGS + EMULATED + linked)]
    HERE.mkdir(parents=True, exist_ok=True)
    program = HERE / hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]
    if not program.exists():
        source = program.with_suffix('.cpp')
        source.write_text(code)
        built = subprocess.run(['g++', *flags, source, *linked, '-o', f'{program}.new'], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        if built.returncode:
            raise Failed(built.stderr)
        os.rename(f'{program}.new', program)
    return program


def run(command, folder=ROOT, **environment):
    """What a command prints, errors and all. It does not see what the environment says to teeny: a seed would change a page."""
    own = {name: value for name, value in os.environ.items() if not re.match('SEED|DEBUG|FUSE|GRAPH|PROFILE|TEENY_|OMP_', name)}
    result = subprocess.run([str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=900,
                            stderr=subprocess.STDOUT, text=True, env={**own, 'OMP_WAIT_POLICY': 'passive', **environment})
    if result.returncode:
        raise Failed(f'exit status {result.returncode}\n{result.stdout}')
    return result.stdout


def whole(outside, body):
    """A program of what stands before main and in it; the #include lines of both come first."""
    includes = '\n'.join(re.findall(r'^#include .*$', outside + body, re.M))
    strip = lambda text: re.sub(r'^#include .*$', '', text, flags=re.M)
    return (f'{BEGIN}{includes}\nusing namespace teeny;\n{strip(outside)}\nint main() {{\nstd::cout << std::unitbuf;\n'
            f'{strip(body)}}}\n')


def output_of(code, **environment):
    """What a C++ program prints: `code` is the body of its main, or all of it."""
    return run([compiled(code if 'int main(' in code else whole('', code))], **environment)


def output_of_ranks(code, ranks, may_fail=False):
    """What so many ranks print, those of rank 0 first: what mpirun shows is in the order of its coming."""
    program = compiled(code, ranks=True)
    launcher = run(['make', '--no-print-directory', '-s', 'launch', 'RANKS=mpi', f'NP={ranks}']).split()
    with tempfile.TemporaryDirectory() as folder:
        own_file = f'exec {program} > {folder}/${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}} 2>&1'
        printed = lambda: ''.join((pathlib.Path(folder) / str(rank)).read_text() for rank in range(ranks))
        try:
            run([*launcher, 'sh', '-c', own_file])
        except Failed as failure:
            if not may_fail:
                raise Failed(f'{failure}\n{printed()}')
        return printed()


class Clone:
    """The tracked files as they stand, and what is built of them: where commands of a page run. Made when first asked for."""

    def __init__(self):
        self.folder, self.lock = None, threading.Lock()

    def path(self):
        with self.lock:
            if self.folder is None:
                self.folder = tempfile.mkdtemp()
                files = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
                subprocess.run(['xargs', '-0', 'cp', '--parents', '-a', '-t', self.folder], cwd=ROOT, input=files, check=True)
                os.mkdir(os.path.join(self.folder, 'build'))
                subprocess.run(['cp', '-al', 'build/cpu-native', os.path.join(self.folder, 'build')], cwd=ROOT, check=True)
            return self.folder

    def close(self):
        if self.folder:
            shutil.rmtree(self.folder)


def try_piece(path, launcher):
    """Runs a file in the place of this program, so that what it prints is seen at once."""
    code = pathlib.Path(path).read_text()
    line = f'#line 1 "{path}"\n'
    try:
        if 'int main(' in code:
            program = compiled(f'{BEGIN}{SAYS_ERROR}using namespace teeny;\n{line}{code}', ranks=bool(launcher))
        else:
            program = compiled(whole(SAYS_ERROR, line + code).replace('std::cout << std::unitbuf;', LINE_BY_LINE), ranks=bool(launcher))
    except Failed as errors:
        sys.exit(str(errors))
    command = [*launcher, str(program)]
    os.execvpe(command[0], command, {'OMP_WAIT_POLICY': 'passive', **os.environ})


if __name__ == '__main__':
    if len(sys.argv) < 2 or not sys.argv[1]:
        sys.exit('which file? make try FILE=piece.cpp')
    if not os.path.isfile(sys.argv[1]):
        sys.exit(f'{sys.argv[1]} is no file')
    if not shutil.which('g++'):
        sys.exit('there is no g++: run make deps')
    try_piece(sys.argv[1], sys.argv[2:])
