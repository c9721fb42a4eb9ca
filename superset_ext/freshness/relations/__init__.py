"""What tables and datasets are made of."""
