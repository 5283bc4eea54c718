from __future__ import annotations

from typing import Any

import pytest
import torch

from charlstm.cells import CELLS
from charlstm.config import ModelConfig
from charlstm.format.weights import weight_shapes
from charlstm.nn.cell import one_hot
from charlstm.nn.dropout import dropout_mask
from charlstm.nn.network import CharLSTM


def network(dropout: float = 0.0, **options: Any) -> CharLSTM:
    values = {"num_layers": 2, "hidden_size": 6, "dropout": dropout} | options
    return CharLSTM(ModelConfig(**values), 5, seed=3)


def run(net: CharLSTM, ids: torch.Tensor | None = None) -> torch.Tensor:
    """Logits (T, B, V) from the zero state."""
    ids = SOME if ids is None else ids
    logits: torch.Tensor = net(ids[:-1], net.initial_state(ids.shape[1]), targets=ids[1:])[0]
    return logits


SOME = torch.randint(5, (9, 3), generator=torch.Generator().manual_seed(5))
OPTIONS: list[dict[str, Any]] = [
    *({"cell": cell} for cell in CELLS),
    {"direction": "both"},
    {"residual": True, "num_layers": 3},
    {"dense_output": True},
    {"layer_norm": True, "num_layers": 3},
    {"embedding": 4},
    {"direction": "both", "dense_output": True, "layer_norm": True, "embedding": 3, "cell": "gru"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_names_and_shapes_are_those_of_the_checkpoint(options: dict[str, Any]) -> None:
    net = network(**options)
    found = {name: tuple(p.shape) for name, p in net.named_parameters()}
    assert found == weight_shapes(net.config, 5)
    assert not list(net.buffers(recurse=False))
    assert set(net.state_dict()) == set(found)


def test_state_is_carried() -> None:
    net = network()
    ids = torch.randint(5, (8, 3))
    whole, end = net(ids, net.initial_state(3))
    first, state = net(ids[:3], net.initial_state(3))
    second, state = net(ids[3:], state)
    torch.testing.assert_close(whole, torch.cat([first, second]))
    for layer, other in zip(end, state, strict=True):
        torch.testing.assert_close(layer, other)
    last, _ = net(ids, net.initial_state(3), last_only=True)
    torch.testing.assert_close(last, whole[-1:])


def test_same_seed_same_weights() -> None:
    for a, b in zip(network().parameters(), network().parameters(), strict=True):
        assert torch.equal(a, b)


def test_one_hot_times_a_matrix_is_a_row_of_it() -> None:
    matrix = torch.randn(5, 4)
    ids = torch.tensor([[3, 0], [1, 1]])
    torch.testing.assert_close(one_hot(ids, 5, torch.float32) @ matrix, matrix[ids])


def test_dropout_acts_in_training_only() -> None:
    net = network(dropout=0.5)
    ids = torch.randint(5, (8, 3))
    first, _ = net(ids, net.initial_state(3))
    second, _ = net(ids, net.initial_state(3))
    assert not torch.equal(first, second)
    net.eval()
    first, _ = net(ids, net.initial_state(3))
    second, _ = net(ids, net.initial_state(3))
    assert torch.equal(first, second)


def test_logits_are_scaled_but_in_training() -> None:
    plain, scaled = network(), network(logit_scale=0.7)
    assert torch.equal(run(scaled), run(plain))
    scaled.eval()
    torch.testing.assert_close(run(scaled), 0.7 * run(plain))


MASKS: list[dict[str, Any]] = [
    {"dropout": 0.5}, {"locked_dropout": 0.5}, {"input_dropout": 0.5}, {"recurrent_dropout": 0.5},
    {"zoneout": 0.5, "cell": "peephole"}, {"input_dropout": 0.5, "cell": "gru"},
    {"input_dropout": 0.5, "embedding": 4},
]  # fmt: skip


@pytest.mark.parametrize("options", MASKS, ids=str)
def test_masks_act_in_training_only_and_follow_the_generator(options: dict[str, Any]) -> None:
    net = network(**options)
    start = net.generator.get_state()
    first, second = run(net), run(net)
    assert not torch.equal(first, second)
    net.generator.set_state(start)
    assert torch.equal(run(net), first)
    net.eval()
    state = net.generator.get_state()
    assert torch.equal(run(net), run(net))
    assert torch.equal(net.generator.get_state(), state)
    if "zoneout" not in options:  # whose mean is part of the model
        plain = network(**{k: v for k, v in options.items() if "dropout" not in k})
        assert torch.equal(run(plain), run(net))


def test_input_dropout_hides_whole_characters() -> None:
    net = network(input_dropout=0.5, num_layers=1)
    xs, _ = net._characters(SOME, net.masks(), takes_ids=True)
    sums = xs.sum(dim=2)
    assert set(sums.flatten().tolist()) == {0.0, 2.0}


def test_locked_dropout_has_one_mask_for_a_window() -> None:
    net = network(locked_dropout=0.5)
    dropped = net.masks().activations(torch.ones(7, 3, 6), net.spec.dropout)
    for step in dropped[1:]:
        assert torch.equal(step, dropped[0])
    assert not torch.equal(dropped[0, 0], dropped[0, 1])  # but one of its own for each stream


def test_recurrent_dropout_drops_weights_for_a_window() -> None:
    net = network(recurrent_dropout=0.25, hidden_size=64)
    weight = net.cells[0].get_parameter("weight_hh")
    dropped = net.masks().weights(weight, 0.25)
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(dropped[kept], weight[kept] / 0.75, rtol=1e-4, atol=0)


def test_residual_layers_add_what_they_read() -> None:
    net, plain = network(residual=True), network()
    with torch.no_grad():
        for other in (net, plain):
            for parameter in other.cells[1].parameters():
                parameter.zero_()  # h is 0 then, so that the first layer's output alone passes
    ys, _ = net._read(net.spec.forward, SOME, net.initial_state(3), net.masks())
    xs = one_hot(SOME, 5, torch.float32)
    first, _ = net.cells[0](xs, net.initial_state(3)[0], net.masks())
    torch.testing.assert_close(ys, first)
    ys, _ = plain._read(plain.spec.forward, SOME, plain.initial_state(3), plain.masks())
    assert not ys.any()


def test_dense_output_feeds_all_layers_to_the_softmax() -> None:
    net = network(dense_output=True, num_layers=3)
    ys, _ = net._read(net.spec.forward, SOME, net.initial_state(3), net.masks())
    assert ys.shape == (9, 3, 18)
    plain = network(num_layers=3)
    plain.load_state_dict({**net.state_dict(), "head.weight": torch.zeros(5, 6)})
    top, _ = plain._read(plain.spec.forward, SOME, plain.initial_state(3), plain.masks())
    torch.testing.assert_close(ys[:, :, 12:], top)


def test_layer_norm_makes_scale_below_it_immaterial() -> None:
    net = network(layer_norm=True, num_layers=2)
    read: list[torch.Tensor] = []
    net.get_submodule("norms.0").register_forward_hook(lambda _m, _i, out: read.append(out))
    run(net)
    assert read[0].mean(dim=2).abs().max().item() < 1e-5
    torch.testing.assert_close(
        read[0].var(dim=2, unbiased=False), torch.ones(8, 3), atol=0.01, rtol=0
    )


def test_an_embedding_is_a_matrix_before_the_first_layer() -> None:
    net = network(embedding=4)
    plain = network()
    assert net.embedding is not None
    weights = dict(net.state_dict())
    table = weights.pop("embedding.weight")
    weights["layers.0.weight_ih"] = weights["layers.0.weight_ih"] @ table.T
    plain.load_state_dict(weights)
    torch.testing.assert_close(run(net), run(plain))


@pytest.mark.parametrize("cell", CELLS)
def test_both_ways_never_sees_what_it_predicts(cell: str) -> None:
    """Changing a character changes the predictions of all others, and never its own."""
    net = network(direction="both", cell=cell, num_layers=2).eval()
    before = run(net)
    for place in range(1, len(SOME)):  # the first is read, not predicted
        changed = SOME.clone()
        changed[place] = (changed[place] + 1) % 5
        after = run(net, changed)
        for predicted in range(1, len(SOME)):
            same = torch.equal(after[predicted - 1], before[predicted - 1])
            assert same == (predicted == place), (place, predicted)


def test_both_ways_reads_a_single_character() -> None:
    net = network(direction="both")
    assert run(net, SOME[:2]).shape == (1, 3, 5)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_dropout_mask(rate: float) -> None:
    mask = dropout_mask(torch.empty(301, 1001), rate, torch.Generator().manual_seed(1))
    values, counts = torch.unique(mask, return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-4)
    share = counts[0].item() / mask.numel()
    assert share == pytest.approx(rate, abs=5 * (rate * (1 - rate) / mask.numel()) ** 0.5)
    # The 64-bit words' four parts are all uniform.
    for part in range(4):
        quarter = mask.flatten()[part::4]
        tolerance = 5 * (rate * (1 - rate) / quarter.numel()) ** 0.5
        assert (quarter == 0).float().mean().item() == pytest.approx(rate, abs=tolerance)


def test_bfloat16_is_close_to_float32() -> None:
    ids = torch.randint(5, (8, 3))
    net = network()
    exact, _ = net(ids, net.initial_state(3))
    net.dtype = torch.bfloat16
    rough, state = net(ids, net.initial_state(3))
    assert rough.dtype == torch.float32
    assert state[0][0].dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)
