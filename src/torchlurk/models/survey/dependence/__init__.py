"""Which pixels of the input each element of each tensor of a forward pass depends on."""
