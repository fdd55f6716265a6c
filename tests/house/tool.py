#!/usr/bin/env python3
"""The program `teeny` as its users meet it: every command on small files, terminals of several widths, pipes that are closed or
full, names and files that mean harm, wrong command lines.

    tool.py [PROGRAM]    build/cpu-native/bin/teeny
"""
import fcntl
import gzip
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEENY = (ROOT / (sys.argv[1] if len(sys.argv) > 1 else 'build/cpu-native/bin/teeny')).resolve()
GOLDEN = ROOT / 'tests/golden'
PAGE = GOLDEN / 'page'
NET, IMAGES = (PAGE / name for name in ['stripes.onnx', 'x.npy'])
ENVIRONMENT = {**os.environ, 'OMP_WAIT_POLICY': 'passive', 'OMP_NUM_THREADS': '2'}
wrong = []


def check(what, holds, *shown):
    if not holds:
        wrong.append(what)
        print(f'WRONG: {what}', *shown, sep='\n')


def run(*words, **environment):
    """(exit status, stdout, stderr)"""
    done = subprocess.run([TEENY, *map(str, words)], cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def good(*words):
    """The output of a command that must succeed, and say nothing on stderr."""
    status, out, error = run(*words)
    check(f'{words}: status {status}', status == 0 and not error, out + error)
    return out


def data(*words):
    out = good(*words, '--json')
    try:
        return json.loads(out)
    except json.JSONDecodeError as error:
        check(f'{words}: JSON', False, error, out)
        return {}


def fails(status, says, *words, **environment):
    """A command that must end with this status and say this, in one line."""
    found, out, error = run(*words, **environment)
    check(f'{words}: status {found}', found == status and says in error and error.count('\n') == 1, out + error)


def on_terminal(columns, *words):
    """(exit status, output) on a terminal of that width."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        time.sleep(0.1)  # the terminal gets its size
        os.execve(TEENY, ['teeny', *map(str, words)], {**ENVIRONMENT, 'TERM': 'xterm'})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 50, columns, 0, 0))
    output, end = b'', time.time() + 60
    while time.time() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        output += part
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), output.decode()


def widest(output):
    """Once what is only there for a moment is taken out."""
    return max(len(re.sub(r'.*\r\x1b\[K', '', line)) for line in output.replace('\r\n', '\n').split('\n'))


def write_safetensors(path, tensors, metadata=None, size=None):
    """`tensors`: name -> (dtype, shape, bytes). With a `size` the file has a hole of so many bytes instead of the elements."""
    header, place = {'__metadata__': metadata} if metadata else {}, 0
    for name, (dtype, shape, elements) in tensors.items():
        end = place + (size if size else len(elements))
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [place, end]}
        place = end
    text = json.dumps(header).encode()
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        if size:
            file.truncate(8 + len(text) + place)
        else:
            file.write(b''.join(elements for _, _, elements in tensors.values()))


def write_npy(path, values, descr='<f4'):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(values)},), }}"
    header += ' ' * (-(len(header) + 11) % 64) + '\n'
    path.write_bytes(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + struct.pack(f"<{len(values)}{'q' if descr == '<i8' else 'f'}", *values))


def infos(scratch):
    net = data('info', NET)
    check('info of a network', net['format'] == 'ONNX' and net['inputs'][0]['shape'][0] == 'batch' and net['opsets']['ai.onnx'] > 10
          and not any(op['missing'] for op in net['ops']) and net['totals']['float32']['tensors'] > 1, net)
    for path in sorted((GOLDEN / 'interop').iterdir()):
        if path.name.startswith('refused'):
            status, out, error = run('info', path)  # some of these are only refused when they are loaded
            check(f'info {path.name}: status {status}', status in (0, 1) and (status == 0) == (not error), error)
            fails(1, path.name, 'convert', path, scratch / 'refused.safetensors')
        elif path.suffix in ('.pt', '.npy', '.npz', '.safetensors'):
            file = data('info', path)
            check(f'info {path.name}', file['bytes'] == path.stat().st_size and all(type(t['bytes']) is int for t in file['tensors']))
    check('a .pt with views', data('info', GOLDEN / 'interop/views.pt')['shared'])
    like = data('info', NET, '--like', 'WEIGHT')['tensors']
    check('--like', like and all('weight' in tensor['name'] for tensor in like), like)

    evil = 'red\x1b[31m\nline\u202eback\x9b\x07'
    write_safetensors(scratch / 'evil.safetensors', {
        evil: ('F32', [2], b'\0' * 8), '網路' * 60: ('F32', [1, 2], b'\xff' * 8),
        'a.long.' + 'name.' * 30 + 'weight': ('U8', [0], b'')}, {'key\x1b[2J': 'value\x1b]0;title\x07'})
    out = good('info', scratch / 'evil.safetensors')
    check('control characters are shown', r'red\x1b[31m\x0aline\u202eback\x9b\x07' in out and not re.search(r'[^\n -~\u0100-\uffff]', out), out)
    check('and kept in JSON', data('info', scratch / 'evil.safetensors')['tensors'][0]['name'] == evil)
    for columns in [40, 80]:
        for file in [NET, scratch / 'evil.safetensors', GOLDEN / 'interop/views.pt']:
            status, out = on_terminal(columns, 'info', file)
            width = widest(out.partition('\n')[2])  # the first line begins with the path
            check(f'info {file} on {columns} columns is {width} wide', status == 0 and width <= columns, out)

    write_safetensors(scratch / 'many.safetensors', {f'layers.{k}.weight': ('F32', [1024, 256], b'') for k in range(1000)}, size=1 << 20)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    check('a thousand tensors', good('info', scratch / 'many.safetensors').count('(1024, 256)') == 1000)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    check(f'a thousand tensors in {seconds:.3f} s of processor time', seconds < 0.1)
    done = subprocess.run(['sh', '-c', f'"{TEENY}" info "{scratch}/many.safetensors" | head -n 1'], capture_output=True, text=True)
    check('a pipe that is closed', 'safetensors' in done.stdout and not done.stderr, done.stderr)
    (scratch / 'cut.onnx').write_bytes(NET.read_bytes()[:700])
    for command in [('info',), ('run',), ('bench',), ('draw', '-o', scratch / 'cut.svg')]:
        fails(1, 'cut.onnx', *command, scratch / 'cut.onnx')


    out = good('info', NET, '--like', 'zzz')
    check('--like nothing', 'no tensor has "zzz" in its name; there are' in out, out)
    check('no input is optional', not any(value['optional'] for value in data('info', NET)['inputs']))

    # What is no file of teeny's says what it is, whatever its ending and the command.
    for text, says in [(b'', 'an empty file'), (b'version https://git-lfs.github.com/spec/v1\noid sha256:12\n', 'Git LFS'),
                       (b'<!DOCTYPE html><html>404', 'an HTML page'), (gzip.compress(NET.read_bytes(), mtime=0), 'gunzip'),
                       (b'ir_version: 8\ngraph {\n}', 'ONNX as text'), (b'{"irVersion": "8"}', 'ONNX as text')]:
        for ending in ['.onnx', '.ONNX', '.safetensors', '.pt', '.npz', '.npy', '']:
            path = scratch / f'what{ending}'
            path.write_bytes(text)
            for command in [('info',), ('convert',), ('diff', path)]:
                fails(1, says, *command, path, *([scratch / 'w.npz'] if command == ('convert',) else []))
            for command in [('run',), ('bench',), ('draw', '-o', scratch / 'w.svg')]:
                fails(1, says, *command, path)
    for command in [('run',), ('bench',), ('draw', '-o', scratch / 'w.svg')]:
        fails(1, 'holds tensors and no network', *command, PAGE / 'stripes.pt')
    for name in ['net.ONNX', 'net', 'net.txt']:
        shutil.copy(NET, scratch / name)
        check(f'{name} is a network', data('info', scratch / name)['format'] == 'ONNX' and good('run', scratch / name, IMAGES))
    with zipfile.ZipFile(scratch / 'program.pt2', 'w') as archive:
        archive.writestr('net/archive_format', 'pt2')
    fails(1, 'torch.export', 'info', scratch / 'program.pt2')
    fails(1, 'torch.export', 'run', scratch / 'program.pt2')
    write_npy(scratch / 'one.npy', [1, 2])
    with zipfile.ZipFile(scratch / 'mixed.npz', 'w') as archive:
        archive.write(scratch / 'one.npy', 'd/a.npy')
        archive.writestr('read me.txt', 'text')
        archive.writestr('d/', '')
    mixed = data('info', scratch / 'mixed.npz')
    check('what is no array in a .npz', [t['name'] for t in mixed['tensors']] == ['d/a'] and 'read me.txt' in mixed['notes'][0], mixed)


def field(number, value):
    """A field of a protobuf message: an integer, or bytes."""
    def varint(x):
        return bytes([x]) if x < 128 else bytes([x & 127 | 128]) + varint(x >> 7)
    value = value.encode() if isinstance(value, str) else value
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def write_sum(path, more=b''):
    """A network of int64: z = x + w, of three elements, where w has a value. `more`: initializers."""
    w = field(1, 3) + field(2, 7) + field(8, 'w') + field(9, struct.pack('<3q', 0, 0, 0))
    value = lambda name: field(1, name) + field(2, field(1, field(1, 7) + field(2, field(1, field(1, 3)))))
    node = field(1, 'x') + field(1, 'w') + field(2, 'z') + field(4, 'Add')
    graph = field(1, node) + field(2, 'g') + field(5, w) + more + field(11, value('x')) + field(11, value('w')) + field(12, value('z'))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, '') + field(2, 17)))


def runs(scratch):
    write_sum(scratch / 'sum.onnx')
    check('optional inputs', [v['optional'] for v in data('info', scratch / 'sum.onnx')['inputs']] == [False, True])
    check('and for people', re.search(r'\n  w .*optional', good('info', scratch / 'sum.onnx')))
    write_npy(scratch / 'large.npy', [123456789, -7, 2**53 + 1], '<i8')
    out = good('run', scratch / 'sum.onnx', scratch / 'large.npy', '--top', 1)
    check('integers are whole', out.count('9007199254740993') == 3 and '123456789' in out and '-7' in out, out)
    found = data('run', scratch / 'sum.onnx', scratch / 'large.npy', '--top', 1)
    check('and in JSON', found['outputs'][0]['maximum'] == found['top'][0][0]['value'] == 2**53 + 1, found)
    plain = data('run', NET, IMAGES, '--top', 2, '--labels', PAGE / 'labels.txt')
    values = plain['outputs'][0]['values']
    check('run', plain['top'][0][0]['value'] == max(values[:len(values) // plain['outputs'][0]['shape'][0]])
          and plain['top'][0][0]['label'] in (PAGE / 'labels.txt').read_text().split('\n'), plain)
    name = data('info', NET)['inputs'][0]['name']
    check('an input by name', data('run', NET, f'{name}={IMAGES}')['outputs'] == plain['outputs'])
    good('run', NET, IMAGES, '--out', scratch / 'folder')
    check('a file for each output', len(list((scratch / 'folder').glob('*.npy'))) == len(plain['outputs']))
    good('run', NET, IMAGES, '--out', scratch / 'outputs.npz')
    check('the same in one file', data('info', scratch / 'outputs.npz')['tensors'][0]['name'] == plain['outputs'][0]['name'])
    shape = 'x'.join(map(str, [3, *data('info', NET)['inputs'][0]['shape'][1:]]))
    random = [data('run', NET, '--random', f'{name}={shape}', '--seed', seed)['outputs'] for seed in (1, 1, 2)]
    check('a seed', random[0] == random[1] != random[2] and random[0][0]['shape'][0] == 3)
    out = good('run', NET, '--random', f'{name}={shape}', '--range', '0:0', '--top', 1)
    check('tables for people', 'mean' in out and 'row 2' in out, out)
    fails(1, '/nowhere', 'run', NET, IMAGES, '--out', '/nowhere/outputs.npz')
    fails(2, 'no such input', 'run', NET, f'other={IMAGES}')
    fails(2, 'more files than inputs', 'run', NET, IMAGES, IMAGES)
    fails(2, 'no such input', 'run', NET, '--random', f'{name}={shape}', '--range', 'q=0:1')
    fails(2, 'that --random names', 'run', NET, IMAGES, '--range', '0:1')
    fails(2, 'that --random names', 'run', NET, IMAGES, '--range', f'{name}=0:1')
    fails(2, 'give --top, too', 'run', NET, IMAGES, '--labels', PAGE / 'labels.txt')
    (scratch / 'two.txt').write_text('one\ntwo\n')
    fails(1, '2 labels, and the last axis', 'run', NET, IMAGES, '--labels', scratch / 'two.txt', '--top', 1)
    fails(2, 'an ending .npz', 'run', NET, IMAGES, '--out', scratch / 'x.csv')
    check('no folder of that name', not (scratch / 'x.csv').exists())
    good('run', NET, IMAGES, '--out', str(scratch / 'folder.v2') + '/')
    (scratch / 'plain').write_text('')
    fails(1, 'plain: a file, and no folder', 'run', NET, IMAGES, '--out', scratch / 'plain')
    fails(1, 'plain/x: cannot make the folder', 'run', NET, IMAGES, '--out', scratch / 'plain/x')
    fails(1, 'is not given', 'run', NET)
    fails(1, 'none.npy', 'run', NET, scratch / 'none.npy')
    fails(1, 'and is given', 'run', NET, GOLDEN / 'interop/float32.npy')
    fails(2, 'is no shape', 'run', NET, '--random', f'{name}=3x-1')
    fails(2, 'is no shape', 'run', NET, '--random', f'{name}=99999999999x99999999999')


def benches(scratch):
    out = good('bench', NET, '--shape', 'batch=1', '--shape', 'batch=4', '--seconds', 0.01, '--json')
    lines = [json.loads(line) for line in out.splitlines()]
    check('a line for each combination', [next(iter(line['shapes'].values()))[0] for line in lines] == [1, 4], out)
    for key in 'load_ms first_ms median_ms p90_ms p99_ms minimum_ms runs_per_s kernels peak_mb gflops'.split():
        check(f'bench has {key}', all(line[key] > 0 for line in lines), out)
    check('the times are in order', all(l['minimum_ms'] <= l['median_ms'] <= l['p90_ms'] <= l['p99_ms'] for l in lines), out)
    out = good('bench', NET, '--shape', 'batch=2', '--seconds', 0)
    check('bench for people', 'replayed' in out and 'GFLOP/s' in out, out)
    case = GOLDEN / 'onnx/mixer_script'
    data('bench', case / 'model.onnx', '--data', case / 'test_data_set_0', '--seconds', 0)
    fails(2, 'is open', 'bench', NET)
    check('bench says nothing before that', run('bench', NET)[1] == '' == run('bench', NET, '--shape', 'q=3')[1])
    fails(2, 'no such input', 'bench', NET, '--shape', 'nothing=1')
    fails(2, 'must be NAME=', 'bench', NET, '--shape', '1x2')
    fails(2, 'must be LOW:HIGH', 'bench', NET, '--shape', 'batch=1', '--range', '2:1')
    fails(1, 'input_0.pb', 'bench', NET, '--data', scratch)


def conversions(scratch):
    source = PAGE / 'stripes.pt'
    for before, after in [(source, 'a.safetensors'), (scratch / 'a.safetensors', 'b.npz'), (scratch / 'b.npz', 'c.pt')]:
        count = data('convert', before, scratch / after)['tensors']
        check(f'{after} has the same tensors', count == data('diff', source, scratch / after)['equal'])
    good('convert', source, scratch / 'half.safetensors', '--dtype', 'f16')
    fails(1, '', 'diff', source, scratch / 'missing.pt')
    status, out, _ = run('diff', source, scratch / 'half.safetensors', '--json')
    check('other dtypes', status == 1 and all('float16' in each['how'] for each in json.loads(out)['changed']), out)
    good('diff', source, scratch / 'half.safetensors', '--values', '--rtol', 0.001, '--atol', 1e-6)
    nan, inf = float('nan'), float('inf')
    one = {'same': ('F32', [3], struct.pack('<3f', nan, inf, 1)), 'gone': ('U8', [1], b'\1'), 'big': ('I64', [1], struct.pack('<q', 2**60))}
    two = {'same': one['same'], 'new': ('U8', [1], b'\1'), 'big': ('I64', [1], struct.pack('<q', 2**60 + 1))}
    write_safetensors(scratch / 'one.safetensors', one)
    write_safetensors(scratch / 'two.safetensors', two)
    status, out, _ = run('diff', scratch / 'one.safetensors', scratch / 'two.safetensors', '--json')
    found = json.loads(out)
    check('NaN equals NaN, and large integers differ', status == 1 and found['equal'] == 1 and found['missing'] == ['gone']
          and found['added'] == ['new'] and found['changed'][0]['name'] == 'big', out)
    write_safetensors(scratch / 'two.safetensors', {**one, 'same': ('F32', [3], struct.pack('<3f', nan, 2, 1))})
    status, out, _ = run('diff', scratch / 'one.safetensors', scratch / 'two.safetensors', '--json', '--atol', 1e30)
    check('an infinity is a string', status == 1 and json.loads(out)['changed'][0]['largest_difference'] == 'inf', out)

    fails(2, '.npy file holds one', 'convert', source, scratch / 'd.npy')
    fails(2, 'ending', 'convert', source, scratch / 'd.txt')
    fails(2, 'f16, bf16', 'convert', source, scratch / 'd.pt', '--dtype', 'f8')
    fails(1, '/nowhere', 'convert', source, '/nowhere/d.pt')
    (scratch / 'text.pt').write_text('this is none')
    fails(1, 'text.pt', 'convert', scratch / 'text.pt', scratch / 'd.pt')
    for name, kind in [('complex', 'pt'), ('float8', 'pt'), ('sparse', 'pt'), ('quantised', 'pt')]:
        path = GOLDEN / f'interop/refused_{name}.{kind}'
        fails(1, '--skip leaves out', 'convert', path, scratch / 'kept.npz')
    with zipfile.ZipFile(scratch / 'strings.npz', 'w') as archive:
        archive.write(GOLDEN / 'interop/refused_text.npy', 'names.npy')
        archive.write(GOLDEN / 'interop/float32.npy', 'w.npy')
    write_safetensors(scratch / 'f8.safetensors', {'x': ('F8_E4M3', [1], b'\0'), 'w': ('F32', [1], b'\0' * 4)})
    for path in [scratch / 'strings.npz', scratch / 'f8.safetensors']:
        fails(1, f'{path.name}: ', 'convert', path, scratch / 'kept.npz')
        fails(1, '--skip leaves out', 'convert', path, scratch / 'kept.npz')
        found = data('convert', path, scratch / 'kept.npz', '--skip')
        check(f'--skip of {path.name}', found['tensors'] == 1 and path.name in found['left_out'][0], found)
        out = good('convert', path, scratch / 'kept.npz', '--skip')
        check('and says so', re.search(r'left out: .*"(names|x)"', out) and ': 1 tensor, ' in out, out)
    strings = field(5, field(1, 1) + field(2, 8) + field(8, 's') + field(6, 'text'))
    large = field(5, field(1, 1) + field(2, 13) + field(8, 'u') + field(9, b'\xff' * 8))
    write_sum(scratch / 'strings.onnx', strings + large)
    fails(1, 'strings.onnx: tensor "s": ', 'convert', scratch / 'strings.onnx', scratch / 'kept.npz')
    found = data('convert', scratch / 'strings.onnx', scratch / 'kept.npz', '--skip')
    check('--skip of an ONNX file', found['tensors'] == 1 and [line.split('"')[1] for line in found['left_out']] == ['s', 'u'], found)
    write_npy(scratch / 'big.npy', [1e6, 2, float('inf')])
    check('values that become infinite', data('convert', scratch / 'big.npy', scratch / 'half.npy', '--dtype', 'f16')['became_infinite'] == 1)
    out = good('convert', scratch / 'big.npy', scratch / 'half.npy', '--dtype', 'f16')
    check('and are told of', '1 value became infinite: too large for float16' in out, out)
    write_npy(scratch / 'v.npy', [1, 2])
    write_npy(scratch / 'other.npy', [1, 3])
    status, out, _ = run('diff', scratch / 'v.npy', scratch / 'other.npy', '--json')
    check('two nameless tensors', status == 1 and json.loads(out)['changed'][0]['largest_difference'] == 1, out)
    good('diff', scratch / 'v.npy', shutil.copy(scratch / 'v.npy', scratch / 'same.npy'))
    write_safetensors(scratch / 'none.safetensors', {})
    fails(1, 'neither has a tensor', 'diff', scratch / 'none.safetensors', scratch / 'none.safetensors')
    check('a .npy', data('convert', scratch / 'v.npy', scratch / 'v.safetensors')['tensors'] == 1)

    folder = scratch / 'interrupted'
    folder.mkdir()
    write_safetensors(scratch / 'large.safetensors', {f't{k}': ('F32', [4, 1 << 20], b'') for k in range(16)}, size=16 << 20)
    interrupt(folder / 'large.npz', 'convert', scratch / 'large.safetensors', folder / 'large.npz')


def interrupt(target, *command):
    """Ctrl-C in the middle: the old file stays, and nothing else in its folder."""
    folder = target.parent
    for ending in [signal.SIGINT, signal.SIGTERM]:
        for _ in range(10):  # on a busy machine it may be done before the signal comes
            target.write_text('old')
            # A job in the background ignores SIGINT, and its children do, too.
            process = subprocess.Popen([TEENY, *command], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                                       preexec_fn=lambda: signal.signal(ending, signal.SIG_DFL))
            while len(os.listdir(folder)) < 2 and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(ending)
            if process.wait() != 0:
                break
        check(f'{ending} ends {command[0]}', process.returncode == -ending)
        check(f'{ending} leaves nothing behind', os.listdir(folder) == [target.name] and target.read_text() == 'old', os.listdir(folder))


def pictures(scratch):
    found = data('draw', NET, '-o', scratch / 'net.dot', '--shape', 'batch=2')
    source = (scratch / 'net.dot').read_text()
    check('a picture has shapes', found['boxes'] > 0 and '2×' in source, source)
    for case in sorted((GOLDEN / 'onnx').glob('*/model.onnx')):
        good('draw', case, '-o', scratch / 'each.dot')
    if shutil.which('dot'):
        good('draw', NET, '-o', scratch / 'net.svg')
        check('an SVG', '</svg>' in (scratch / 'net.svg').read_text())
    fails(1, 'package graphviz', 'draw', NET, '-o', scratch / 'no.svg', PATH=str(scratch))
    check('nothing half drawn', not (scratch / 'no.svg').exists())
    fails(1, 'no network', 'draw', PAGE / 'stripes.pt', '-o', scratch / 'no.svg')
    fails(2, 'ending', 'draw', NET, '-o', scratch / 'net.gif')


def write_counter(path, name='w', **changes):
    """A program file that keeps state: sum = x + w, which is the next w, and is drawn upon: noise is random."""
    rows = {'kind': 'Rows', 'shape': [2], 'inner': 0, 'inputs': [{'slot': 0}, {'slot': 1}],
            'program': [['Load', 'float32', 0], ['Load', 'float32', 1], ['Add', 'float32', 0, 1]], 'outputs': [{'slot': 2, 'value': 2}]}
    port = lambda name, slot: {'name': name, 'dtype': 'float32', 'shape': [2], 'slot': slot}
    call = {'inputs': [port('x', 0)], 'outputs': [port('sum', 2)], 'slots': [{'input': 0}, {'state': name}, {'fresh': 2, 'dtype': 'float32'}],
            'blocks': [], 'kernels': [rows], 'updates': [{'state': name, 'slot': 2}], 'in_place': True, **changes}
    program = {'version': 1, 'random': {'seed': 7, 'counter': 0}, 'frozen': [], 'calls': [call]}
    write_safetensors(path, {name: ('F32', [2], struct.pack('<2f', 1, 2))}, {'teeny.program': json.dumps(program)})


def programs(scratch):
    path = scratch / 'net.teeny'
    made = data('compile', NET, '--shape', 'batch=1', '--shape', 'batch=4', '-o', path)
    check('compile', len(made['calls']) == 2 and made['bytes'] == path.stat().st_size and made['calls'][1]['inputs'][0]['shape'][0] == 4
          and made['calls'][0]['kernels'] > 1 and made['calls'][0]['temporary_bytes'] > 0, made)
    names = [tensor['name'] for tensor in data('info', path)['tensors']]
    check('weights keep their names', {'conv.weight', 'conv.bias', 'head.weight', 'head.bias'} <= set(names), names)
    check('and are there once', made['tensors'] == len(names) == len(set(names)))
    of_net, of_program = (data('run', file, IMAGES, '--top', 1)['outputs'] for file in [NET, path])
    check('a program computes what the network does', of_net[0]['name'] == of_program[0]['name'] and all(
        abs(a - b) < 1e-5 for a, b in zip(of_net[0]['values'], of_program[0]['values'])), of_net, of_program)
    good('run', path, '--random', 'image=1x1x16x16', '--out', scratch / 'out.npz')
    fails(2, 'no such input', 'run', path, '--random', 'x=1')
    fails(2, 'is open', 'run', path, '--random', 'image')
    fails(1, 'no call with image (2, 1, 16, 16); there are image (1,', 'run', path, '--random', 'image=2x1x16x16')
    lines = [json.loads(line) for line in good('bench', path, '--seconds', 0, '--json').splitlines()]
    check('a line for each call', [line['shapes']['image'][0] for line in lines] == [1, 4] and all(
        line['replayed'] and line['gflop'] > 0 and line['kernels'] == call['kernels'] for line, call in zip(lines, made['calls'])), lines)
    check('or for one', good('bench', path, '--shape', 'image=4x1x16x16', '--seconds', 0, '--json').count('load_ms') == 1)
    check('bench says nothing before what is wrong', run('bench', path, '--shape', 'image=3x1x16x16')[:2] == (1, ''))
    found = data('info', path)
    check('info of a program', found['format'] == 'teeny program' and found['calls'] == made['calls'] and not found['metadata'], found)
    out = good('info', path, '--like', 'head')
    check('and for people', 'call 2 of 2' in out and 'FLOP' in out and 'head.bias' in out and 'conv.bias' not in out, out)
    good('compile', NET, '--shape', 'batch=1', '--shape', 'batch=4', '-o', scratch / 'again.teeny')
    check('the same again is the same file', path.read_bytes() == (scratch / 'again.teeny').read_bytes())

    # Pictures.
    found = data('draw', path, '-o', scratch / 'program.dot', '--shape', 'image=4x1x16x16')
    source = (scratch / 'program.dot').read_text()
    check('a picture of a call', found['call'] == 1 and found['boxes'] == made['calls'][1]['kernels'] + 2 and '4×1×16×16' in source
          and 'conv.weight' in source and 'block 0' in source, source)
    if shutil.which('dot'):
        good('draw', path, '-o', scratch / 'program.svg')
    fails(2, 'no such call; there are image (1', 'draw', path, '-o', scratch / 'no.svg', '--shape', 'image=7x1x16x16')
    fails(2, '--depth is for ONNX', 'draw', path, '-o', scratch / 'no.svg', '--depth', 2)

    # Differences, and tensors out of it.
    good('diff', path, scratch / 'again.teeny')
    check('equal networks', 'network: equal' in good('diff', NET, NET) and data('diff', NET, NET)['network'] == [])
    good('compile', NET, '--shape', 'batch=4', '-o', scratch / 'four.teeny')
    status, out, _ = run('diff', path, scratch / 'four.teeny')
    check('a call that is missing', status == 1 and 'call image (1, 1, 16, 16): missing' in out and '0 changed' in out, out)
    count = len(names)
    good('convert', path, scratch / 'weights.safetensors')
    check('tensors of a program', data('info', scratch / 'weights.safetensors')['metadata'] == {} and data(
        'diff', path, scratch / 'weights.safetensors')['equal'] == count)
    status, out, _ = run('diff', NET, path, '--json')
    check('weights of a network and of its program', json.loads(out)['equal'] >= 4 and not json.loads(out)['changed'], out)
    fails(2, 'teeny compile', 'convert', NET, scratch / 'converted.teeny')
    write_counter(scratch / 'counter.teeny')
    for what, changes in [('kernel 0', {'kernels': [{'kind': 'Rows', 'shape': [2], 'inner': 0, 'inputs': [{'slot': 0}, {'slot': 1}], 'program': [
            ['Load', 'float32', 0], ['Load', 'float32', 1], ['Sub', 'float32', 0, 1]], 'outputs': [{'slot': 2, 'value': 2}]}]}),
                          ('updates', {'updates': []}), ('/in_place', {'in_place': False})]:
        write_counter(scratch / 'other.teeny', **changes)
        status, out, _ = run('diff', scratch / 'counter.teeny', scratch / 'other.teeny')
        check(f'a difference in {what}', status == 1 and what.strip('/') in out and 'network: 1 difference' in out, out)
    net = lambda *nodes: field(1, 8) + field(7, b''.join(field(1, b''.join(field(1, i) for i in inputs) + field(2, out) + field(4, op)
          + (field(3, name) if name else b'') + attribute) for op, name, inputs, out, attribute in nodes) + field(2, 'g')
          + b''.join(field(number, field(1, v) + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 3)))))) for number, v in [(11, 'x'), (12, 'y')])
          ) + field(8, field(1, '') + field(2, 17))
    axis = lambda value: field(5, field(1, 'axis') + field(3, value) + field(20, 2))
    (scratch / 'a.onnx').write_bytes(net(('Relu', '', ['x'], '1', b''), ('Softmax', 's', ['1'], '2', axis(0)), ('Neg', '', ['2'], 'y', b'')))
    (scratch / 'b.onnx').write_bytes(net(('Relu', '', ['x'], '7', b''), ('Softmax', 's', ['7'], '8', axis(-1 % 2**64)), ('Neg', '', ['8'], 'y', b'')))
    (scratch / 'c.onnx').write_bytes(net(('Relu', '', ['x'], '7', b''), ('Exp', '', ['7'], '9', b''), ('Softmax', 's', ['9'], '8', axis(0)),
                                         ('Neg', '', ['8'], 'y', b'')))
    status, out, _ = run('diff', scratch / 'a.onnx', scratch / 'b.onnx', '--json')
    check('an attribute that changed', json.loads(out)['network'] == [{'name': 'Softmax "s"', 'how': 'axis 0 became -1'}], out)
    status, out, _ = run('diff', scratch / 'a.onnx', scratch / 'c.onnx', '--json')
    check('a node that was added', [d['how'] for d in json.loads(out)['network']] == ['input 0 "1" became "9"', 'added'], out)

    # What cannot be compiled, and what is no program.
    folder = scratch / 'compiled'
    folder.mkdir()
    for case, node in [('chosen_dynamo', 'NonZero "node_NonZero_2", NonZero'), ('while_loop_script', 'Loop'), ('conditional_dynamo', 'If')]:
        model = GOLDEN / 'onnx' / case / 'model.onnx'
        shapes = [word for value in data('info', model)['inputs'] for word in ['--shape', f"{value['name']}=" + (
            'x'.join(str(size if type(size) is int else 2) for size in value['shape']) or 'scalar')]]
        fails(1, node, 'compile', model, *shapes, '-o', folder / 'no.teeny')
    fails(2, 'ends in .teeny', 'compile', NET, '--shape', 'batch=1', '-o', folder / 'no.onnx')
    fails(2, '--out is required', 'compile', NET, '--shape', 'batch=1')
    fails(2, 'is open', 'compile', NET, '-o', folder / 'no.teeny')
    fails(2, 'no such input', 'compile', NET, '--shape', 'q=1', '-o', folder / 'no.teeny')
    fails(1, 'a program already', 'compile', path, '-o', folder / 'no.teeny')
    fails(1, 'holds tensors and no network', 'compile', PAGE / 'stripes.pt', '-o', folder / 'no.teeny')
    fails(1, '/nowhere', 'compile', NET, '--shape', 'batch=1', '-o', '/nowhere/no.teeny')
    check('nothing is left of what failed', os.listdir(folder) == [], os.listdir(folder))
    for text in ['{}', 'no JSON', '{"version": 2}', '{"version": 1, "random": {"seed": 0, "counter": 0}, "frozen": [], "calls": []}']:
        write_safetensors(scratch / 'hostile.teeny', {'w': ('F32', [2], b'\0' * 8)}, {'teeny.program': text})
        for command in [('run',), ('bench',), ('draw', '-o', scratch / 'no.svg')] + ([('info',)] if 'calls' not in text else []):
            fails(1, 'hostile.teeny: ', *command, scratch / 'hostile.teeny')
    write_counter(scratch / 'hostile.teeny', slots=[{'input': 0}, {'state': 'w'}, {'fresh': 1, 'dtype': 'float32'}])
    for command in [('info',), ('run',), ('bench',), ('diff', path), ('draw', '-o', scratch / 'no.svg')]:
        fails(1, 'hostile.teeny: ', *command, scratch / 'hostile.teeny')
    (scratch / 'cut.teeny').write_bytes(path.read_bytes()[:-5])
    for command in [('info',), ('run',), ('bench',), ('draw', '-o', scratch / 'no.svg'), ('convert',)]:
        fails(1, 'cut.teeny', *command, scratch / 'cut.teeny', *([scratch / 'w.npz'] if command == ('convert',) else []))
    evil = 'w\x1b[31m\u202e'
    write_counter(scratch / 'evil.teeny', name=evil)
    for command in [('info',), ('run', '--random', 'x'), ('draw', '-o', scratch / 'evil.dot')]:
        out = good(*command, scratch / 'evil.teeny') + (scratch / 'evil.dot').read_text() if 'draw' in command else good(*command, scratch / 'evil.teeny')
        check(f'{command[0]} shows control characters', '\x1b' not in out and '\u202e' not in out, out)
    write_npy(scratch / 'pair.npy', [10, 20])
    out = good('run', scratch / 'counter.teeny', scratch / 'pair.npy')
    check('a program that keeps state says so', 'sum: 11 22' in out and 'changes 1 tensor for the next' in out, out)
    check('and in info', data('info', scratch / 'counter.teeny')['calls'][0]['changes'] == ['w'])
    for columns in [40, 80]:
        for command in [('info', path), ('info', scratch / 'evil.teeny'), ('compile', NET, '--shape', 'batch=1', '-o', scratch / 'n.teeny'),
                        ('diff', path, scratch / 'four.teeny'), ('diff', scratch / 'a.onnx', scratch / 'b.onnx'),
                        ('draw', path, '-o', scratch / 'program.dot')]:
            out = on_terminal(columns, *command)[1].replace(str(scratch), '')
            if command[0] == 'info':
                out = out.partition('\n')[2]  # the first line begins with the path
            check(f'{command} on {columns} columns is {widest(out)} wide', widest(out) <= columns, out)

    # Ctrl-C while it is written.
    large = field(5, field(1, 1 << 24) + field(2, 1) + field(8, 'w') + field(9, b'\0' * (4 << 24)))
    (scratch / 'large.onnx').write_bytes(field(1, 8) + field(7, field(1, field(1, 'x') + field(1, 'w') + field(2, 'y') + field(4, 'Mul'))
        + field(2, 'g') + large + b''.join(field(number, field(1, v) + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 1))))))
                                           for number, v in [(11, 'x'), (12, 'y')])) + field(8, field(1, '') + field(2, 17)))
    interrupt(folder / 'large.teeny', 'compile', scratch / 'large.onnx', '-o', folder / 'large.teeny')


def cases(scratch):
    out = good('onnx-test', GOLDEN / 'onnx', '--only', 'mixer', '--rtol', 0, '--atol', 1e-5, '--relative', 1e-4)
    check('onnx-test', re.fullmatch(r'(passed \S+ \S+\n){2}passed 2 failed 0 unsupported 0\n', out), out)
    shutil.copytree(GOLDEN / 'onnx/mixer_script', scratch / 'cases/mixer')
    inputs = sorted((scratch / 'cases/mixer/test_data_set_0').glob('output_*.pb'))
    shutil.copy(scratch / 'cases/mixer/test_data_set_1/output_0.pb', inputs[0])
    status, out, _ = run('onnx-test', scratch / 'cases', '--json')
    found = json.loads(out)
    check('a case that fails', status == 1 and found['failed'] == 1 and found['cases'][0]['why'], out)
    fails(1, 'no folder', 'onnx-test', PAGE)


def command_lines():
    for says, words in [('a command is missing', []), ('no such command; info?', ['inof']), ('no such option; --like?', ['info', NET, '--lik=x']),
                        ('FILE is required', ['info']), ('one argument too many', ['info', NET, NET]), ('not a number', ['run', NET, '--top', 'x']),
                        ('not a number', ['bench', NET, '--seconds', 'nan']), ('not a number', ['bench', NET, '--warmup', '-1']),
                        ('no such shell', ['completion', 'ksh']), ('required', ['draw', NET]), ('required', ['compile', NET])]:
        fails(2, says, *words)
    fails(2, r'\x1b[31m', '\x1b[31m')
    fails(1, 'No such file', 'info', '/nowhere/net.onnx')
    fails(1, 'regular file', 'info', ROOT)
    fails(1, 'regular file', 'info', '/dev/zero')
    commands = re.findall(r'^  (\S+) ', good('--help').split('\noptions')[0], re.M)
    check('commands', commands == 'info run bench compile convert draw diff onnx-test completion'.split(), commands)
    for command in commands:
        fails(2, f'teeny {command}: ', command, '--nonsense')
        for columns in [40, 80]:
            status, out = on_terminal(columns, command, '--help')
            out = '\n'.join(line for line in out.splitlines() if not line.startswith('  teeny'))  # examples stay as they are
            check(f'{command} --help on {columns} columns is {widest(out)} wide', status == 0 and widest(out) <= columns, out)
    narrow = [('diff', PAGE / 'stripes.pt', GOLDEN / 'interop/views.pt'), ('bench', NET, '--shape', 'batch=1', '--seconds', 0),
              ('run', NET, IMAGES, '--top', 2),
              ('info', NET, '--like', 'zzz')]
    for command in narrow:
        for columns in [30, 50]:
            output = on_terminal(columns, *command)[1].replace(str(NET), '')
            check(f'{command[0]} on {columns} columns is {widest(output)} wide', widest(output) <= columns, output)
    for target in ['>&-', '> /dev/full']:
        done = subprocess.run(['sh', '-c', f'"{TEENY}" info "{NET}" {target}'], capture_output=True, text=True)
        check(target, done.returncode == 1 and 'the output cannot be written' in done.stderr, done.stderr)


def completions(scratch):
    scripts = {shell: good('completion', shell) for shell in ['bash', 'zsh', 'fish', 'man']}
    path = scratch / 'bash'
    path.write_text(scripts['bash'] + 'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _teeny_words; echo ${COMPREPLY[@]}')
    for words, expected in [(['c'], 'compile convert completion'), (['info', '--l'], '--like'), (['convert', '--dtype', ''], 'f16 bf16 f32 f64'),
                            (['completion', 'z'], 'zsh')]:
        done = subprocess.run(['bash', '-c', f'COMP_WORDS=(teeny {" ".join(repr(w) for w in words)}); source {path}'], capture_output=True, text=True)
        check(f'bash completes {words}', done.stdout.split() == expected.split(), done.stdout + done.stderr)
    for shell, option in [('bash', '-n'), ('zsh', '-n'), ('fish', '-n')]:
        if shutil.which(shell):
            done = subprocess.run([shell, option, '/dev/stdin'], input=scripts[shell], capture_output=True, text=True)
            check(f'{shell} reads its completions', done.returncode == 0, done.stderr)
    if shutil.which('man'):
        done = subprocess.run(['man', '--warnings', '-l', '-'], input=scripts['man'], capture_output=True, text=True)
        check('the manual page', 'teeny info net.onnx' in done.stdout and not done.stderr, done.stderr)


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    command_lines()
    for part in [infos, runs, benches, conversions, pictures, programs, cases, completions]:
        part(scratch)
print(f'{len(wrong)} wrong')
sys.exit(bool(wrong))
