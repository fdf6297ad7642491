"""`python -m scripts.docs [--out DIRECTORY]`: the site, in build/site unless told otherwise; anything amiss fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from scripts.docs.stage import ROOT, stage


def build(out: Path) -> int:
    """Gather the pages into `out`/pages and build them into `out`/site; returns mkdocs's exit code."""
    stage(out / "pages")
    config = out / "mkdocs.yml"
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    text = text.replace("docs_dir: build/pages", f"docs_dir: {out / 'pages'}")
    text = text.replace("site_dir: build/site", f"site_dir: {out / 'site'}")
    config.write_text(text.replace("paths: [src]", f"paths: [{ROOT / 'src'}]"), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--config-file", str(config)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=ROOT, env=quiet, check=False).returncode


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.docs", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where pages/ and site/ go")
    out: Path = parser.parse_args().out.absolute()
    code = build(out)
    if code == 0:
        print(f"docs: {out / 'site' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
