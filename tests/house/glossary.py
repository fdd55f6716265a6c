#!/usr/bin/env python3
"""Fails where notes/glossary.md names a word that its file does not have."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
rows = re.findall(r'^\| `(\w+)` \|.*\| `([^`]+)` \|$', (root / 'notes/glossary.md').read_text(), re.M)
wrong = [f'{word} is not in {path}' for word, path in rows
         if not (root / path).exists() or not re.search(rf'\b{word}\b', (root / path).read_text())]
print('\n'.join(wrong) or f'{len(rows)} words, each where it is said to be')
sys.exit(bool(wrong) or len(rows) < 30)
