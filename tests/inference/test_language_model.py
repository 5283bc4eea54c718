from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlstm
from charlstm.config import Config, ModelConfig, SampleConfig
from charlstm.errors import CheckpointError, ConfigError, RunError, UnknownCharacterError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.format.weights import weight_shapes
from charlstm.inference.engine import Session
from charlstm.inference.generation import load_writer
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.samples import seed_of
from charlstm.text.tokenizer import CharTokenizer
from tests.conftest import Program


def make_model(
    cell: str, *, direction: str = "forward", compiled: bool | None = None
) -> LanguageModel:
    """A small model with lively weights."""
    config = ModelConfig(cell=cell, num_layers=2, hidden_size=9, direction=direction)
    tokenizer = CharTokenizer("\n abcdefgh")
    rng = np.random.default_rng(0)
    weights = {
        name: (0.8 * rng.normal(size=shape)).astype(np.float32)
        for name, shape in weight_shapes(config, len(tokenizer)).items()
    }
    return LanguageModel(weights, Config(model=config), tokenizer, compiled=compiled)


@pytest.fixture(scope="module")
def model(trained: Path) -> LanguageModel:
    return charlstm.load(trained / "checkpoints" / "play")


def test_same_seed_same_text(model: LanguageModel) -> None:
    texts = ["".join(model.generate("MARTHA:", length=300, seed=seed)) for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 300
    assert "".join(model.generate(length=50)) != "".join(model.generate(length=50))


@pytest.mark.parametrize("length", [20_000, 100_000])  # the second is long enough for numba
def test_same_seed_same_text_in_one_process_and_in_two(
    length: int, trained: Path, program: Program
) -> None:
    run = trained / "checkpoints" / "play"

    def text() -> str:
        return "".join(charlstm.load(run).generate("The ", length=length, seed=7))

    first = text()
    LanguageModel.load(run, compiled=True).samples(2, length=10)  # loads compiled code
    assert text() == first
    other = program("sample", run, "--prompt", "The ", "--length", length, "--seed", 7)
    assert other.stdout == "The " + first


def test_samples_side_by_side_are_those_made_alone(model: LanguageModel) -> None:
    many = model.samples(3, "The ", length=200, seed=1)
    assert [sample.index for sample in many] == [0, 1, 2]
    assert many[0].text == "".join(model.generate("The ", length=200, seed=1))
    assert model.samples(1, "The ", length=200, seed=1)[0] == many[0]
    assert len({sample.text for sample in many}) == 3


@pytest.mark.parametrize("cell", ["coupled", "gru"])
@pytest.mark.parametrize(
    ("precision", "compiled"),
    [("float32", False), ("float32", True), ("bfloat16", None), ("int8", None)],
)
def test_sample_k_is_the_same_of_any_number_of_samples(
    cell: str, precision: str, compiled: bool | None
) -> None:
    if precision != "float32" and (cell == "gru" or load_writer(precision) is None):
        pytest.skip(f"no {precision} products here, or for a {cell}")
    model = make_model(cell, compiled=compiled)
    options: Any = {"length": 12, "seed": 5, "temperature": 1.0, "precision": precision}
    whole = model.samples(200, "ab", **options)
    assert len({sample.text for sample in whole}) > 190
    for count in [*range(1, 18), 31, 32, 33, 63, 64, 65, 127, 128, 129, 199]:
        assert model.samples(count, "ab", **options) == whole[:count]


def test_twelve_threads_use_one_model() -> None:
    """What each returns is what it returns alone; whatever a model makes on first use, too."""
    one, both = make_model("lstm"), make_model("lstm", direction="both")
    text = "abc\n" * 30
    calls: list[Callable[[], Any]] = []
    for seed in range(12):
        calls += [
            lambda s=seed: "".join(one.generate("ab", length=80, seed=s)),  # type: ignore[misc]
            lambda s=seed: one.samples(5, "ab", length=40, seed=s),  # type: ignore[misc]
            lambda s=seed: one.score(text[s:]),  # type: ignore[misc]
            lambda s=seed: both.fill("ab__c", 2, sweeps=2, seed=s),  # type: ignore[misc]
        ]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda call: call(), calls))
    assert together == [call() for call in calls]
    assert len(set(map(str, together))) > 40


def test_generators_leave_nothing_behind() -> None:
    """Run to the end, closed early, or dropped without a word."""
    model = make_model("lstm")

    def use(count: int) -> None:
        for number in range(count):
            pieces = model.generate("ab", length=6, seed=number)
            next(pieces)
            if number % 3 == 0:
                assert len("".join(pieces)) == 5
            elif number % 3 == 1:
                pieces.close()  # type: ignore[attr-defined]

    def sessions() -> int:
        gc.collect()
        return sum(type(found) is Session for found in gc.get_objects())

    use(50)  # what is made once
    before = sessions()
    use(2000)
    assert sessions() == before
    tracemalloc.start()  # which makes all of it many times slower
    try:
        use(200)
        sessions()
        assert tracemalloc.get_traced_memory()[0] < 20_000  # 100 bytes for each
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_a_pickled_model_is_the_same_and_small(direction: str) -> None:
    """As it is sent to worker processes: what it has made of its weights stays behind."""
    model = make_model("coupled", direction=direction, compiled=False)
    score = model.score("abcd")
    data = pickle.dumps(model)
    assert len(data) < sum(array.nbytes for array in model.weights.values()) + 10_000
    for other in (pickle.loads(data), copy.deepcopy(model)):
        assert (other.config, other.tokenizer) == (model.config, model.tokenizer)
        assert other.score("abcd") == score
        if direction == "forward":
            assert other.samples(2, seed=1, length=30) == model.samples(2, seed=1, length=30)
            assert other.engine.compiled is False


