"""What would excite a unit most: pictures made by ascent (activation maximization)."""
