"""Which aggregates would be worth their bytes: from what was asked to statements that make them."""