def test_no_seed_repeats_a_sample_of_another(model: LanguageModel) -> None:
    seeds = (7, 7 + 2**32, 7 + 2**33, 2**32)
    texts = [s.text for seed in seeds for s in model.samples(3, length=40, seed=seed)]
    assert len(set(texts)) == len(texts)


def test_a_new_seed_is_exact_in_any_json_reader() -> None:
    seeds = {seed_of(SampleConfig()) for _ in range(50)}
    assert len(seeds) == 50
    assert all(int(float(seed)) == seed for seed in seeds)  # as JavaScript and jq read numbers


def test_a_prompt_of_any_length_is_read_whole(model: LanguageModel) -> None:
    prompt = "The light is low, and the wind is from the north. " * 100
    session = model.engine.session()
    for char_id in model.tokenizer.encode(prompt).tolist():
        expected = session.step(char_id)
    np.testing.assert_array_equal(model.start(prompt)[1], expected)
    # One character long: nothing is lost to a window that is not full.
    assert (model.start("A")[1] != model.start("B")[1]).any()


def test_stop_texts(model: LanguageModel) -> None:
    whole = "".join(model.generate(length=400, seed=3, temperature=1.0))
    stop = whole[100:103]
    cut = "".join(model.generate(length=400, seed=3, temperature=1.0, stop=stop))
    assert cut == whole[: whole.index(stop)]
    (sample,) = model.samples(1, length=400, seed=3, temperature=1.0, stop=stop)
    assert (sample.text, sample.finish) == (cut, "stop")
    assert model.samples(2, length=5, seed=3)[1].finish == "length"


def test_errors(model: LanguageModel, trained: Path) -> None:
    with pytest.raises(ConfigError, match="--temp"):
        model.generate(temperature=-1)
    with pytest.raises(UnknownCharacterError, match="é"):
        model.generate("caf\u00e9")
    assert "".join(model.generate("caf\u00e9", unknown="skip", length=3, seed=1))
    with pytest.raises(RunError):
        charlstm.load(trained / "nowhere")
    with pytest.raises(CheckpointError):
        charlstm.load(trained / "play.txt")


def test_score(model: LanguageModel, trained: Path) -> None:
    text = (trained / "play.txt").read_text()
    score = model.score(text)
    assert score.count == len(text) - 1
    assert 1.5 < score.nats_per_char < 4.0
    assert model.score(text[::-1]).nats_per_char > score.nats_per_char


def changed(meta: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A copy with some values replaced, in objects within objects too."""
    merged = dict(meta)
    for name, value in change.items():
        merged[name] = changed(meta[name], value) if isinstance(value, dict) else value
    return merged


NEWER = "9.10.2"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"config": {"train": {"lookahead": 3}}}, "lookahead"),
        ({"config": {"model": {"cell": "xlstm"}}}, "--cell 'xlstm'"),
        ({"config": {"model": {"num_layers": 10**6}}}, "--layers 1000000"),
        ({"config": {"model": {"cell": 3}}}, "--cell"),
        ({"config": {"memory": []}}, "memory"),
        ({"tokenizer": {"characters": 3}}, "tokenizer"),
        ({"config": {"model": {"hidden_size": 17}}}, "weights"),
    ],
    ids=str,
)
@pytest.mark.parametrize("version", [NEWER, "0.1.0", "0.0.9", "x", None])
def test_a_checkpoint_of_a_newer_version(
    trained: Path, tmp_path: Path, change: dict[str, Any], detail: str, version: str | None
) -> None:
    whole = load_checkpoint(trained / "checkpoints" / "play" / "best.npz")
    path = tmp_path / "x.npz"
    save_checkpoint(path, changed(whole.meta, {"charlstm": version, **change}), whole.arrays)
    with pytest.raises(CheckpointError) as caught:
        LanguageModel.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert detail in message
    assert len(message.splitlines()) <= 2
    unknown = detail in ("lookahead", "memory")  # which nothing but a newer version explains
    assert ("written by a newer charlstm" in message) == (version == NEWER or unknown)
    if version == NEWER:
        assert f"a newer charlstm ({NEWER}); this is {charlstm.__version__}" in message


def test_a_newer_version_s_checkpoint_that_this_one_can_use(trained: Path, tmp_path: Path) -> None:
    whole = load_checkpoint(trained / "checkpoints" / "play" / "best.npz")
    path = tmp_path / "x.npz"
    save_checkpoint(path, changed(whole.meta, {"charlstm": NEWER}), whole.arrays)
    assert LanguageModel.load(path).score("The light")
