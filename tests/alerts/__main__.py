"""`python -m tests.alerts`: a second or two; ends with 0 only if the rules do what they say.

Needs promtool, which Debian has in its package `prometheus`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.test_alerts import DEPLOY

CASES = Path(__file__).with_name("cases.yaml")


def main() -> int:
    promtool = shutil.which("promtool")
    if promtool is None:
        sys.stderr.write("promtool is missing: apt-get install prometheus\n")
        return 1
    checks = (
        [promtool, "check", "rules", str(DEPLOY / "alerts.yaml")],
        [promtool, "test", "rules", str(CASES)],
    )
    return max(subprocess.run(check, check=False).returncode for check in checks)


if __name__ == "__main__":
    sys.exit(main())
