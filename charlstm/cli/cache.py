"""charlstm cache: the on-disk cache of large encoded texts."""

from __future__ import annotations

import click

from charlstm.cli import output
from charlstm.cli.options import GroupedCommand, debug_option


@click.command("cache", cls=GroupedCommand)
@click.option("--clear", is_flag=True, help="Remove all entries that no process is using.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per entry.")
@debug_option
def command(clear: bool, as_json: bool) -> None:
    """Show the cache of large texts, least recently used first, or clear it.

    A text whose ids take more than 32 MB is encoded once. Later runs on it read the cached ids.
    $CHARLSTM_CACHE_LIMIT limits the folder's size (500MB, 20GB, ...; default: 10GB). Above the
    limit, writing an entry removes the least recently used ones. --clear also removes the
    measurements of this machine's speed, which train keeps for a week.
    """
    import time

    from charlstm.text.cache import MEASURED_SUFFIX, cache_folder
    from charlstm.text.cache_limit import cache_limit, entries, shrink

    limit, folder = cache_limit(), cache_folder()
    if folder is None:
        output.say("no cache folder: the user has no home folder. Set XDG_CACHE_HOME.")
        return
    if clear:
        removed = shrink(folder, 0)
        output.say(f"{len(removed)} removed, {_size(sum(entry.size for entry in removed))}")
        for path in folder.glob(f"*{MEASURED_SUFFIX}"):
            path.unlink(missing_ok=True)
    found = entries(folder)
    for entry in found if as_json else ():
        record = {
            "path": str(entry.path),
            "bytes": entry.size,
            "used": round(entry.used),
            "in_use": entry.in_use,
        }
        output.json_line(record)
    if found and not as_json:
        rows = [["file", "size", "last used", ""]]
        for entry in found:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
            name = output.escape(entry.path.name, newlines=False)
            rows.append([name, _size(entry.size), used, "in use" if entry.in_use else ""])
        output.data_line(output.table(rows))
    total = _size(sum(entry.size for entry in found))
    output.say(
        f"{folder}: {total}, {output.counted(len(found), 'text')}; the limit is {_size(limit)}"
    )


def _size(count: int) -> str:
    """A size in a decimal unit, such as `1.5 GB`."""
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
