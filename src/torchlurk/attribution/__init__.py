"""What in an input excited a unit: pictures in input pixels, by method."""
