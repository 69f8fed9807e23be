"""Memory of the analysis and of the export: the largest tensor, and 64 MiB beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

SIDE = 1536
CODE = """
import resource, sys
from pathlib import Path
from workers.filterdb.{module} import run
from workers.filterdb.entries import {spec}
from workers.kit import LocalContext, ModelRef

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def work(name):
    return run({spec}(), LocalContext(model=ModelRef(name="m", revision=name, files=(name,))))

work(sys.argv[1])
before = peak()
work(sys.argv[2])
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("module", "spec"), [("analysis", "FilterdbSpec"), ("export", "FilterExportSpec")])
def test_one_weight_and_64_mib_are_enough(tmp_path: Path, module: str, spec: str) -> None:
    rng = np.random.default_rng(0)
    large = rng.standard_normal((SIDE, SIDE, 3, 3), dtype=np.float32)
    for name, weight in (("small", large[:8, :8].copy()), ("large", large)):
        outputs = len(weight)
        state = {}
        for place in range(3):
            ones = np.ones(outputs, dtype=np.float32)
            state |= {f"l{place}.0.weight": weight, f"l{place}.1.weight": ones}
            state |= {f"l{place}.1.running_mean": ones, f"l{place}.1.running_var": ones}
        save_file(state, tmp_path / name)
    code = CODE.format(module=module, spec=spec)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "small"), str(tmp_path / "large")],
        capture_output=True,
        text=True,
        check=True,
    )
    needed = int(done.stdout)
    assert needed <= large.nbytes + 64 * 2**20, f"{needed / 2**20:.0f} MiB for a tensor of {large.nbytes / 2**20:.0f}"
