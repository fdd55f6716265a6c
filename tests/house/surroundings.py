#!/usr/bin/env python3
"""The examples as their users meet them: options that make no sense, terminals of several widths, pipes that are closed or full,
files that cannot be written, a machine without Graphviz.

    surroundings.py [FOLDER]    where the examples are built: build/cpu-native
"""
import fcntl
import gzip
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = (ROOT / (sys.argv[1] if len(sys.argv) > 1 else 'build/cpu-native')).resolve()
wrong = []


def check(what, holds, shown=''):
    if not holds:
        wrong.append(what)
        print(f'WRONG: {what}\n{shown}')


def run(command, **environment):
    """(exit status, stdout, stderr) of an example and its options, in words."""
    name, *options = command.split(' ')
    done = subprocess.run([BUILT / name, *options], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def on_terminal(columns, command, interrupt_after=None):
    """(exit status, output) on a terminal of that width; Ctrl-C is typed once the text is seen."""
    name, *options = command.split(' ')
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        time.sleep(0.1)  # the terminal gets its size
        os.execve(BUILT / name, [name, *options], {**os.environ, 'TERM': 'xterm'})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 50, columns, 0, 0))
    output, typed, end = b'', False, time.time() + 120
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
        if interrupt_after and not typed and interrupt_after in output:
            os.write(terminal, b'\x03')
            typed = True
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), output.decode(errors='replace')  # gpt writes bytes


def widths(output):
    """How wide each state of each line is, once colours and the like are taken out."""
    return [len(re.sub(r'\x1b\[[0-9;]*[mK]', '', line)) for line in re.split('[\r\n]+', output)]


def options():
    for command, says in [
        ('linear_regression --points 0', '--points: "0" is not a whole number from 1 to'),
        ('linear_regression --points', '--points: 1 required'),
        ('linear_regression --points 1e3', 'is not a whole number'),
        ('linear_regression --points 99999999999999999999', 'is not a whole number'),
        ('linear_regression --seed 9223372036854775808', '--seed: "9223372036854775808" is not a whole number from 0 to'),
        ('linear_regression --lr nan', '--lr: "nan" is not a number from 0 on'),
        ('linear_regression --lr inf', '--lr: "inf" is not a number'),
        ('linear_regression --lr -1', '--lr: "-1" is not a number'),
        ('linear_regression --noise 1e999', '--noise: "1e999" is not a number from 0 to 1000'),
        ('linear_regression --noise 1e30', '--noise: "1e30" is not a number from 0 to 1000'),
        ('two_moons --noise 1001', '--noise: "1001" is not a number from 0 to 1000'),
        ('linear_regression --lr ', '--lr: "" is not a number'),
        ('linear_regression --bogus', 'not expected: --bogus'),
        ('two_moons --points 0', '--points: "0" is not a whole number from 1'),
        ('teenygrad_mnist --batch 0', '--batch: "0" is not a whole number from 1'),
        ('beautiful_mnist --test 0', '--test: "0" is not a whole number from 1'),
        ('beautiful_mnist --test 100000', '--test 100000: there are 10000 test images'),
        ('mnist --predict 10000', '--predict 10000: the test images are 0 to 9999'),
        ('mnist --load ', '--load: must not be empty'),
        ('mnist --resume', '--resume needs a file'),
        ('gpt --width 30 --heads 4', 'heads share the width, which must be a multiple'),
        ('gpt --heads 0', '--heads: "0" is not a whole number from 1'),
        ('gpt --context 100000000', "more letters than the text's last tenth"),
        ('gpt --prompt ', '--prompt: must not be empty'),
        ('mnist --predict -1', '--predict: "-1" is not a whole number from 0'),
        ('gpt --temperature nan', '--temperature: "nan" is not a number'),
        ('linear_regression --lr 1,5', '--lr: "1,5" is not a number'),
        ('gpt --width 4 --heads 8', 'heads share the width'),
        ('mnist --batch 60001', '--batch 60001: there are 60000 training images'),
        ('gpt --layers 9000000000000000000', '--layers 9000000000000000000 --width 128 --context 64 --batch 32, 1.78445e+24 parameters: this takes'),
        ('gpt --layers 1e18', '--layers: "1e18" is not a whole number'),
        *[(f'{command} 9223372036854775807', 'of memory, and this machine has') for command in [
            'gpt --layers', 'gpt --heads 1 --width', 'gpt --batch', 'gpt --steps 0 --layers', 'linear_regression --points',
            'two_moons --points', 'teenygrad_mnist --batch', 'beautiful_mnist --batch']],
        ('gpt --context 9223372036854775807', "more letters than the text's last tenth"),
    ]:
        status, _, error = run(command)
        check(f'{command}: status {status}', status == 2 and says in error, error)
    for command in ['linear_regression --lr 10', 'linear_regression --lr 1.2', 'two_moons --lr 1e10 --steps 20',
                    'linear_regression --lr 1e300 --steps 1', 'two_moons --lr 1e300 --steps 1', 'teenygrad_mnist --lr 1e9 --steps 9']:
        status, out, error = run(command)
        check(f'{command}: status {status}', status == 1 and '--lr' in error and 'nan' not in out and '-nan' not in error, out + error)
    for command in ['linear_regression --noise 1000', 'two_moons --noise 1000 --steps 20']:
        status, out, error = run(command)
        check(f'{command}: status {status}', status == 0, out + error)
    done = subprocess.run(['sh', '-c', f'ulimit -v 1000000; OMP_NUM_THREADS=1 "{BUILT}/gpt" --layers 400'], cwd=ROOT, capture_output=True,
                          text=True)
    check('a model larger than the memory', done.returncode == 1 and 'memory' in done.stderr and 'bad_alloc' not in done.stderr, done.stderr)


