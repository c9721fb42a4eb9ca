"""The rules: a file and a function each. Each takes a statement, changes its tree where it may, and says why it did not
elsewhere."""
