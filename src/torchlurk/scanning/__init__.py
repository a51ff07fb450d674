"""One pass over the data: what every unit of every layer responds to."""
