"""The figures of `eval`: records, tables, and notices about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charlstm.cli import output
from charlstm.cli.inputs import say_mapped, say_unknown

if TYPE_CHECKING:
    from charlstm.cli.eval_result import Result
    from charlstm.inference.score import Score


@dataclass
class Report:
    """The evaluation of one model.

    Attributes:
        model: its name, as given.
        checkpoint: its file.
        text: the text's name.
        protocol: the protocol of evaluation.
        kind: `pseudo_` for a bidirectional model, whose figure is a pseudo-likelihood.
        result: the scores.
        omits: whether unknown characters are omitted (`--unknown skip`).
    """

    model: str
    checkpoint: str
    text: str
    protocol: str
    kind: str
    result: Result
    omits: bool = False

    def scores(self, *, charged: bool) -> dict[str, Score]:
        """The scores by the prefix of their names.

        Args:
            charged: whether to also give those that count omitted characters.
        """
        score, adapted = self.result.score, self.result.adapted
        found = {self.kind: score}
        if charged:
            found[f"{self.kind}charged_"] = score.charged
        if adapted is not None:
            found["dynamic_"] = adapted
            if charged:
                found["dynamic_charged_"] = adapted.charged
        return found

    def record(self) -> dict[str, Any]:
        """The report as a JSON object."""
        result = self.result
        facts: dict[str, Any] = {
            "checkpoint": self.checkpoint,
            "text": self.text,
            "protocol": self.protocol,
            "characters": result.score.count,
            "bytes": result.score.num_bytes,
        }
        if result.documents is not None:
            facts["documents"] = result.documents
        for prefix, score in self.scores(charged=self.omits).items():
            facts |= {
                f"{prefix}nats_per_char": score.nats_per_char,
                f"{prefix}bits_per_char": score.bits_per_char,
                f"{prefix}bits_per_byte": score.bits_per_byte,
            }
            if not prefix.endswith("charged_"):
                facts[f"{prefix}perplexity"] = score.perplexity
        facts["unknown_characters"] = result.omitted.total() + result.mapped.total()
        facts["unigram_nats_per_char"] = result.unigram_nats
        for program, bits in result.compressed.items():
            facts[f"{program}_bits_per_byte"] = bits
        return facts

    def table(self) -> str:
        """The report as a table of two columns."""
        result = self.result
        rows = [
            ["text", output.escape(self.text, newlines=False)],
            ["characters", f"{result.score.count:,}"],
            ["bytes in UTF-8", f"{result.score.num_bytes:,}"],
        ]
        if result.documents is not None:
            rows.append(["documents", f"{result.documents:,}, each from its beginning, ends count"])
        rows.append(["protocol", self.protocol])
        for prefix, score in self.scores(charged=bool(result.score.unknown)).items():
            label = prefix.replace("pseudo_", "pseudo-").replace("_", " ")
            rows += [
                [f"{label}nats per character", _number(score.nats_per_char)],
                [f"{label}bits per character", _number(score.bits_per_char)],
                [f"{label}bits per byte", _number(score.bits_per_byte)],
            ]
            if not prefix.endswith("charged_"):
                rows.append([f"{label}perplexity", f"{score.perplexity:.3f}"])
        return output.table(rows)

    def say_notices(self, *, is_only: bool) -> None:
        """Write notices about the text and the figures to stderr.

        Args:
            is_only: whether it is the only model.
        """
        from charlstm.inference.score import UNKNOWN_NATS

        result, score = self.result, self.result.score
        say_unknown(result.omitted, "skip" if score.unknown else "replace")
        say_mapped(result.mapped)
        if score.unknown:
            rest = score.charged.bits_per_char - score.bits_per_char
            output.say(
                f"the figures leave out {score.unknown / (score.count + score.unknown):.2%} of the "
                f"text, and flatter the model by {rest:.4f} bits per character: in those named "
                f"charged, each unknown character costs {UNKNOWN_NATS / _LN2:.2f} bits"
            )
        not_finite = [name for name, figure in self.record().items() if _is_not_finite(figure)]
        if not_finite:
            output.say(
                f"not a finite number: {', '.join(not_finite)}. The model's weights are too large "
                "for this text."
            )
        if self.kind:
            output.say(
                "the model is bidirectional: its pseudo-likelihood cannot be compared with the "
                "likelihood of a forward model."
            )
        elif is_only and (compared := self.compared()):
            output.say(f"{compared}; the model {_number(score.bits_per_byte)}")

    def compared(self) -> str:
        """What general compressors reach on the text; empty if it was not compressed."""
        found = self.result.compressed
        shown = " and ".join(f"{program} {bits:.4f}" for program, bits in found.items())
        return f"for comparison, on this text alone: {shown} bits per byte" if shown else ""


_LN2 = 0.6931471805599453


def _is_not_finite(figure: Any) -> bool:
    return figure is not None and output.finite(figure) is None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def comparison(reports: Sequence[Report]) -> str:
    """A table of several models, one a line."""
    charged = any(report.result.score.unknown for report in reports)
    scores = (report.scores(charged=charged) for report in reports)
    prefixes = list(dict.fromkeys(prefix for found in scores for prefix in found))
    many_texts = len({report.text for report in reports}) > 1
    header = ["model", "protocol", "characters", "documents", "text"]
    columns = [prefix + unit for prefix in prefixes for unit in _UNITS]
    rows = []
    for report in reports:
        record = report.record()
        documents = report.result.documents
        rows.append(
            [
                output.escape(report.model, newlines=False),
                report.protocol,
                f"{report.result.score.count:,}",
                "" if documents is None else f"{documents:,}",
                output.escape(report.text, newlines=False) if many_texts else "",
                *(_number(record.get(name)) for name in columns),
            ]
        )
    header += [
        name.replace("pseudo_", "pseudo-").replace("_per_", "/").replace("_", " ")
        for name in columns
    ]
    table = [header, *rows]
    # A column that is empty for every model is left out.
    used = [n for n in range(len(header)) if any(row[n] for row in rows)]
    return output.table([[row[n] for n in used] for row in table])


_UNITS = ("nats_per_char", "bits_per_char", "bits_per_byte")


def say_comparable(reports: Sequence[Report], *, own_texts: bool) -> None:
    """Write to stderr where the figures of several models cannot be compared."""
    if own_texts:
        output.say(
            "each model is evaluated on its own text: the figures can be compared only if the "
            "texts are the same"
        )
        return
    if compared := reports[0].compared():
        output.say(compared)
    if len({(r.result.score.count, r.result.score.num_bytes) for r in reports}) > 1:
        charged = any(report.result.score.unknown for report in reports)
        output.say(
            "the models do not read the same characters in this text (vocabulary, case, line ends, "
            f"documents): compare {'charged ' * charged}bits per byte"
        )
