"""Time what the plugin adds to Nerfstudio's own import: the processor's seconds, in interpreters of their own.

Bytecode is kept in a folder that is thrown away, as an installed package has its own; the first run writes it and does
not count.

    python benchmarks/imports.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from timing import RESULTS, circumstances

PROGRAM = """
import importlib, importlib.metadata, json, time

import importlib_metadata

find = importlib_metadata.entry_points, importlib.metadata.entry_points
importlib_metadata.entry_points = lambda **_: importlib_metadata.EntryPoints()
importlib.metadata.entry_points = lambda **_: importlib.metadata.EntryPoints()
began_s = time.process_time()
import nerfstudio.configs.method_configs, nerfstudio.scripts.train
nerfstudio_s = time.process_time() - began_s
importlib_metadata.entry_points, importlib.metadata.entry_points = find

began_s = time.process_time()
for group in ("nerfstudio.dataparser_configs", "nerfstudio.method_configs"):
    for entry in importlib.metadata.entry_points(group=group):
        if entry.value.startswith("ns_talking"):
            entry.load()
print(json.dumps([nerfstudio_s, time.process_time() - began_s]))
"""


def main() -> None:
    """Run, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        for _ in range(options.repeats + 1):
            command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    nerfstudio_s, plugin_s = (statistics.median(column) for column in zip(*runs[1:], strict=True))
    record = {
        **circumstances("cpu"),
        "nerfstudio_s": round(nerfstudio_s, 3),
        "plugin_s": round(plugin_s, 3),
        "plugin_range_s": [round(bound, 3) for bound in (min(r[1] for r in runs[1:]), max(r[1] for r in runs[1:]))],
        "share": round(plugin_s / nerfstudio_s, 4),
    }
    print(f"Nerfstudio {nerfstudio_s:.2f} s, the plugin {plugin_s:.2f} s of processor time.")
    path = RESULTS / "imports.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"Wrote {path}.")


if __name__ == "__main__":
    main()
