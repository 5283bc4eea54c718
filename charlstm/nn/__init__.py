"""The network: cells by their equations, and the stack of them (torch)."""