def files(scratch):
    os.mkfifo(scratch / 'fifo')
    (scratch / 'empty').touch()
    for command, says in [
        (f'gpt --text {scratch}/fifo', 'fifo: not a regular file'),
        (f'gpt --text {scratch}', ': not a regular file'),
        (f'gpt --text {scratch}/none', 'none: cannot read: No such file or directory'),
        (f'mnist --load {scratch}/fifo', 'fifo: not a regular file'),
        (f'mnist --load {scratch}/empty', 'empty: no safetensors file: it is an empty file'),
        (f'mnist --save {scratch}', ': not a regular file'),
        (f'beautiful_mnist --checkpoint {scratch}/fifo', 'fifo: not a regular file'),
        (f'gpt --checkpoint {scratch}/empty --resume', 'empty: no safetensors file: it is an empty file'),
    ]:
        status, out, error = run(command)
        check(f'{command}: status {status}', status == 1 and says in error, out + error)
    # Weights that are no numbers: the first loss is not the rate's fault.
    model = scratch / 'nan.safetensors'
    run(f'mnist --epochs 0 --save {model}')
    saved = model.read_bytes()
    begin = 8 + int.from_bytes(saved[:8], 'little')
    header = json.loads(saved[8:begin])
    header.pop('__metadata__')  # with its checksums
    header = json.dumps(header).encode()
    model.write_bytes(len(header).to_bytes(8, 'little') + header + b'\xff' * (len(saved) - begin))
    status, out, error = run(f'mnist --epochs 1 --load {model}')
    check(f'weights that are no numbers: status {status}', status == 1 and 'the loss of step 1 is nan: nothing is learned yet' in error
          and '--lr' not in error, out + error)
    status, _, error = run('linear_regression', PROFILE=str(scratch / 'fifo'))
    check(f'PROFILE=fifo: status {status}', status == 1 and 'is a FIFO' in error, error)


def terminals():
    for columns in [10, 24, 80, 200]:
        status, output = on_terminal(columns, 'two_moons --steps 300')
        lines = output.split('\r\n')
        check(f'two_moons, {columns} columns: status {status}', status == 0 and 'test accuracy' in output, output)
        drawn = widths('\n'.join(line for line in lines if '\x1b[97' in line))
        check(f'two_moons draws {max(drawn)} of {columns} columns', min(columns - 1, 120) == max(drawn))
        redrawn = widths('\n'.join(lines[0].split('\r')[:-1]))  # without its last state, which stays
        check(f'the progress line takes {max(redrawn)} of {columns} columns', 0 < max(redrawn) <= columns - 3)
        closing = widths(output[output.rindex('\x1b[K', 0, output.index('training:')):output.index('test accuracy')])
        if columns >= 24:
            check(f'the last state takes {max(closing)} of {columns} columns', max(closing) <= columns, output)
    status, output = on_terminal(80, 'two_moons --steps 1000000', b'left')
    check(f'Ctrl-C: status {status}', status == -signal.SIGINT and re.search(r'left\x1b\[K[^\r\n]*\^C\x1b\[0m\r?\n', output), output[-200:])
    status, out, _ = run('two_moons --steps 6000')
    check('a pipe gets lines on the way', out.count(' left\n') >= 1, out)


def outputs():
    for target in ['>&-', '> /dev/full']:
        for options in ['', ' --help']:
            command = f'"{BUILT}/linear_regression"{options} {target}'
            done = subprocess.run(['sh', '-c', command], cwd=ROOT, capture_output=True, text=True)
            check(command, done.returncode == 1 and 'the output cannot be written' in done.stderr, done.stderr)


