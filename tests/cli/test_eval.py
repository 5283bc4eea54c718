"""`charlstm eval`: several models, bytes, charged characters, texts of several excerpts."""

from __future__ import annotations

import gzip
import json
import lzma
import math
import string
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.cli import eval_texts
from charlstm.cli.eval_texts import GivenTexts
from charlstm.config import TextConfig
from charlstm.errors import CorpusError
from charlstm.planner.words import in_words
from charlstm.text import excerpts
from charlstm.text.boundaries import whole_lines
from charlstm.text.compression import LEAST, MOST, Compressors
from tests.conftest import NO_PROBES, PLAY, Program, assert_clear
from tests.models import make_model


@pytest.fixture(scope="module")
def texts(place: Path, text: str) -> Path:
    """Texts to evaluate the models of `place` on."""
    (place / "play.txt").write_text(text, "utf-8")
    (place / "two.txt").write_text("The lightXé\nis low\n".replace("X", "\u2603"), "utf-8")
    (place / "-odd.txt").write_text(text[:300], "utf-8")
    return place


def record(run: Program, *arguments: object) -> Any:
    result = run("eval", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_several_models_in_one_table(run: Program, texts: Path) -> None:
    facts = record(run, "play", "lower", "both", "--", "./-odd.txt")
    assert list(facts) == ["models"]
    assert [one["model"] for one in facts["models"]] == ["play", "lower", "both"]
    for one in facts["models"]:
        alone = record(run, one.pop("model"), "./-odd.txt")
        assert one == alone
    result = run("eval", "play", "lower", "both", "--", "./-odd.txt")
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:4] == ["model", "protocol", "characters", "nats/char"]
    assert "pseudo-bits/byte" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["play", "lower", "both"]
    assert "cannot be compared" in result.stderr
    assert "evaluating lower" in result.stderr


def test_models_that_read_differently_are_told(run: Program, texts: Path) -> None:
    result = run("eval", "play", "code", "--", "two.txt", "--unknown", "skip")
    assert_clear(result, 2, "--unknown stands after --", "before the models")
    result = run("eval", "--unknown", "skip", "play", "code", "--", "two.txt")
    assert result.returncode == 0, result.stderr
    assert "compare charged bits per byte" in result.stderr
    assert "charged bits/byte" in result.stdout.splitlines()[0]
    same = run("eval", "play", "lower", "--", "play.txt")
    assert "compare bits" not in same.stderr
    assert same.stderr.count("for comparison, on this text alone: gzip") == 1


@pytest.mark.parametrize(
    ("arguments", "same_as"),
    [
        (["play", "--", "play.txt"], ["play", "play.txt"]),
        (["--protocol", "cold", "play", "--", "play.txt"], ["play", "play.txt", "--protocol=cold"]),
        (["play", "--", "./-odd.txt"], ["play", "./-odd.txt"]),
        (["play", "play.txt", "two.txt", "--unknown", "map"], None),
    ],
)
def test_the_separator(
    run: Program, texts: Path, arguments: list[str], same_as: list[str] | None
) -> None:
    if same_as is None:  # two texts, as ever
        assert_clear(run("eval", *arguments), 1, "two.txt")
        return
    assert record(run, *same_as) == json.loads(run("eval", "--json", *arguments).stdout)


def test_a_name_that_begins_with_a_dash(run: Program, texts: Path) -> None:
    result = run("eval", "--json", "play", "--", "-odd.txt")
    assert json.loads(result.stdout)["text"] == "-odd.txt"


def test_errors(run: Program, texts: Path) -> None:
    assert_clear(
        run("eval", "play", "play.txt", "--", "two.txt"), 1, "play.txt is not a checkpoint"
    )
    assert_clear(run("eval", "play", "none", "--", "play.txt"), 1, "'none' is not a run")
    assert_clear(run("eval", "play", "--"), 1, "does not record")
    assert_clear(run("eval", "--glob", "--", "play", "--unknown", "skip"), 2, "requires TEXTS")
    assert_clear(
        run("eval", "--protocol", "cold", "play", "both", "--", "play.txt"), 1, "--protocol"
    )


