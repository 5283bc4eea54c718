"""How torch's threads wait: the results and the library's state."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from charlstm.config import ModelConfig
from charlstm.nn import openmp
from charlstm.nn.network import CharLSTM
from charlstm.nn.openmp import sleep_while_waiting, sleeps_while_waiting

pytestmark = pytest.mark.usefixtures("two_threads")
gnu = pytest.mark.skipif(not openmp._is_gnu(), reason="torch has no OpenMP library of GNU's here")


def _threads() -> set[str]:
    """The ids of this process's threads; those of other tests may be ending."""
    return set(os.listdir("/proc/self/task"))


@gnu
@pytest.mark.skipif(sys.platform != "linux", reason="others have no /proc")
def test_an_idle_team_lasts_until_threads_spin_again() -> None:
    torch.rand(300, 300) @ torch.rand(300, 300)  # torch's own threads are started
    before = _threads()
    for _ in range(20):
        sleep_while_waiting(True)
        sleep_while_waiting(True)
        assert sleeps_while_waiting()
        assert len(_threads() - before) >= 2  # a team of at least two
        sleep_while_waiting(False)
        sleep_while_waiting(False)
        assert not sleeps_while_waiting()
    for _ in range(1000):  # a thread that ends is listed for a moment
        if not _threads() - before:
            break
        os.sched_yield()
    assert not _threads() - before


@gnu
def test_more_threads_than_processors_are_managed() -> None:
    """This is what makes the library stop spinning."""
    sleep_while_waiting(True)
    count = openmp._idle_teams[0]._count
    assert torch.get_num_threads() - 1 + count > len(os.sched_getaffinity(0))


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmp, "_is_gnu", lambda: False)
    sleep_while_waiting(True)
    assert not sleeps_while_waiting()


@gnu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_same_bits_however_threads_wait(dtype: torch.dtype, cell: str) -> None:
    ids = torch.randint(40, (32, 16), generator=torch.Generator().manual_seed(2))

    def gradients(*, toggle: bool) -> list[torch.Tensor]:
        shape = ModelConfig(cell=cell, num_layers=2, hidden_size=64, dropout=0.1)
        network = CharLSTM(shape, 40, dtype=dtype, seed=3)
        for step in range(4):
            sleep_while_waiting(toggle and step % 2 == 0)
            logits, _ = network(ids, network.initial_state(16))
            torch.autograd.backward(logits.square().mean())
        return [p.grad for p in network.parameters() if p.grad is not None]

    steady, changing = gradients(toggle=False), gradients(toggle=True)
    assert len(steady) > 0
    for one, other in zip(steady, changing, strict=True):
        assert torch.equal(one, other)
