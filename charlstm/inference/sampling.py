"""Sampling from logits: filters, random draws, and the generation loop.

The order is temperature, top-k, top-p, min-p, then the draw. Each filter is a pure function on
logits (N, V) that sets what it drops to -inf; the likeliest character always stays.

A draw inverts the cumulative distribution at a uniform number, so a stream's text depends on
nothing but the weights, its own seeded uniforms and the options.
"""

from __future__ import annotations

import sys
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from charlstm.cells import SAMPLING_KERNEL_CELLS
from charlstm.config import SampleConfig
from charlstm.errors import (
    CharlstmError,
    CompiledCodeWarning,
    ConfigError,
    DeviceError,
    ProcessorError,
)
from charlstm.inference.engine import Engine, Session, no_underflow
from charlstm.kernels.availability import unavailable
from charlstm.text.tokenizer import Ids

Floats = NDArray[np.floating[Any]]
ReadProgress = Callable[[int], None]
"""Called with the number of characters read."""
_BLOCK = 256  # uniforms drawn at a time
# Characters that compiled code writes at a time, and prompts are read by: in all, in each stream.
_AT_A_TIME, _LEAST = 4096, 32
_BEFORE_COMPILED = 10_000  # enough to be seen, and to read while numba is loaded
WORTH_COMPILING = 100_000  # characters that gain more than loading numba takes
LEAST_DRAWN = 1e-3  # temperature
FAST_WRITER = "charlstm.inference.fast_writer"


def keep_top_k(logits: Floats, k: int) -> Floats:
    """Keep each row's k largest logits (more where the k-th is tied)."""
    if k >= logits.shape[1]:
        return logits
    threshold = np.partition(logits, -k, axis=1)[:, -k, None]  # (N, 1)
    return np.where(logits >= threshold, logits, -np.inf)


def keep_top_p(logits: Floats, p: float) -> Floats:
    """Keep the most likely characters whose cumulative probability reaches p.

    Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (nucleus sampling).
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    ranked = np.take_along_axis(softmax(logits), order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # probability of all that rank higher
    keep = np.empty(logits.shape, dtype=bool)
    np.put_along_axis(keep, order, before < p, axis=1)
    return np.where(keep, logits, -np.inf)


def keep_min_p(logits: Floats, share: float) -> Floats:
    """Keep characters whose probability is at least `share` of the row's largest."""
    if share == 0:
        return logits
    return np.where(logits >= logits.max(axis=1, keepdims=True) + np.log(share), logits, -np.inf)


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Softmax of each row, in float64."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def draw(logits: Floats, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sample one id for each row by inverse transform sampling, in the logits' precision.

    Args:
        logits: (N, V).
        uniforms: (N,), in [0, 1); with float32 logits, at most 1 - 2**-22.

    Returns:
        Ids (N,): the first character whose cumulative probability exceeds the uniform number.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    if powers.flags.f_contiguous and len(powers) > powers.shape[1]:
        # More streams than characters, a stream a column: whole rows are added at a time.
        for before, row in pairwise(powers.T):
            np.add(before, row, row)
    else:
        powers = np.add.accumulate(powers, axis=1)
    thresholds = (uniforms * powers[:, -1]).astype(powers.dtype)
    return np.asarray((powers > thresholds[:, None]).argmax(axis=1))


def stream_rng(seed: int, stream: int) -> np.random.Generator:
    """The generator of one stream: another one for each pair of a seed and a stream.

    Args:
        seed: from 0 to 2**63 - 1.
        stream: from 0 to 2**32 - 1.
    """
    # `default_rng` joins the 32-bit words of its numbers, and a trailing word of 0 adds nothing.
    # So each number has its own place: given [seed, stream], 7 + 2**32 would pass for (7, 1).
    high, low = divmod(seed, 2**32)
    return np.random.default_rng([low, stream, high])


def _has_no_filter(config: SampleConfig) -> bool:
    return config.top_k == 0 and config.top_p == 1.0 and config.min_p == 0.0


