"""What tables are made of: the tables behind a view, and the tables that a partition is a part of."""
