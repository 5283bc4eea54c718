"""The half that writes and scores text: numpy only, never torch."""
