#!/usr/bin/env python3
"""What the fusion explorer shows: each program of programs.cpp runs with and without FUSE=0; GRAPH= says what its
kernels read from each other, DEBUG=3 what each computes, and PROFILE= how many bytes it moves.

    fusion.py PROGRAMS OUT.js      PROGRAMS is the compiled programs.cpp; needs Graphviz's dot
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TITLES = {
    'gelu': 'GELU',
    'softmax': 'Softmax',
    'layer_norm': 'Layer norm',
    'conv_block': 'Convolution, ReLU, max-pool',
    'attention': 'Attention',
    'adam_step': 'A step of Adam',
    'training_step': 'A training step on MNIST',
}


def listings(trace):
    """The listing of each kernel: DEBUG=3 prints it before the line with the kernel's number and time."""
    parts = re.split(r'^ *\d+ +[\d.]+ us .*\n', trace, flags=re.M)
    return parts[:-1]  # behind the last one are the totals


def run(programs, name, fuse):
    """The picture and the kernels of a program."""
    with tempfile.TemporaryDirectory() as folder:
        dot, profile = f'{folder}/graph.dot', f'{folder}/profile.json'
        env = dict(os.environ, GRAPH=dot, PROFILE=profile, DEBUG='3', FUSE=str(int(fuse)))
        result = subprocess.run([programs, name], env=env, stderr=subprocess.PIPE, text=True)
        if result.returncode:
            sys.exit(f'fusion.py: {name} ends with status {result.returncode}\n{result.stderr[-1000:]}')
        kernels = listings(result.stderr.split('== run\n')[1])
        events = json.loads(pathlib.Path(profile).read_text())[-len(kernels):]
        source = pathlib.Path(dot).read_text()
    # The page has a legend of its own.
    source = re.sub(r'^  legend \[.*\n', '', source, flags=re.M)
    drawn = len(re.findall(r'^  k\d+ \[', source, flags=re.M))
    if drawn != len(kernels):
        sys.exit(f'fusion.py: {name}: {len(kernels)} kernels ran, and GRAPH= drew {drawn}')
    svg = subprocess.run(['dot', '-Tsvg'], input=source, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        'svg': small(svg),
        'kernels': [{'listing': listing, 'flops': event['args']['flops'], 'bytes': event['args']['bytes']}
                    for listing, event in zip(kernels, events)],
    }


def small(svg):
    """The picture to be put into a page: no headers, no comments, and no attributes that the style sheet has."""
    svg = svg[svg.index('<svg'):]
    svg = re.sub(r'<!--.*?-->\n?', '', svg, flags=re.S)
    svg = re.sub(r' (font-family|xmlns:xlink|text-anchor)="[^"]*"', '', svg)
    svg = re.sub(r' stroke="(transparent|black|#555555)"', '', svg)
    svg = re.sub(r'<polygon fill="white" points="[^"]*"/>\n', '', svg, count=1)  # the background
    return svg.replace('\n<', '<')


def body(source, name):
    """What stands between the braces of the function."""
    text = re.search(rf'^static void {name}\(\) {{\n(.*?)^}}', source, flags=re.M | re.S).group(1)
    return re.sub(r'^  ', '', text, flags=re.M).replace('start();\n', '// what follows is drawn\n')


def main():
    programs, out = sys.argv[1:]
    source = pathlib.Path(__file__).with_name('programs.cpp').read_text()
    result = []
    for name, title in TITLES.items():
        pair = {fuse: run(programs, name, fuse) for fuse in (True, False)}
        result.append({'name': name, 'title': title, 'code': body(source, name),
                       'fused': pair[True], 'unfused': pair[False]})
        print(f'  {title}: kernels {len(pair[True]["kernels"])}, with FUSE=0 {len(pair[False]["kernels"])}', flush=True)
    pathlib.Path(out).write_text('const PROGRAMS = ' + json.dumps(result, separators=(',', ':')) + ';\n')


main()