def traces(scratch):
    result = 'final y ='
    without_dot = {'PATH': str(scratch)}
    full = scratch / 'full.dot'
    full.symlink_to('/dev/full')
    for environment, expected, says in [
        ({'GRAPH': ''}, 0, ''),
        ({'GRAPH': str(scratch / 'a.svg'), **without_dot}, 0, "Graphviz's dot is missing"),
        ({'GRAPH': '/nowhere/a.svg'}, 1, 'there is no folder /nowhere'),
        ({'GRAPH': str(full)}, 1, 'GRAPH: cannot write'),
        ({'PROFILE': '/nowhere/a.json'}, 1, 'there is no folder /nowhere'),
        ({'PROFILE': '/dev/full'}, 1, 'is not whole'),
        ({'SEED': 'abc'}, 1, 'SEED=abc: must be a whole number'),
        ({'TEENY_MNIST_DIR': str(scratch)}, 0, ''),
    ]:
        status, out, error = run('linear_regression --steps 20', **environment)
        begins = 'there is no folder' not in says and 'must be' not in says
        check(f'{environment}: status {status}', status == expected and (result in out) == begins and says in error, out + error)
    status, _, error = run('mnist --epochs 0', TEENY_MNIST_DIR=str(scratch))
    check('an empty TEENY_MNIST_DIR is named', status == 1 and str(scratch) in error, error)
    for name, options in [('TEENY_MNIST_DIR', ''), ('TEENY_FASHION_MNIST_DIR', ' --fashion')]:
        status, _, error = run('mnist --epochs 0' + options, **{name: '/nowhere'})
        check(f'{name}=/nowhere is named', status == 1 and f'{name}=/nowhere: there is no such folder' in error, error)

    profile = scratch / 'p.json'
    run('linear_regression --steps 20', PROFILE=str(profile))
    check('PROFILE is JSON', len(json.loads(profile.read_text())) > 10)
    _, _, error = run('linear_regression --steps 20', DEBUG='1')
    check('DEBUG=1 has units', re.fullmatch(r'\d+ kernels  [\d.]+ [num]?s  [\d.]+ kFLOP  [\d.]+ kB moved  peak memory [\d.]+ kB\n', error), error)

    picture = scratch / 'step.svg'
    run('teenygrad_mnist --steps 2', GRAPH=str(picture))
    svg = picture.read_text()
    width, height = (float(x) for x in re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups())
    check(f'a step is drawn {width} x {height}', 1 / 3 < width / height < 3)
    check('a picture has a legend and inputs', all(part in svg for part in ['numbered as they run', 'input 0', '(60000, 28, 28)', 'result ']))


