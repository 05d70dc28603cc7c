"""The user's own tensors: a dumped batch read safely, judged element by element, and its reduced loss taken apart."""
