"""The text of Word, OpenDocument, EPUB and HTML files, in bounded memory (the extra `documents`).

Files are parsed by lxml, piece by piece, into a target that collects lines; no tree is built.
Documents may be hostile: see `charlstm.text.rich.package` for archives, and
`charlstm.text.rich.parsing` for entities.
"""
