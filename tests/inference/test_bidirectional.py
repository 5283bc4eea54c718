from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from charlstm.cells import CELLS
from charlstm.config import Config, FillConfig, ModelConfig
from charlstm.errors import ConfigError, CorpusError, DirectionError, UnknownCharacterError
from charlstm.inference.bidirectional import BLOCK, CONTEXT, BidirectionalModel, plan_blocks
from charlstm.inference.language_model import LanguageModel
from charlstm.nn.network import CharLSTM
from charlstm.text.parts import Part
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training.validation import validate

CHARACTERS = "\n ,abelort"


def pair(**options: Any) -> tuple[CharLSTM, LanguageModel]:
    """A network that reads both ways, with lively weights, and the same in numpy."""
    values: dict[str, Any] = {
        "direction": "both",
        "num_layers": 2,
        "hidden_size": 12,
        "dropout": 0.3,
    } | options
    config = ModelConfig(**values)
    network = CharLSTM(config, len(CHARACTERS), seed=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
    tokenizer = CharTokenizer("".join(sorted(CHARACTERS)))
    return network, LanguageModel(weights, Config(model=config), tokenizer)


def some_ids(count: int) -> Any:
    return np.random.default_rng(count).integers(len(CHARACTERS), size=count).astype(np.uint8)


@pytest.mark.parametrize("size", [2, 3, BLOCK, BLOCK + 1, BLOCK + 2, 3 * BLOCK + 50, 80 * BLOCK])
def test_blocks_cover_a_text_once_with_context(size: int) -> None:
    predicted: list[int] = []
    for blocks in plan_blocks(Part.whole(np.zeros(size, np.uint8))):
        positions = blocks.positions
        assert positions.min() >= 0
        assert positions.max() < size
        for column in positions.T:
            own = column[blocks.left : blocks.left + blocks.count]
            predicted += own.tolist()
            assert blocks.left == min(CONTEXT, own[0])
            assert blocks.right == min(CONTEXT, size - 1 - own[-1])
    assert predicted == list(range(1, size))
    with pytest.raises(CorpusError, match="at least 2"):
        list(plan_blocks(Part.whole(np.zeros(1, np.uint8))))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options",
    [{}, {"dense_output": True}, {"layer_norm": True, "embedding": 3}, {"logit_scale": 0.7}],
    ids=str,
)
def test_numpy_scores_as_torch_does(cell: str, options: dict[str, Any]) -> None:
    network, model = pair(cell=cell, **options)
    ids = some_ids(500)
    expected = validate(network, Part.whole(ids), lambda: False)
    assert model.score_ids(ids).nats_per_char == pytest.approx(expected, abs=1e-5)
    assert model.score_ids(ids).count == 499


def test_pseudo_likelihood_of_a_short_text_by_hand() -> None:
    network, model = pair()
    ids = some_ids(6)
    text = torch.from_numpy(ids.astype(np.int64))[:, None]
    with torch.inference_mode():
        logits, _ = network(text[:-1], network.initial_state(1), targets=text[1:])
        loss = torch.nn.functional.cross_entropy(logits[:, 0], text[1:, 0])
    assert model.score_ids(ids).nats_per_char == pytest.approx(loss.item(), abs=1e-6)


def test_fill_replaces_blanks_only() -> None:
    _, model = pair()
    text = "to be, _r ___ to be"
    for filled in model.fill(text, 5, sweeps=3, seed=4):
        assert len(filled) == len(text)
        assert "_" not in filled
        assert all(a == b for a, b in zip(text, filled, strict=True) if a != "_")
    assert model.fill(text, 5, sweeps=3, seed=4) == model.fill(text, 5, sweeps=3, seed=4)
    assert model.fill(text, 5, seed=4) != model.fill(text, 5, seed=5)
    alone = model.fill(text, 1, sweeps=3, seed=4)
    assert alone == model.fill(text, 5, sweeps=3, seed=4)[:1]


def test_fill_in_groups_is_fill_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = pair()
    whole = model.fill("to be, _r ___", 7, sweeps=2, seed=9)
    monkeypatch.setattr("charlstm.inference.bidirectional._MAX_LOGITS", 90)
    assert model.fill("to be, _r ___", 7, sweeps=2, seed=9) == whole


def test_fill_draws_from_what_both_sides_say() -> None:
    """One blank: its distribution is the network's own, whatever the sweeps."""
    network, model = pair()
    text = "to _ear"
    whole = "\n" + text.replace("_", "b") + "\n"
    ids = torch.from_numpy(model.tokenizer.encode(whole).astype(np.int64))[:, None]
    with torch.inference_mode():
        logits, _ = network(ids[:-1], network.initial_state(1), targets=ids[1:])
    expected = torch.softmax(logits[whole.index("b") - 1, 0], dim=0).numpy()
    for sweeps in (0, 2):
        filled = model.fill(text, 4000, temperature=1.0, sweeps=sweeps, seed=1)
        found = np.array([sum(f[3] == c for f in filled) for c in model.tokenizer.characters])
        np.testing.assert_allclose(found / 4000, expected, atol=0.03)
    greedy = model.fill(text, temperature=0.0)[0]
    assert greedy[3] == model.tokenizer.characters[int(expected.argmax())]


def test_errors() -> None:
    _, model = pair()
    with pytest.raises(ConfigError, match=r"no blank \(_\)"):
        model.fill("to be")
    with pytest.raises(ConfigError, match="one character"):
        model.fill("to be", blank="__")
    with pytest.raises(ConfigError, match="-n 0"):
        model.fill("to _e", 0)
    with pytest.raises(UnknownCharacterError, match=r"'x' .* position 4"):
        model.fill("a_b_x")
    with pytest.raises(DirectionError, match=r"charlstm fill"):
        model.generate("to be")
    with pytest.raises(DirectionError, match=r"charlstm fill"):
        model.samples(2)
    config = ModelConfig(hidden_size=4)
    network = CharLSTM(config, len(CHARACTERS))
    weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
    one_way = LanguageModel(weights, Config(model=config), model.tokenizer)
    with pytest.raises(DirectionError, match="--direction both"):
        one_way.fill("to _e")


def test_a_bothways_engine_is_two_one_way_engines() -> None:
    network, _ = pair()
    weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
    both = BidirectionalModel(weights, network.config, len(CHARACTERS))
    assert not both.backward.head.bias.any()
    assert both.forward.head.bias.shape == (len(CHARACTERS),)
    assert FillConfig().blank == "_"


def test_a_part_scores_as_its_segments_one_by_one() -> None:
    network, model = pair()
    part = Part(some_ids(2000), [(3, 4), (10, 300), (310, 320), (400, 1900)])
    alone = [model.score_ids(ids) for ids in part.segments if len(ids) > 1]
    score = model.score_ids(part)
    assert score.count == part.predictions == sum(one.count for one in alone)
    assert score.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-6)
    expected = validate(network, part, lambda: False)
    assert score.nats_per_char == pytest.approx(expected, abs=1e-5)
