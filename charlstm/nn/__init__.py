"""The network in torch: recurrent cells, layers, and hand-written backward passes."""
