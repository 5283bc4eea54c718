"""charlstm cache: the ids of large texts that are kept on disk."""

from __future__ import annotations

import click

from charlstm.cli import output
from charlstm.cli.options import GroupedCommand, debug_option


@click.command("cache", cls=GroupedCommand)
@click.option("--clear", is_flag=True, help="Remove all that no process uses now.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an entry.")
@debug_option
def command(clear: bool, as_json: bool) -> None:
    """Show the cache of large texts, the least recently used first, or clear it.

    A text whose characters take more than 32 MB is encoded once; later runs on it read the result.
    $CHARLSTM_CACHE_LIMIT limits the folder's size (500MB, 20GB, ...; default: 10GB). Above the
    limit, the least recently used entries are removed when another is written.
    """
    import time

    from charlstm.text.cache import cache_folder
    from charlstm.text.cache_limit import cache_limit, entries, shrink

    limit, folder = cache_limit(), cache_folder()
    if folder is None:
        output.say("there is no cache folder: the user has no home. Set XDG_CACHE_HOME.")
        return
    if clear:
        removed = shrink(folder, 0)
        output.say(f"{len(removed)} removed, {_size(sum(entry.size for entry in removed))}")
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
    output.say(f"{folder}: {total}, {len(found)} text(s); the limit is {_size(limit)}")


def _size(count: int) -> str:
    """Bytes in the unit that fits, by thousands."""
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
