"""What a newcomer meets: the first training after an installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")


# In a process of its own: functions that other tests have called would count as compiled.
ALL_TYPES = r"""
import sys
from pathlib import Path
import torch
import charlstm.kernels
from charlstm.config import Config
from charlstm.training.compiling import CompileWatch
from charlstm.training.setup import new_run

def types():
    modules = [m for n, m in sys.modules.items() if n.startswith("charlstm.kernels.")]
    made = [f for m in modules for f in vars(m).values() if hasattr(f, "nopython_signatures")]
    return {(f.py_func.__name__, s) for f in made for s in f.nopython_signatures}

precision = sys.argv[2]
CompileWatch().warm_up(getattr(torch, precision))
before = types()
assert before
folder = Path(sys.argv[1])
(folder / "x.txt").write_text("the light is low and the wind is from the north\n" * 20)
common = dict(hidden_size=6, maxlen=8, batch_size=3, epochs=1, kernel="compiled", sample_every=20,
    precision=precision, recurrent_dropout=0.2, dropout=0.2, log_every=10**6)
for number, options in enumerate([
    dict(cell="coupled", embedding=4),
    dict(cell="lstm", num_layers=3, residual=True, layer_norm=True, dense_output=True),
    dict(cell="coupled", hidden_size=7, average=0.5, grow=0.5, reset=0.2, locked_dropout=0.1),
    dict(cell="lstm", direction="both", num_layers=2, input_dropout=0.1),
    dict(cell="coupled", stateless=True, targets="last"),
    dict(cell="coupled", minutes=5.0),
]):
    trainer = new_run([str(folder / "x.txt")], Config().override({**common, **options}),
        runs_dir=folder, name=str(number), notice=lambda _: None)
    for _ in trainer.train():
        pass
    more = types() - before
    assert not more, (options, more)
"""


def test_training_compiles_nothing_more(tmp_path: Path) -> None:
    from charlstm.training.device import compiled_fault

    precision = "float32" if compiled_fault("bfloat16") else "bfloat16"
    done = subprocess.run(
        [sys.executable, "-c", ALL_TYPES, str(tmp_path), precision],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_first_run_after_an_installation(tmp_path: Path, text: str) -> None:
    """Nothing is compiled yet: the run does as many steps as the next one."""
    (tmp_path / "x.txt").write_text(text)
    command = [
        sys.executable, "-m", "charlstm", "train", "x.txt", "--minutes", "0.2", "--size", "small",
        "--kernel", "compiled", "--precision", "float32", "--sample-every", "0", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    steps = []
    for number in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        assert ("compiling" in done.stderr) == (number == 0), done.stderr
        steps.append(json.loads(done.stdout)["step"])
    assert steps[0] > steps[1] / 3, steps  # other programs may have run meanwhile
