"""What an existing compose project mounts over its config."""

SQL_MAX_ROW = 1234
from superset_ext.config import *
