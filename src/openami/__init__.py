"""openami: a self-hosted, EC2-compatible machine-image service that boots what it stores."""

import os

__version__ = "0.1.0"

# NumPy's linear algebra, which nothing here uses, starts a thread per core that spins for a tenth
# of a second. It reads this once, when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
