"""A small world drawn by code: data for which it is known where each part of each thing is."""
