"""The regression gate: YAML cases against budgets and baselines."""
