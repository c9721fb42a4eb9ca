"""Why a query is slow, and what would help."""
