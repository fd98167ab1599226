"""``python -m core_engine``"""

import sys

from core_engine.cli.main import main

sys.exit(main())
