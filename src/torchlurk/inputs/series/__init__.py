"""Series: channels of numbers over time, from arrays, .ts files and tables."""