class Sampler:
    """Samples next characters for N streams, each with its own random numbers.

    Args:
        config: temperature and filters.
        streams: N.
        seed: stream n draws from its own generator, `stream_rng(seed, n)`, whatever N is.
        first: the first stream's number.

    Attributes:
        config: the same.
        plain: whether no filter is set.
        greedy: whether the likeliest character is always taken.
    """

    def __init__(self, config: SampleConfig, streams: int, seed: int, *, first: int = 0) -> None:
        self.config = config
        self._rngs = [stream_rng(seed, first + n) for n in range(streams)]
        self._block = np.empty((_BLOCK, streams))
        self._first: list[float] = []  # the first stream's, as Python's own numbers
        self._used = _BLOCK
        self.plain = _has_no_filter(config)
        # So close to 0, the likeliest is drawn for certain, and the quotients might overflow.
        self.greedy = config.temperature < LEAST_DRAWN
        # Without axes, which spares numpy half of what a call costs.
        self._divisor = np.array(config.temperature, dtype=np.float32)

    def _uniforms(self) -> NDArray[np.float64]:
        """The next uniform number of each stream, shape (N,)."""
        row: NDArray[np.float64] = self.uniforms(1)[0]
        return row

    def uniforms(self, most: int) -> NDArray[np.float64]:
        """The next 1 to `most` uniform numbers of each stream, shape (n, N)."""
        if self._used == _BLOCK:
            self._refill()
        first = self._used
        self._used = min(first + most, _BLOCK)
        return self._block[first : self._used]

    def _refill(self) -> None:
        for column, rng in zip(self._block.T, self._rngs, strict=True):
            # Below 1 by more than a float32's rounding, so that a scaled one stays below the sum.
            column[:] = np.minimum(rng.random(_BLOCK), 1.0 - 2.0**-22)
        self._first = self._block[:, 0].tolist()
        self._used = 0

    def choose(self, logits: Floats) -> NDArray[np.int64]:
        """The next character of each stream: logits (N, V) -> ids (N,)."""
        uniforms = self._uniforms()
        config = self.config
        if self.greedy:
            return np.asarray(logits.argmax(axis=1))
        scaled = logits / self._divisor
        if config.top_k:
            scaled = keep_top_k(scaled, config.top_k)
        if config.top_p < 1:
            scaled = keep_top_p(scaled, config.top_p)
        return draw(keep_min_p(scaled, config.min_p), uniforms)

    def choose_one(self, logits: NDArray[np.float32]) -> int:
        """`choose` for a single stream, logits (V,) -> id; same result, faster."""
        if not self.plain or self.greedy:
            return int(self.choose(logits[None, :])[0])
        if self._used == _BLOCK:
            self._refill()
        uniform = self._first[self._used]
        self._used += 1
        top = logits.argmax()
        powers = np.subtract(logits, logits[top : top + 1])
        if self.config.temperature != 1:  # a quotient by 1 is what it was, and takes its time
            np.divide(powers, self._divisor, powers)
        np.exp(powers, powers)
        cumulative = np.add.accumulate(powers)
        last = len(cumulative) - 1
        return bisect_right(cumulative, uniform * cumulative.item(last), 0, last)