def test_own_texts_of_several_runs(program: Program, trained: Path, tmp_path: Path) -> None:
    runs = ["--runs-dir", trained / "checkpoints"]
    result = program("eval", *runs, "play", "play", "--")
    assert result.returncode == 0, result.stderr
    assert "each model is evaluated on its own text" in result.stderr
    assert len({line.split(maxsplit=1)[1] for line in result.stdout.splitlines()[1:]}) == 1
    twice = program("eval", *runs, "play", "play")
    assert_clear(twice, 2, "play is a model, not a text", "charlstm eval RUN play -- ")
    newest = program("eval", *runs, "--json", "--", trained / "play.txt")
    assert json.loads(newest.stdout)["checkpoint"].endswith("play/best.npz")


def test_what_a_loss_means_is_said_for_held_out_text(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(PLAY.read_text("utf-8")[:20_000], "utf-8")
    size = ["--hidden-size", 32, "--maxlen", 16, "--batch-size", 8, "--lr", 0.01, "--epochs", 5]
    trained = program("train", "x.txt", *size, "--dropout", 0, "--sample-every", 0, *NO_PROBES)
    assert trained.returncode == 0, trained.stderr
    facts = json.loads(program("info", "--json").stdout)
    nats, unigram = facts["progress"]["best_nats_per_char"], facts["text"]["unigram_nats"]
    said = in_words(nats, unigram, string.ascii_letters + " ")
    assert said
    for result in (trained, program("info"), program("eval")):
        assert said in result.stderr
        assert said not in result.stdout
    for options in (["--split", "train"], ["x", "x.txt"], ["--protocol", "cold"]):
        assert "In words" not in program("eval", *options).stderr


def test_charged_characters(run: Program, texts: Path) -> None:
    facts = record(run, "play", "two.txt", "--unknown", "skip")
    assert facts["unknown_characters"] == 2
    count, in_bytes = facts["characters"], facts["bytes"]
    assert (count, in_bytes) == (16, 16)
    nats = facts["nats_per_char"] * count + 2 * math.log(154_998)
    assert facts["charged_nats_per_char"] == pytest.approx(nats / (count + 2))
    bits = nats / math.log(2)
    assert facts["charged_bits_per_byte"] == pytest.approx(bits / (in_bytes + 3 + 2))
    result = run("eval", "play", "two.txt", "--unknown", "skip")
    assert "charged bits per byte" in result.stdout
    assert "leave out 11.11% of the text" in result.stderr
    replaced = record(run, "play", "two.txt", "--unknown", "replace")
    assert (replaced["unknown_characters"], "charged_bits_per_char" in replaced) == (2, False)
    dynamic = record(run, "play", "two.txt", "--unknown", "skip", "--dynamic")
    assert dynamic["dynamic_charged_bits_per_char"] > dynamic["dynamic_bits_per_char"]


def test_bytes_and_compressors(run: Program, texts: Path, text: str) -> None:
    result = run("eval", "play", "play.txt")
    facts = record(run, "play", "play.txt")
    assert facts["bytes"] == len(text[1:].encode())
    bits = facts["nats_per_char"] / math.log(2) * facts["characters"] / facts["bytes"]
    assert facts["bits_per_byte"] == pytest.approx(bits)
    data = text.encode()
    for program, packed in (("gzip", gzip.compress(data, 9)), ("xz", lzma.compress(data))):
        assert facts[f"{program}_bits_per_byte"] == pytest.approx(8 * len(packed) / len(data))
        assert f"{program} {facts[f'{program}_bits_per_byte']:.4f}" in result.stderr
    assert "gzip_bits_per_byte" not in record(run, "play", "./-odd.txt")  # too short


def test_compressors_stop_at_long_texts() -> None:
    one = Compressors()
    one.add(b"x" * (LEAST - 1))
    assert one.bits_per_byte() == {}
    long = Compressors()
    for _ in range(3):
        long.add(bytes(MOST // 2))
    assert long.is_full
    assert long.bits_per_byte() == {}


CONFIG = TextConfig()


@pytest.mark.parametrize("unknown", ["error", "map"])
@pytest.mark.parametrize("documents", ["none", "line"])
def test_a_text_of_more_than_one_excerpt_is_read_twice(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, unknown: str, documents: str
) -> None:
    model = make_model(text, documents=documents)
    if documents == "line":
        from charlstm.inference.language_model import LanguageModel
        from charlstm.text.tokenizer import CharTokenizer

        model = make_model("\0" + text, documents=documents)
        tokenizer = CharTokenizer(model.tokenizer.characters, boundary=True)
        model = LanguageModel(model.weights, model.config, tokenizer)
    path = tmp_path / "x.txt"
    path.write_text(text, "utf-8")
    given_texts = GivenTexts([str(path)], CONFIG, unknown)
    at_once = given_texts.evaluate(model, 0, None)
    monkeypatch.setattr(excerpts, "EXCERPT", 1000)
    assert given_texts.evaluate(model, 0, None) == at_once
    assert at_once.score == model.score(text.removesuffix("\n") if documents == "line" else text)
    if unknown == "error" and documents == "none":
        monkeypatch.setattr(eval_texts, "reading", growing(path))
        with pytest.raises(CorpusError, match="changed while it was read"):
            given_texts.evaluate(model, 0, None)


def growing(path: Path) -> Any:
    """A progress display at whose end the file has grown."""
    from contextlib import contextmanager

    @contextmanager
    def reading(quiet: bool) -> Any:
        yield lambda _what, _done: None
        path.write_text(path.read_text("utf-8") + "The light\n", "utf-8")

    return reading


def test_a_divided_line_is_mapped_as_a_whole_one() -> None:
    model = make_model("abe'\"-. \n")
    text = "a\u201cbe\u201d e\u0301\u2014a\u2026 \u2018b\u2019 " * 9
    whole = model.texts.read(text, "map")
    pieces = whole_lines([text[n : n + 7] for n in range(0, len(text), 7)], "\n", 5)
    parts = list(pieces)
    assert len(parts) > 5
    assert "".join(model.texts.read(part, "map").text for part in parts) == whole.text


@given(st.text("ab \n\u0301.", max_size=60), st.lists(st.integers(0, 60)), st.integers(1, 9))
@settings(deadline=None)
def test_long_lines_are_divided_before_letters(text: str, cuts: list[int], most: int) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[a:b] for a, b in pairwise(places)]
    found = list(whole_lines(chunks, "\n", most))
    assert "".join(found) == text
    for before, after in pairwise(found):
        assert before.endswith("\n") or after[0].isalnum()
    assert all(len(part) <= most + 60 or not any(map(str.isalnum, part[1:])) for part in found)
    assert Counter(text) == sum(map(Counter, found), Counter())


def test_all_models_have_charged_figures_where_one_has_unknown_characters(
    run: Program, texts: Path
) -> None:
    (texts / "known.txt").write_text("to be or not to be\n", "utf-8")
    facts = record(run, "--unknown", "skip", "play", "code", "--", "two.txt")["models"]
    alone = record(run, "play", "known.txt", "--unknown", "skip")
    assert alone["charged_bits_per_byte"] == alone["bits_per_byte"]
    assert all("charged_bits_per_byte" in one for one in facts)
    assert "charged" not in run("eval", "play", "known.txt", "--unknown", "skip").stdout


def test_a_text_that_the_model_does_not_know(run: Program, texts: Path) -> None:
    (texts / "other.txt").write_text("\u4e00\u4e8c\u4e09\n", "utf-8")
    result = run("eval", "play", "other.txt", "--unknown", "skip")
    assert_clear(result, 1, "knows 1 of the text's 4 characters", "--unknown replace")
    assert run("eval", "play", "other.txt", "--unknown", "replace").returncode == 0
