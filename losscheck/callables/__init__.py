"""The user's own code: loaded, called as it is wired, tried out, its conventions explained."""
