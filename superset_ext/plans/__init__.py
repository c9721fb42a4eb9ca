"""Why a query is slow, and what would help: plans, what they show, rewrites."""
