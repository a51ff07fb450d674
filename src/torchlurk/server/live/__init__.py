"""A model beside its study: questions about one image, and a stream of frames. The only part of the server that needs torch."""
