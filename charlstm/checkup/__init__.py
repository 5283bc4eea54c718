"""What a text is, before a training: figures, and findings with what mends them (`check`)."""
