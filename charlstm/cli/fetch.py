"""charlstm fetch: download a text."""

from __future__ import annotations

from typing import Any

import click

from charlstm.cli import output
from charlstm.cli.options import GroupedCommand, config_options, debug_option, given
from charlstm.config import FetchConfig
from charlstm.errors import ConfigError


@click.command("fetch", cls=GroupedCommand)
@click.argument("source", required=False)
@config_options(FetchConfig)
@click.option("--list", "as_list", is_flag=True, help="List the corpora that are known by name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON objects.")
@debug_option
def command(source: str | None, as_list: bool, as_json: bool, **options: Any) -> None:
    """Download a text: SOURCE is the name of a known corpus, or a URL (https, http).

    Prints the paths of the files, so that `charlstm train $(charlstm fetch text8)` trains on them.
    An interrupted download is continued by the same command. Size and hash are checked where they
    are known. What was fetched before and is unchanged is not downloaded again, and nothing is
    overwritten.
    """
    from charlstm.download.corpora import CORPORA

    if as_list:
        if source is not None or given(options, [FetchConfig]):
            raise ConfigError("--list takes no other argument than --json.")
        for corpus in CORPORA if as_json else ():
            output.json_line(corpus.to_json())
        if not as_json:
            output.data_line(_described())
        return
    if source is None:
        raise ConfigError("name a corpus, or give a URL; --list lists the known corpora.")

    from charlstm.cli.transfer import transferring
    from charlstm.download.fetch import fetch_text

    config = FetchConfig(**given(options, [FetchConfig]))
    with transferring() as view:
        fetched = fetch_text(source, config, notice=view.say, progress=view.show)
    if as_json:
        output.json_line(fetched.to_json())
    else:
        for path in fetched.paths:
            output.data_line(str(path))


def _described() -> str:
    """A block of lines for each known corpus."""
    from charlstm.download.corpora import CORPORA

    blocks = []
    for corpus in CORPORA:
        rows = [
            ["  size", f"{corpus.described_size} bytes"],
            ["  licence", corpus.licence],
            ["  sha256", corpus.sha256 or "not recorded"],
            ["  published", corpus.published],
            ["  url", corpus.url],
        ]
        blocks.append(f"{corpus.name}: {corpus.what.replace('`', '')}\n{output.table(rows)}")
    return "\n".join(blocks)