def others(folder):
    """Networks of others: gpt2 and resnet, with the small files of tests/interop/examples."""
    files = ROOT / 'tests/interop/examples'
    for name in ['gpt2', 'resnet_basic']:
        (folder / f'{name}.safetensors').write_bytes(gzip.decompress((files / f'{name}.safetensors.gz').read_bytes()))
    for name in ['vocab.json', 'merges.txt']:
        (folder / name).write_bytes((files / name).read_bytes())
    (folder / 'labels.txt').write_text(''.join(f'\x1b[31mlabel {i} of a picture that has a long name\n' for i in range(10)))
    (folder / 'labels.json').write_text(json.dumps([f'label {i}' for i in range(10)]))
    (folder / 'nine.json').write_text(json.dumps(['x'] * 9))
    gpt2 = f'gpt2 --model {folder}/gpt2.safetensors --heads 2'
    resnet = f'resnet --model {folder}/resnet_basic.safetensors'
    picture = f'{files}/pictures/large.png'

    for command, expected, says in [
        ('gpt2 word', 2, "--model is missing: a file with GPT-2's weights"),
        (f'{gpt2} --top-k 0', 2, '--top-k: "0" is not a whole number from 1'),
        (f'{gpt2} --temperature nan', 2, '--temperature: "nan" is not a number'),
        (f'gpt2 --model {folder}/gpt2.safetensors --heads 7', 1, 'gpt2.safetensors: 7 heads cannot share a width of 24'),
        (f'{gpt2} a b', 2, 'not expected: b'),
        (f'{gpt2} --vocab {folder}/none', 1, 'none: cannot read: No such file'),
        (f'{gpt2} --merges {folder}/labels.txt', 1, 'labels.txt: line 1 is not a pair of tokens'),
        (f'gpt2 --model {folder}/resnet_basic.safetensors', 1, 'no weights of GPT-2, which have a table wte.weight'),
        (f'gpt2 --model {folder}/none.safetensors', 1, 'none.safetensors: cannot read: No such file'),
        (f'gpt2 --model {folder}/vocab.json', 1, 'vocab.json: the ending is .safetensors'),
        ('resnet', 2, "--model is missing: a file with a ResNet's weights"),
        (resnet, 2, 'the picture is missing: a PNG or PPM'),
        (f'{resnet} {folder}/none.png', 1, 'none.png: cannot read: No such file'),
        (f'{resnet} {folder}', 1, ': not a regular file'),
        (f'{resnet} {folder}/vocab.json', 1, 'vocab.json: neither PNG nor PPM'),
        (f'{resnet} {picture} --resize 223', 2, '--resize: "223" is not a whole number from 224'),
        (f'{resnet} {picture} --labels {folder}/nine.json', 1, 'nine.json: 9 labels, and the network has 10 classes'),
        (f'{resnet} {picture} --labels {folder}/vocab.json', 1, 'vocab.json: 1 labels, and the network has 10 classes'),
        (f'resnet --model {folder}/gpt2.safetensors {picture}', 1, 'no weights of a ResNet, which have conv1.weight'),
    ]:
        status, out, error = run(command)
        check(f'{command}: status {status}', status == expected and says in error and out == '' and error.count('\n') <= status,
              out + error)

    def write(options, prompt=None):
        done = subprocess.run([BUILT / 'gpt2', *f'{gpt2} {options}'.split(' ')[1:]], capture_output=True, input=prompt)
        check(f'gpt2 {options}: status {done.returncode}', done.returncode == 0 and done.stderr.count(b' a second\n') == 2, done.stderr)
        return done.stdout.decode()  # as UTF-8 only

    greedy = write('--tokens 40 --temperature 0 Größe')
    check('gpt2 goes on with the prompt', greedy.startswith('Größe') and greedy.endswith('\n') and len(greedy) > 20, greedy)
    check('gpt2 reads a prompt', greedy == write('--tokens 40 --temperature 0', 'Größe\n'.encode()), greedy)
    check('gpt2: the likeliest of one', greedy == write('--tokens 40 --top-k 1 Größe'), greedy)
    texts = {seed: write(f'--tokens 60 --seed {seed} --temperature 2 a') for seed in [1, 2]}
    check('gpt2: a seed', texts[1] == write('--tokens 60 --seed 1 --temperature 2 a') != texts[2], texts)
    done = subprocess.run([BUILT / 'gpt2', *gpt2.split(' ')[1:], '--tokens', '1', 'It was ' * 40], capture_output=True, text=True)
    check('gpt2 says what it does not read', '32 positions: only the last 16 are read' in done.stderr, done.stderr)
    check('gpt2 beyond its 32 positions', len(write('--tokens 200 --top-k 9 --seed 1 It')) > 150)
    write('--tokens 3', b'')
    write('--tokens 3', b'\xff\xfe no text \xe2')
    check('gpt2 that is to write nothing', write('--tokens 0 x') == 'x\n')
    status, output = on_terminal(40, f'{gpt2} --tokens 100000000 --seed 1 It', b'It')
    check(f'gpt2, Ctrl-C: status {status}', status == -signal.SIGINT, output[-200:])
    check('gpt2: no control characters on a terminal', not re.search('[\0-\x08\x0e-\x1a\x7f-\x9f]', output), output)

    for labels, says in [('', 'class '), (f' --labels {folder}/labels.txt', '?[31mlabel '), (f' --labels {folder}/labels.json', 'label ')]:
        status, out, error = run(f'{resnet} {picture} --top 3{labels}')
        rows = re.findall(rf'^ *\d+\.\d % .* {re.escape(says)}\d', out, re.M)
        check(f'resnet{labels}: status {status}', status == 0 and len(rows) == 3 == out.count('\n'), out + error)
    check('resnet: no more than there are', run(f'{resnet} {picture} --top 99')[1].count('\n') == 10)
    for columns in [18, 24, 80]:
        status, output = on_terminal(columns, f'{resnet} {picture} --labels {folder}/labels.txt')
        check(f'resnet takes {max(widths(output))} of {columns} columns', status == 0 and max(widths(output)) <= columns, output)


options()
terminals()
outputs()
with tempfile.TemporaryDirectory() as name:
    others(pathlib.Path(name))
with tempfile.TemporaryDirectory() as name:
    files(pathlib.Path(name))
with tempfile.TemporaryDirectory() as name:
    traces(pathlib.Path(name))
print(f'{len(wrong)} wrong')
sys.exit(bool(wrong))
