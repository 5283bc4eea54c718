"""The text of Word, OpenDocument, EPUB and HTML files, in bounded memory (the extra `documents`).

Files are parsed by lxml, piece by piece, into a target that collects lines; no tree is built. Of an
HTML page, libxml2 keeps what it has read, so that the size of a page is limited.
Documents may be hostile: see `charlstm.text.rich.package` for archives, and
`charlstm.text.rich.parsing` for entities.
"""
