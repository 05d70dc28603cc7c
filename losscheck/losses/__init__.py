"""One file per loss: definition, gradient, parameters, domain, landmarks, its naive and its stable implementation."""
