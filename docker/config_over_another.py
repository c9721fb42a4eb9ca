"""The config that Superset's Helm chart loads by `SUPERSET_CONFIG_PATH`: the chart's own, then the package's.

The chart's lies in /app/pythonpath and has all overrides in it, from values and from files. Whatever stands there, the
last line here comes after it.
"""

from superset_config import *
from superset_ext.config import *
