"""Where jobs run: `local` in one thread of this process, `threads` in several. An engine changes the time, never the answer."""
