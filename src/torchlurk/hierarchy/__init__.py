"""One image through the network: which units made a unit what it is, which units use it, and what its loss would do."""
