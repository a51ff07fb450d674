"""Where jobs run: `local` on this machine. An engine changes the time, never the answer."""
