"""Why a query is slow, and what would help: plans, what they show, and what can be done about it."""
