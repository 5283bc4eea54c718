from __future__ import annotations

import math

import pytest

from charlstm.errors import ConfigError
from charlstm.search.space import Dimension, Space, default_space, parse_space, triable

AUTOMATIC = {
    "lr": 0.008, "hidden_size": 512, "num_layers": 1, "cell": "coupled", "batch_size": 32,
    "maxlen": 64, "dropout": 0.2, "recurrent_dropout": 0.0, "weight_decay": 0.1,
    "schedule": "linear", "decay_after": 0.4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("lr=0.002..0.02:log", Dimension("lr", low=0.002, high=0.02, log=True)),
        ("--lr=0.1..0.5", Dimension("lr", low=0.1, high=0.5)),
        ("cell=lstm,coupled", Dimension("cell", ("lstm", "coupled"))),
        ("hidden-size=256,512", Dimension("hidden_size", (256, 512))),
        ("hidden_size=256, 512", Dimension("hidden_size", (256, 512))),
        ("layers=1..3", Dimension("num_layers", low=1, high=3)),
        ("num_layers=1,2", Dimension("num_layers", (1, 2))),
        ("dropout=0,0.25", Dimension("dropout", (0.0, 0.25))),
        ("layer-norm=true,false", Dimension("layer_norm", (True, False))),
        ("decay-after=0.1..0.9", Dimension("decay_after", low=0.1, high=0.9)),
    ],
)
def test_try(text: str, dimension: Dimension) -> None:
    assert parse_space([text], {}) == Space((dimension,))
    assert Dimension.from_json(dimension.to_json()) == dimension


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["hiden-size=1,2"], ["no option 'hiden-size'", "Did you mean hidden-size?"]),
        (["colour=1,2"], ["no option 'colour'"]),
        (["lr"], ["no values", "lr=LOW..HIGH"]),
        (["lr="], ["no values"]),
        (["lr=0.1"], ["two different values", "--lr 0.1"]),
        (["lr=0.1,0.1"], ["two different values"]),
        (["lr=fast,0.1"], ["'fast' is not a number"]),
        (["hidden-size=1.5,2"], ["'1.5' is not a whole number"]),
        (["layer-norm=1,0"], ["'1' is not true or false"]),
        (["lr=-1,1"], ["--lr -1.0 is out of range", "0 < x"]),
        (["dropout=0.5..1.5"], ["--dropout 1.5 is out of range"]),
        (["cell=lstm,mamba"], ["--cell 'mamba' is unknown"]),
        (["cell=gru..lstm"], ["no interval"]),
        (["lr=0.1,0.2:log"], ["no interval"]),
        (["lr=0.02..0.002"], ["no values in between", "LOW < HIGH"]),
        (["dropout=0..0.5:log"], ["no values in between", "0 < LOW"]),
        (["lr=0.1..0.2", "lr=1,2"], ["lr twice"]),
        (["val-fraction=0.1,0.2"], ["val-fraction cannot be searched"]),
        (["seed=1,2"], ["seed cannot be searched"]),
        (["direction=forward,both"], ["direction cannot be searched"]),
        (["threads=1,2"], ["threads cannot be searched"]),
        (["batch-size=8,16"], ["--batch-size and --try batch-size=8,16 contradict"]),
    ],
)
def test_what_cannot_be_tried(texts: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(texts, {"batch_size": 4})
    assert len(str(caught.value).splitlines()) <= 2
    for word in words:
        assert word in str(caught.value)


def test_a_space_is_a_product() -> None:
    space = parse_space(["cell=lstm,coupled", "layers=1..3"], {})
    assert space.size() == len(list(space.points())) == 6
    assert {"cell": "lstm", "num_layers": 3} in space
    assert {"cell": "gru", "num_layers": 3} not in space
    assert space.outside({"cell": "gru", "num_layers": 4}) == ["--cell", "--layers"]
    with_interval = parse_space(["cell=lstm,coupled", "lr=0.1..0.2"], {})
    assert math.isinf(with_interval.size())
    with pytest.raises(ConfigError, match="grid needs lists, and lr is an interval"):
        with_interval.grid()


def test_a_number_is_no_choice_of_a_flag() -> None:
    assert 1 not in Dimension("layer_norm", (True, False))
    assert True not in Dimension("num_layers", low=1, high=3)


def test_the_default_space_holds_the_automatic_choice() -> None:
    space = default_space(AUTOMATIC, {})
    assert AUTOMATIC in space
    names = {one.name for one in space.dimensions}
    # What the issue asks for: rate, batch, window, units, layers, cell, dropouts, decay.
    assert names == set(AUTOMATIC) - {"schedule"}
    assert names <= set(triable())
    smaller = default_space(AUTOMATIC | {"dropout": 0.9, "weight_decay": 0.0}, {"lr": 0.1})
    assert {one.name for one in smaller.dimensions} == names - {"lr", "weight_decay"}
    assert AUTOMATIC | {"dropout": 0.9} in smaller
