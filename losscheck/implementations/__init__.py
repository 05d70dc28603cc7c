"""One file per published implementation, with its source named; flaws are kept, they are what is looked for."""
