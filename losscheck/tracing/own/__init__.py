"""A callable's own exact formula: its recorded program as a sum of products of known functions, in which nothing cancels that need not.

expressions is the normal form, identities brings an expression there, symbols runs a recorded program in it and asks what a branch
depends on, choices is the tree of its answers, reading records and compares programs, evaluating is the formula in any arithmetic.
"""
