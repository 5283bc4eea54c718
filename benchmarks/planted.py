"""Oddities planted in lines of logs, for `oddities.py`.

| kind | what changes |
| --- | --- |
| status | the status is one that the program has, but never wrote here |
| swap | two fields change places |
| token | a field becomes 5 to 10 random letters and digits |
| SQL | a fragment of an SQL injection stands after a field |

Fields are separated by spaces.
"""

from __future__ import annotations

import random
import re
import string

KINDS = ("status", "swap", "token", "SQL")
STATUSES: dict[str, tuple[re.Pattern[str], tuple[str, ...]]] = {
    "packages": (
        re.compile(r"(?<=status )[a-z-]+"), ("failed", "broken", "half-removed", "error"),
    ),
    "system calls": (
        re.compile(r"(?<== )-?\d+( E[A-Z]+ \(.*\))?"),
        (
            "-1 EIO (Input/output error)", "-1 ENOSPC (No space left on device)",
            "-1 EMFILE (Too many open files)",
        ),
    ),
    "web": (re.compile(r'(?<=" )\d{3}'), ("500", "502", "503")),
}  # fmt: skip
"""For each log: what a status looks like, and others. The last match in a line is changed."""
FRAGMENTS = (
    "' OR 1=1 --", "; DROP TABLE users", "UNION SELECT password FROM users", "' AND SLEEP(5)",
    "1; DELETE FROM logs",
)  # fmt: skip


def plant(log: str, kind: str, line: str, rng: random.Random) -> str | None:
    """The line with an oddity of a kind; None if it cannot have one."""
    fields = line.split(" ")
    n = rng.randrange(len(fields))
    if kind == "status":
        pattern, statuses = STATUSES[log]
        found = [*pattern.finditer(line)]
        if not found:
            return None
        start, end = found[-1].span()
        return line[:start] + rng.choice(statuses) + line[end:]
    if kind == "swap":
        others = [m for m, field in enumerate(fields) if field != fields[n]]
        if not others:
            return None
        m = rng.choice(others)
        fields[n], fields[m] = fields[m], fields[n]
    elif kind == "token":
        letters = string.ascii_lowercase + string.digits
        fields[n] = "".join(rng.choices(letters, k=rng.randrange(5, 11)))
    else:
        fields.insert(n + 1, rng.choice(FRAGMENTS))
    return " ".join(fields)


def planted(log: str, kind: str, lines: list[str], count: int, seed: int) -> list[str]:
    """Lines drawn at random, each with an oddity of a kind.

    Args:
        log: its name.
        kind: one of `KINDS`.
        lines: where they come from; the oddity makes a line that is none of them.
        count: number of lines.
        seed: of the draws.
    """
    rng = random.Random(f"{seed} {log} {kind}")
    known, found = set(lines), list[str]()
    while len(found) < count:
        odd = plant(log, kind, rng.choice(lines), rng)
        if odd is not None and odd not in known:
            found.append(odd)
    return found
