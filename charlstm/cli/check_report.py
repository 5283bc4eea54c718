"""The screen of `charlstm check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlstm.cli import output
from charlstm.cli.output import counted, duration
from charlstm.errors import quoted

if TYPE_CHECKING:
    from charlstm.checkup.characters import Found
    from charlstm.checkup.expected import Plan
    from charlstm.checkup.report import Checkup

_RARE = 4  # to show
_SCRIPTS = 6


def report(found: Checkup) -> str:
    """A check-up as text: a table of figures, then the findings."""
    rows = [
        ["text", _text(found)],
        ["lines", _lines(found)],
        ["characters", _characters(found)],
        *([["rare", "; ".join(map(_rare, found.rare[:_RARE]))]] if found.rare else []),
        *_documents(found),
        ["repeated", _repeated(found)],
        ["held out", _held_out(found)],
        ["entropy", _entropy(found)],
        ["compressed", ", ".join(f"{k} {v:.2f}" for k, v in found.compressed.items()) + " bits"],
        ["a model", _expected(found)],
        *_plans(found),
    ]
    lines = [output.table([[key, output.escape(text, newlines=False)] for key, text in rows])]
    if found.sample_chars < found.num_chars:
        lines.append(
            f"Entropy from order 1 on, compression, passages and the comparison of the end are of "
            f"{found.sample_chars:,} characters, in pieces spread over the text."
        )
    lines.append("")
    if not found.findings:
        lines.append("Nothing to mend.")
    for finding in found.findings:
        what = output.escape(finding.what, newlines=False)
        lines.append(f"- {what}\n  {output.escape(finding.mend, newlines=False)}")
    return "\n".join(lines)


def _text(found: Checkup) -> str:
    return (
        f"{counted(found.num_files, 'file')}, {counted(found.num_bytes, 'byte')}, "
        f"{counted(found.num_chars, 'character')}"
    )


def _lines(found: Checkup) -> str:
    ends = ", ".join(f"{count:,} {kind}" for kind, count in found.line_ends.items()) or "none"
    return (
        f"{found.num_lines:,}, {found.blank_lines:,} blank; line ends: {ends}; the longest has "
        f"{counted(found.longest_line, 'character')} ({found.longest_at})"
    )


def _characters(found: Checkup) -> str:
    kinds = [f"{entry['distinct']:,} {name}" for name, entry in found.scripts.items()]
    more = f" and {len(kinds) - _SCRIPTS:,} more kinds" if len(kinds) > _SCRIPTS else ""
    model = "" if found.vocab_size == found.distinct else f"; {found.vocab_size:,} for a model"
    return f"{found.distinct:,} distinct: {', '.join(kinds[:_SCRIPTS])}{more}{model}"


def _rare(one: Found) -> str:
    data = one.to_json()
    return (
        f"{quoted(one.character)} {data['code_point']} {data['name']}, {one.count}x from "
        f"{one.first}"
    )


def _documents(found: Checkup) -> list[list[str]]:
    documents = found.documents
    if documents is None:
        return []
    empty = f"; {documents.empty:,} empty ones omitted" if documents.empty else ""
    text = (
        f"{documents.count:,}, of {documents.shortest:,} to {documents.longest:,} characters{empty}"
    )
    return [["documents", text]]


def _repeated(found: Checkup) -> str:
    about = "about " if found.lines_sampled else ""
    text = (
        f"{about}{found.repeated_lines:.1%} of the text in copies of lines, "
        f"{found.repeated_passages:.1%} in passages that occurred before"
    )
    if found.largest_passage is not None:
        length, first, second = found.largest_passage
        text += f"; the largest: {length:,} characters at {first} and {second}"
    return text


def _held_out(found: Checkup) -> str:
    what = {
        "tail": "the end of the text",
        "blocks": "blocks spread over the text",
        "documents": "documents, chosen at random",
    }[found.split]
    if found.other_tail is None:
        return what
    return f"{what}; the end {'differs from' if found.other_tail else 'is like'} the rest"


def _entropy(found: Checkup) -> str:
    orders = ", ".join(f"{bits:.2f}" for bits in found.entropies)
    return f"{orders} bits per character (order 0 to {len(found.entropies) - 1})"


def _expected(found: Checkup) -> str:
    loss = found.expected
    if loss is None:
        return "no prediction: no text is held out"
    return (
        f"about {loss.expected:.1f} bits per character on the held-out part, {loss.low:.1f} to "
        f"{loss.high:.1f}: a rough guess, {loss.trainings} trainings were measured"
    )


def _plans(found: Checkup) -> list[list[str]]:
    rows = [[_minutes(plan), _plan(plan)] for plan in found.plans]
    if rows and found.speed.machine:
        rows[-1][1] += f" (the speed of {found.speed.machine}, is assumed)"
    return rows


def _epochs(epochs: float) -> str:
    return f"{epochs:,.1f}" if epochs >= 0.1 else f"{epochs:.2g}"


def _minutes(plan: Plan) -> str:
    return f"{plan.minutes:g} minute{'' if plan.minutes == 1 else 's'}"


def _plan(plan: Plan) -> str:
    dropout = f", dropout {plan.dropout:g}" if plan.dropout else ""
    if plan.recurrent_dropout:
        dropout += f" and {plan.recurrent_dropout:g}"
    return (
        f"{plan.cell} {plan.num_layers}x{plan.hidden_size}{dropout}; {_epochs(plan.epochs)} epochs "
        f"in {duration(plan.seconds)}"
    )
