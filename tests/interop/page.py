"""Runs the Python of notes/from_pytorch.md, which saves the files that the page's commands and programs are run on.

    python tests/interop/page.py            writes them to tests/golden/page (beside its labels.txt)
    python tests/interop/page.py --check    fails unless they hold what the page's Python saves today: the same scores to 1e-3
"""
import os
import pathlib
import re
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "tests" / "golden" / "page"


def main():
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / "notes" / "from_pytorch.md").read_text(), re.S | re.M))
    check = sys.argv[1:] == ["--check"]
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch if check else FILES)
        exec(compile(code, "from_pytorch.md", "exec"), {"__name__": "page"})
        if check:
            for name in ("x.npy", "scores.npy"):
                np.testing.assert_allclose(np.load(name), np.load(FILES / name), rtol=1e-3, atol=1e-3, err_msg=name)
        os.chdir(ROOT)


main()
