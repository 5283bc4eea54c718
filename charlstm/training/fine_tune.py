"""The weights that a fine-tuned run starts from, for the alphabet of its text.

A character has a row of each table: of the embedding, or with one-hot vectors a column of the first
layer's input weights, and a row of the softmax with its bias. The rows of characters that both
alphabets have are copied, by character. All other weights are copied as they are.

The new network therefore computes the same logits for the copied characters. Its loss on a text
that both alphabets cover differs from that of the base only by the probability of the characters
that are added or dropped: by log(1 + new) nats, where new is the probability of the new characters
relative to that of all others.
"""

from __future__ import annotations

import math
import shlex

import numpy as np
from numpy.typing import NDArray

from charlstm.config import Config, ModelConfig, TextConfig
from charlstm.errors import CorpusError, quoted
from charlstm.format.ancestry import Ancestor
from charlstm.inference.language_model import LanguageModel
from charlstm.layers import network
from charlstm.text.alphabets import Alphabets, match_alphabets
from charlstm.text.corpus import Corpus
from charlstm.text.entropy import entropy, unigram_counts
from charlstm.text.tokenizer import BOUNDARY
from charlstm.training.base import Base
from charlstm.training.events import Notice

Weights = dict[str, NDArray[np.float32]]

_SHOWN = 20  # characters in a notice
_SAMPLED = 10_000  # characters
_LEAST_NATS = 1e-6
_FEWEST = 0.5  # occurrences of a character, for the logarithm


class FineTuning:
    """The start of a run on a text from the weights of a base.

    Args:
        base: the model to start from.
        corpus: the text.
        text: how it was read.
        notice: receives a line about the alphabet, and one if the base read its text otherwise.

    Attributes:
        ancestors: the models that the run starts from, the base first.

    Raises:
        CorpusError: the base knows no character of the text; or it reads lower case only, the text
            has capitals, and no option says how to read them.
    """

    def __init__(self, base: Base, corpus: Corpus, text: TextConfig, notice: Notice) -> None:
        self._base = base
        self._corpus = corpus
        self._alphabets = match_alphabets(base.tokenizer, corpus.tokenizer)
        self._check()
        self._counts = unigram_counts(corpus.train, len(corpus.tokenizer))
        kept = self._absent()
        self._notice(kept, notice)
        theirs = base.config.text.documents
        if base.config.text.has_documents and not text.has_documents:
            notice(
                f"the base was trained with --documents {shlex.quote(theirs)}; this text is read "
                "as one long text. The same option reads it as documents."
            )
        nats = base.progress.best_nats
        parent = Ancestor(
            run=base.name,
            sha256=base.sha256,
            text_sha256=base.text_sha256,
            step=base.progress.step,
            nats_per_char=nats if math.isfinite(nats) else None,
            copied=self._alphabets.copied,
            kept=kept,
            new=self._alphabets.new,
            dropped=self._alphabets.dropped,
        )
        self.ancestors = (parent, *base.ancestors)

    def weights(self, config: Config) -> Weights:
        """The weights of the new network, by name; its configuration also has the seed."""
        generator = np.random.default_rng(config.train.seed)
        return matched_weights(self._base, config.model, self._alphabets, self._counts, generator)

    def relative_loss(self, config: Config) -> float:
        """The loss before training on a sample of the text, relative to its unigram entropy.

        Args:
            config: of the new network; its options of training do not matter.
        """
        model = LanguageModel(self.weights(config), config, self._corpus.tokenizer)
        score = model.score_ids(self._corpus.train.shortened(_SAMPLED))
        return score.nats_per_char / max(_LEAST_NATS, entropy(self._counts))

    def _check(self) -> None:
        base, tokenizer, found = self._base, self._corpus.tokenizer, self._alphabets
        if base.config.text.lowercase and not tokenizer.lowercase and not base.any_case:
            capitals = [c for c in found.new if len(c.lower()) == 1 and c.lower() != c]
            if capitals:
                raise CorpusError(
                    f"the base {base.name} was trained with --lowercase, and the text has "
                    f"capitals: {_listed(capitals)}.\n--lowercase reads it as the base's text was "
                    "read; --no-lowercase adds the capitals to the alphabet."
                )
        occurring = set(tokenizer.writable) - set(self._absent())
        if not "".join(occurring & set(found.copied)).strip():
            raise CorpusError(
                f"the base {base.name} knows no character of the text; it knows "
                f"{_listed(base.tokenizer.writable)}.\nThere is nothing to start from: omit "
                "--from, or give another run."
            )

    def _absent(self) -> str:
        """The characters of the base that do not occur in the text, and are kept on request."""
        if not self._base.keep_alphabet:
            return ""
        corpus = self._corpus
        counts = np.zeros(len(corpus.tokenizer), dtype=np.int64)
        for part in (corpus.train, corpus.val, corpus.test):
            counts += unigram_counts(part, len(counts))
        known = set(self._base.also)
        pairs = zip(corpus.tokenizer.characters, counts, strict=True)
        return "".join(c for c, count in pairs if not count and c in known)

    def _notice(self, kept: str, notice: Notice) -> None:
        """Report the characters that were copied, added, kept and dropped."""
        found, counts = self._alphabets, self._counts
        share = counts[found.base_ids >= 0].sum() / max(1, counts.sum())
        parts = [f"alphabet: {len(found.copied)} characters of the base ({share:.1%} of the text)"]
        if found.new:
            shown = [
                f"{_shown(c)} from {quoted(similar)}" if similar else _shown(c)
                for c, similar in found.new.items()
            ]
            parts.append(f"{len(shown)} new: {_joined(shown)}")
        for characters, what in ((kept, "kept without occurring"), (found.dropped, "dropped")):
            if characters:
                parts.append(f"{len(characters)} {what}: {_listed(characters)}")
        notice("; ".join(parts))


