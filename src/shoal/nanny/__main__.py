"""``python -m shoal.nanny``."""

import sys

from shoal.nanny.shell import main

sys.exit(main())
