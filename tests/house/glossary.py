#!/usr/bin/env python3
"""Fails where notes/glossary.md names a word that its file does not have, and where the README or a note names, between
backquotes, a file, an identifier, a function, a member or a target of make that the tree does not have."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = subprocess.run(['git', 'ls-files'], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
OF_READERS = {'first.cpp', 'NN-name.cpp', '39-name.cpp', '39-name.md'}  # what a page asks its reader to write
OF_OTHERS = {'load_file', 'TensorDataset', 'add_', 'searchsorted',
             # what notes/ranks.md names of other frameworks and of launchers
             'get_rank', 'get_world_size', 'init', 'process_index', 'process_count', 'distributed', 'initialize', 'GPUS', 'all_sum',
             'psum', 'psum_scatter', 'sum_scatter', 'reduce_scatter_tensor', 'all_gather_into_tensor', 'pmean',
             'ZeroRedundancyOptimizer', 'ColwiseParallel', 'RowwiseParallel', 'AllToShardedLinear', 'ShardedToAllLinear',
             'NamedSharding', 'shard_', 'to_', 'DistributedSampler', 'DistributedDataParallel', 'no_sync', 'barrier', 'new_group'}


def read(path):
    return (ROOT / path).read_text(errors='ignore')


def glossary():
    rows = re.findall(r'^\| `(\w+)` \|.*\| `([^`]+)` \|$', read('notes/glossary.md'), re.M)
    wrong = [f'notes/glossary.md: {word} is not in {path}' for word, path in rows
             if path not in FILES or not re.search(rf'\b{word}\b', read(path))]
    return len(rows), wrong


def pages():
    code = [f for f in FILES if f.startswith(('teeny/', 'tinyops/', 'tests/', 'examples/', 'Makefile', '.ci/')) and not f.endswith('.gz')]
    comment = re.compile(r'(?<![:"])//.*')
    words = set()
    for f in code:
        words.update(re.findall(r'\w+', comment.sub('', read(f)) if re.search(r'\.(h|cpp|cu)$', f) else read(f)))
    makefile = read('Makefile')
    examples = re.search(r'^EXAMPLES := (.*)$', makefile, re.M)[1].split()
    targets = {'widgets', *examples, *re.findall(r'^([\w-]+):.*## ', makefile, re.M)}
    count, wrong = 0, []
    for page in ['README.md'] + [f for f in FILES if re.match(r'notes/(?!code_tour)[\w/-]+\.md', f)]:
        blocks = re.compile(r'^```.*?^```', re.S | re.M)
        own = words | OF_OTHERS | set(re.findall(r'\w+', '\n'.join(blocks.findall(read(page)))))  # a page has programs of its own
        text = blocks.sub('', read(page))
        for name in re.findall(r'`([^`\n]+)`', text):
            if re.fullmatch(r'[\w./-]+\.(h|cpp|cu|py|sh|md)', name):
                known = any(f == name or f.endswith('/' + name) for f in FILES) or pathlib.PurePath(name).name in OF_READERS
            elif re.fullmatch(r'(teeny|tinyops|tests|examples|notes)/[\w/-]*', name):
                known = (ROOT / name).exists()
            elif re.fullmatch(r'[A-Za-z_]\w*(::\w+)*(\(\))?', name):
                known = own.issuperset(re.findall(r'\w+', name))
            elif name.startswith('make '):
                known = targets.issuperset(re.findall(r'(?<= )[a-z_]\w+(?= |$)', name.split(' ARGS=')[0]))
            else:  # a piece of code: what is called, and what is a member
                known = own.issuperset(re.findall(r'[A-Za-z_]\w+(?=[(<])|(?<=[\w)\]]\.)[A-Za-z_]\w+|(?<=::)\w+', name))
            count += 1
            if not known:
                wrong.append(f'{page}: there is no {name}')
    return count, wrong


entries, missing = glossary()
names, unknown = pages()
print('\n'.join(missing + unknown) or f'{entries} words of the glossary, {names} names in the pages: all of them are there')
sys.exit(bool(missing or unknown) or entries < 30 or names < 100)
