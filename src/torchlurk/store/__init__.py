"""Where results live: a study is one SQLite file with one writer and any number of readers."""
