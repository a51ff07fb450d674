"""Text: files of it, tokens, vocabularies, windows."""
