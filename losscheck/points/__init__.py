"""Which logits and targets: listed, a grid, or a batch read from files."""