def matched_weights(
    base: Base,
    config: ModelConfig,
    alphabets: Alphabets,
    counts: NDArray[np.int64],
    generator: np.random.Generator,
) -> Weights:
    """The weights of a new network, by name.

    Args:
        base: the model to start from.
        config: the new network.
        alphabets: its vocabulary, matched with the base's.
        counts: how often each id occurs in the training part, (V,).
        generator: draws the rows of new characters that have no sibling.
    """
    spec = network(config, len(counts))
    stacks = [spec.forward] + ([] if spec.backward is None else [spec.backward])
    inputs = {f"{stack.blocks[0].layer.name}.weight_ih" for stack in stacks}
    weights: Weights = {}
    for name, array in base.weights.items():
        if name == f"{spec.characters.name}.weight":
            weights[name] = _rows(array, alphabets, generator)
        elif name in inputs and not config.embedding:
            weights[name] = np.ascontiguousarray(_rows(array.T, alphabets, generator).T)
        elif name == f"{spec.head.name}.weight":
            weights[name] = _rows(array, alphabets, generator) * _scale(base, config)
        elif name == f"{spec.head.name}.bias":
            weights[name] = _biases(array, alphabets, counts) * _scale(base, config)
        else:
            weights[name] = array
    return weights


def _scale(base: Base, config: ModelConfig) -> np.float32:
    """The factor that keeps the logits of the base under another `--logit-scale`."""
    return np.float32(base.config.model.logit_scale / config.logit_scale)


def _rows(
    table: NDArray[np.float32], alphabets: Alphabets, generator: np.random.Generator
) -> NDArray[np.float32]:
    """The rows of the new vocabulary, from those of the base.

    The row of a new character is that of its sibling. Without one it is drawn from a normal
    distribution, as spread as all rows: with equal rows, new characters are hard to tell apart.
    """
    sources = np.where(alphabets.base_ids >= 0, alphabets.base_ids, alphabets.sibling_ids)
    rows = table[sources]
    new = sources < 0
    shape = (int(new.sum()), table.shape[1])
    rows[new] = generator.normal(0.0, float(table.std()), shape)
    return rows


def _biases(
    biases: NDArray[np.float32], alphabets: Alphabets, counts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The biases of the softmax, (V,).

    That of a new character fits its frequency in the new text, relative to its sibling, or to the
    copied characters on average.
    """
    base_ids = alphabets.base_ids
    logs = np.log(np.maximum(counts, _FEWEST))
    copied = base_ids >= 0
    new = np.where(copied, biases[base_ids], 0.0)
    share = counts[copied] / max(1, counts[copied].sum())
    level = share @ (biases[base_ids[copied]] - logs[copied])
    new[~copied] = level + logs[~copied]
    return new.astype(np.float32)


def _listed(characters: str | list[str]) -> str:
    return _joined([_shown(character) for character in characters])


def _shown(character: str) -> str:
    return "the end of a document" if character == BOUNDARY else quoted(character)


def _joined(shown: list[str]) -> str:
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