def generate_ids(
    session: Session, logits: Floats, sampler: Sampler, length: int = 0
) -> Iterator[Any]:
    """Sample characters indefinitely, feeding each back as input.

    Args:
        session: streams that have read a prompt. It may be some characters ahead of what was
            yielded.
        logits: what the session's last step returned.
        sampler: chooses the characters.
        length: about how many will be asked for, in all streams: many are worth compiled code,
            where the extra `charlstm[fast]` is installed.

    Yields:
        An int for a session of one stream, otherwise ids (N,).
    """
    one = session.streams == 1
    choose: Callable[[Any], Any] = sampler.choose_one if one else sampler.choose
    step = session.step
    writer, turns = None, _by_numpy(session, sampler, length)
    choice: Any = None
    while writer is None:
        for _ in range(turns):
            # A context of its own for each character: one around `yield` would be the caller's.
            with no_underflow():
                if choice is not None:
                    logits = step(choice)
                choice = choose(logits)
            yield choice
        writer, turns = load_writer(sampler.config.precision), sys.maxsize
    with no_underflow():
        if choice is not None:
            step(choice)
        writing = writer(session)
    most = max(_LEAST, _AT_A_TIME // session.streams)
    while True:
        with no_underflow():
            ids = writing.write(sampler.uniforms(most), sampler.config.temperature)
        yield from ids[:, 0].tolist() if one else ids


def read_ids(session: Session, ids: Ids, progress: ReadProgress | None = None) -> Floats:
    """Read a prompt in parts, so that it can be interrupted.

    A prompt of at least `WORTH_COMPILING` characters is read by compiled code, where the extra
    `charlstm[fast]` is installed and knows the model.

    Args:
        session: a single stream.
        ids: the prompt, shape (T,), T at least 1.
        progress: told after each part how many characters have been read.

    Returns:
        Logits (V,) of the character that follows.
    """
    engine = session.engine
    by_compiled = engine.plain_lstm and engine.compiled is not False and len(ids) >= WORTH_COMPILING
    writer = load_writer("float32") if by_compiled else None
    with no_underflow():
        reading = None if writer is None else writer(session)
        for first in range(0, len(ids), _AT_A_TIME):
            part = ids[first : first + _AT_A_TIME].astype(np.int64)
            if reading is None:
                for char_id in part.tolist():
                    logits = session.step(char_id)
            else:
                reading.read(part[:, None])
                logits = session.logits
            if progress is not None:
                progress(first + len(part))
    return logits


def _by_numpy(session: Session, sampler: Sampler, length: int) -> int:
    """Number of characters to generate before compiled code is loaded."""
    engine = session.engine
    fits = engine.plain_lstm and sampler.plain and not sampler.greedy
    if not fits or engine.compiled is False:
        return sys.maxsize
    if sampler.config.precision != "float32" or engine.compiled:
        return 0
    # Compiled code and numpy round differently, so which of them writes depends on the arguments
    # alone, and not on what has been loaded before: a seed gives the same text at any time.
    if session.streams > 1:  # whose texts are read when all are written
        return 0 if length >= WORTH_COMPILING else sys.maxsize
    # The first characters come at once; then the reader waits a moment, and gains by it.
    return _BEFORE_COMPILED if length >= WORTH_COMPILING else sys.maxsize


class Writes(Protocol):
    """`charlstm.inference.fast_writer.FastWriter`: continues the N streams of a session."""

    def write(self, uniforms: NDArray[np.float64], temperature: float, /) -> NDArray[np.int64]:
        """Uniform numbers (n, N) -> ids (n, N)."""

    def read(self, ids: NDArray[np.int64], /) -> None:
        """Read characters (n, N)."""


@cache
def load_writer(precision: str) -> Callable[[Session], Writes] | None:
    """A function from a session to a compiled writer that continues it; None if unavailable.

    Warns:
        CompiledCodeWarning: numba is installed and the processor fit, yet it does not work.
    """
    try:
        if fault := unavailable(precision):
            raise fault
        fast_writer = import_module(FAST_WRITER)
        fast_writer.warm_up(precision)
    except (ModuleNotFoundError, ProcessorError):
        return None
    except Exception as error:  # whatever numba meets: numpy writes, too
        why = (str(error).splitlines() or [""])[0]
        known = isinstance(error, CharlstmError)
        warnings.warn(
            "compiled code is not used, and long texts take longer: "
            + (
                why
                if known
                else f"{type(error).__name__}: {why.rstrip('.')}. NUMBA_CACHE_DIR sets another "
                "folder for compiled code."
            ),
            CompiledCodeWarning,
            stacklevel=2,
        )
        return None

    def start(session: Session) -> Writes:
        writer: Writes = fast_writer.FastWriter(session, precision)
        return writer

    return start


def check_precision(engine: Engine, config: SampleConfig) -> None:
    """Check that the configured precision is available.

    Raises:
        ConfigError: not by such a model, or with such filters.
        DeviceError: not on this machine.
    """
    if config.precision == "float32":
        return
    plain = _has_no_filter(config)
    if not (engine.plain_lstm and plain and config.temperature >= LEAST_DRAWN):
        raise ConfigError(
            f"--precision {config.precision} is for {' and '.join(SAMPLING_KERNEL_CELLS)} models "
            "without --residual, --layer-norm or --dense-output, at --temp "
            f"{LEAST_DRAWN:g} or above, without filters; leave it out."
        )
    if load_writer(config.precision) is None:
        raise DeviceError(
            f"--precision {config.precision} needs numba (pip install 'charlstm[fast]') and a "
            "processor with such products (AVX-512); leave it out."
        )


class StopText:
    """Ends a text before the first stop text that occurs in it.

    Characters that may turn out to belong to a stop text are held back until that is decided.

    Args:
        stops: the texts that end a sample, none of them empty.

    Attributes:
        found: whether a stop text has ended the sample.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._starts = frozenset(stop[0] for stop in stops)
        self._held = ""
        self.found = False

    def feed(self, character: str) -> str:
        """Add the next character; returns the text that certainly precedes any stop text."""
        if not self._held and character not in self._starts:
            return character
        self._held += character
        return self._release(final=False)

    def rest(self) -> str:
        """The remaining text, up to a stop text, after generation has ended."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        """Remove the held text in which no stop text can begin.

        Args:
            final: whether no more characters will come, so that a stop text that has only begun
                is none.
        """
        held = self._held
        for first in range(len(held)):
            if any(held.startswith(stop, first) for stop in self._stops):
                self.found = True
                self._held = ""
                return held[:first]
            if not final and any(stop.startswith(held[first:]) for stop in self._stops):
                self._held = held[first:]
                return held[:first]
        self._held = ""
        return held
