"""Models of documents: writing, scoring, filling in."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.cells import CELLS
from charlstm.config import Config, ModelConfig, SampleConfig, TextConfig
from charlstm.errors import CheckpointError, ConfigError, CorpusError, UnknownCharacterError
from charlstm.format.weights import weight_shapes
from charlstm.inference import generation, sampling
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.scoring import cross_entropy
from charlstm.kernels.availability import unavailable
from charlstm.text.document_part import DocumentPart
from charlstm.text.tokenizer import CharTokenizer
from tests.models import save_model

KNOWN = "\0 abc"


def make(
    cell: str = "lstm", *, scale: float = 1.0, compiled: bool | None = None, **options: Any
) -> LanguageModel:
    """A model with random weights that ends documents often."""
    text = {"documents": "line"} | {k: v for k, v in options.items() if k == "documents"}
    shape = {k: v for k, v in options.items() if k != "documents"}
    config = Config(text=TextConfig(**text), model=ModelConfig(hidden_size=6, cell=cell, **shape))
    rng = np.random.default_rng(1)
    weights = {
        name: (scale * rng.normal(size=shape)).astype(np.float32)
        for name, shape in weight_shapes(config.model, len(KNOWN)).items()
    }
    return LanguageModel(weights, config, CharTokenizer(KNOWN, boundary=True), compiled=compiled)


@pytest.fixture(autouse=True)
def small_steps() -> Iterator[None]:
    generation.load_writer.cache_clear()
    yield
    generation.load_writer.cache_clear()


@pytest.mark.parametrize("cell", CELLS)
def test_samples_are_whole_documents(cell: str) -> None:
    model = make(cell)
    samples = model.samples(20, seed=3, length=200, temperature=1.0)
    assert [sample.index for sample in samples] == list(range(20))
    assert sum(sample.finish == "end" for sample in samples) >= 15
    for sample in samples:
        assert "\0" not in sample.text
        assert (len(sample.text) < 200) == (sample.finish == "end")
    # The same ids drawn by hand: up to the first boundary.
    one = model.samples(1, seed=3, length=200, temperature=1.0)[0]
    assert one.text == samples[0].text
    assert one.finish == samples[0].finish
    session, logits = model.start()
    sampler = sampling.Sampler(SampleConfig(temperature=1.0), 1, seed=3)
    ids = list(islice(generation.generate_ids(session, logits, sampler), 200))
    length = ids.index(0) if 0 in ids else 200
    assert one.text == "".join(KNOWN[char_id] for char_id in ids[:length])


def test_a_document_begins_after_a_boundary() -> None:
    model = make()
    session = model.engine.session()
    expected = session.step(0).copy()
    np.testing.assert_array_equal(model.start()[1], expected)
    for char_id in (2, 3):
        expected = session.step(char_id).copy()
    np.testing.assert_array_equal(model.start("ab")[1], expected)


def test_length_is_a_bound() -> None:
    model = make()
    short = model.samples(30, seed=1, length=3, temperature=1.0)
    assert {len(sample.text) for sample in short} >= {1, 3}
    assert max(len(sample.text) for sample in short) == 3
    for one, other in zip(
        short, model.samples(30, seed=1, length=50, temperature=1.0), strict=True
    ):
        assert other.text.startswith(one.text)
        assert (one.finish == "length") == (len(other.text) >= 3)


def test_a_stop_text_may_come_first() -> None:
    model = make()
    plain = model.samples(40, seed=1, length=60, temperature=1.0)
    stopped = model.samples(40, seed=1, length=60, temperature=1.0, stop=["a"])
    finishes = {sample.finish for sample in stopped}
    assert {"stop", "end"} <= finishes
    for one, other in zip(plain, stopped, strict=True):
        assert other.text == one.text.split("a")[0]
        assert (other.finish == "stop") == ("a" in one.text)
    # A stop text that has only begun belongs to the document.
    half = [sample for sample in plain if sample.finish == "end" and sample.text.endswith("b")]
    texts = [
        sample.text for sample in model.samples(40, seed=1, length=60, temperature=1.0, stop=["bb"])
    ]
    assert half
    for sample in half:
        assert texts[sample.index] == sample.text.split("bb")[0]


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("cell", ["lstm", "coupled"])
def test_compiled_code_ends_documents_where_numpy_does(cell: str, count: int) -> None:
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    if (fault := unavailable("float32")) is not None:
        pytest.skip(str(fault))
    options: dict[str, Any] = {"seed": 5, "length": 400, "temperature": 1.0}
    compiled = make(cell, scale=0.6, compiled=True).samples(count, **options)
    plain = make(cell, scale=0.6, compiled=False).samples(count, **options)
    assert compiled == plain
    assert any(sample.finish == "end" for sample in plain)


def test_a_prompt_has_no_boundary() -> None:
    model = make()
    with pytest.raises(UnknownCharacterError):
        model.start("a\0b")
    with pytest.raises(ConfigError):
        model.samples(1, stop=["\0"])
    with pytest.raises(UnknownCharacterError):
        model.samples(1, "a\nb")  # no line has a newline


def nats_by_hand(model: LanguageModel, documents: list[str]) -> float:
    nats = 0.0
    for document in documents:
        session = model.engine.session()
        ids = [0, *(KNOWN.index(character) for character in document), 0]
        for now, then in pairwise(ids):
            logits = session.step(now)[None, :]
            nats += float(cross_entropy(logits, np.array([then]))[0])
    return nats


@pytest.mark.parametrize("cell", CELLS)
def test_a_score_reads_each_document_from_its_beginning(cell: str) -> None:
    model = make(cell)
    documents = ["ab", "c", "a b c", "cc"]
    expected = nats_by_hand(model, documents)
    for text in ("ab\nc\na b c\ncc", "\n\nab\nc\n \na b c\ncc\n"):
        score = model.score(text)
        assert score.count == sum(map(len, documents)) + len(documents)
        assert score.nats == pytest.approx(expected, rel=1e-5)
    ids = [0, 2, 3, 0, 4, 0, 2, 1, 3, 1, 4, 0, 4, 4, 0]
    for given in (ids, ids[1:-1], [0, *ids, 0]):
        assert model.score_ids(given).nats == pytest.approx(expected, rel=1e-5)
    cold = model.score_ids(ids, cold_window=64)
    assert cold.nats == pytest.approx(expected, rel=1e-5)
    for empty in ("", "\n \n"):
        with pytest.raises(CorpusError, match="no document"):
            model.score(empty)


def test_a_score_of_many_documents() -> None:
    """More than are read side by side, of all lengths."""
    rng = np.random.default_rng(2)
    documents = ["".join(rng.choice(list("abc"), size=length)) for length in range(1, 300)]
    model = make()
    progress: list[int] = []
    part = model.texts.encode_documents("\n".join(documents))
    assert isinstance(part, DocumentPart)
    score = model.score_ids(part, progress=progress.append)
    assert progress[-1] == score.count == len("\n".join(documents)) + 1
    assert score.nats == pytest.approx(nats_by_hand(model, documents), rel=1e-5)


def test_unknown_characters_of_documents() -> None:
    model = make()
    with pytest.raises(UnknownCharacterError):
        model.score("ax\nb")
    assert model.score("ax\nb", unknown="skip").nats == model.score("a\nb").nats
    assert model.score("ax\nb", unknown="replace").nats == model.score("a \nb").nats
    assert model.score("a\u00a0b\nb", unknown="map").nats == model.score("a b\nb").nats


def test_a_kind_file_takes_a_text_as_one_document() -> None:
    model = make(documents="file")
    with pytest.raises(UnknownCharacterError):  # its text had no newline
        model.score("ab\nc")
    assert model.score("ab c\n").nats == pytest.approx(nats_by_hand(model, ["ab c"]), rel=1e-5)


def test_both_ways() -> None:
    """Blanks are filled within one document, and never by a boundary."""
    model = make(direction="both", scale=2.0)
    filled = model.fill("___ab___c___", 200, seed=1, temperature=3.0)
    assert all(len(text) == 12 and "\0" not in text for text in filled)
    both = model.bidirectional
    assert both is not None
    expected = 0.0
    for document in (["a", "b"], ["c"]):
        ids = np.array([0, *(KNOWN.index(c) for c in document), 0], dtype=np.uint8)
        expected += both.score(ids).nats
    score = model.score("ab\nc")
    assert score.count == 5
    assert score.nats == pytest.approx(expected, rel=1e-5)
    # Nothing follows the end: its logits are those of the left side alone.
    blank = np.array([0, 2, 0], dtype=np.uint8)
    left = both.forward.session()
    left.step(0)
    end = cross_entropy(left.step(2)[None, :], np.array([0]))[0]
    first = both.forward.session().step(0) + both.backward.session().step(0)
    start = cross_entropy(first[None, :], np.array([2]))[0]
    assert both.score(blank).nats == pytest.approx(float(start + end), rel=1e-5)


def test_a_checkpoint_records_the_boundary(tmp_path: Path) -> None:
    model = make()
    save_model(tmp_path / "x.npz", model)
    again = LanguageModel.load(tmp_path / "x.npz")
    assert again.tokenizer == model.tokenizer
    assert again.tokenizer.boundary
    assert pickle.loads(pickle.dumps(model)).tokenizer == model.tokenizer
    options: dict[str, Any] = {"seed": 1, "length": 50}
    assert again.samples(5, **options) == model.samples(5, **options)


def test_tokenizers_without_one_are_as_before() -> None:
    plain = CharTokenizer("ab")
    assert plain.to_json() == {"characters": "ab", "lowercase": False, "rare": ""}
    assert CharTokenizer.from_json(plain.to_json()) == plain
    data = json.loads(json.dumps(CharTokenizer("\0ab", boundary=True).to_json()))
    assert CharTokenizer.from_json(data).boundary
    for bad in (
        {**data, "characters": "ab"}, {**data, "characters": "\0"}, {**data, "boundary": 1},
        {**data, "more": True},
    ):  # fmt: skip
        with pytest.raises(CheckpointError):
            CharTokenizer.from_json(bad)


def test_a_tokenizer_and_options_that_do_not_fit(tmp_path: Path) -> None:
    model = make()
    config = Config(text=TextConfig(), model=model.config.model)
    save_model(tmp_path / "x.npz", LanguageModel(model.weights, config, model.tokenizer))
    with pytest.raises(CheckpointError):
        LanguageModel.load(tmp_path / "x.npz")
