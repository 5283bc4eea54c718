"""`python -m charlstm` is the same program as `charlstm`."""

from charlstm.cli import entry_point

if __name__ == "__main__":
    entry_point()
