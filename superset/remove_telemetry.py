"""
Removes the telemetry of Superset's pages: an image that the browser of every reader loads from apachesuperset.gateway.scarf.sh. The switch for it,
SCARF_ANALYTICS, exists only for those who build the pages themselves. Runs after the installation, in the image and on one machine.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

PIXEL = "https://apachesuperset.gateway.scarf.sh/pixel/"
# An empty image that needs no request. The rest of the address becomes its fragment.
NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACw=#"


def main() -> int:
    assets = Path(find_spec("superset").submodule_search_locations[0]) / "static" / "assets"
    changed = 0
    for path in assets.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        if PIXEL in text:
            path.write_text(text.replace(PIXEL, NOTHING), encoding="utf-8")
            changed += 1
        elif NOTHING in text:
            changed += 1
    if changed == 0:
        print(f"No file in {assets} has the telemetry of Superset: find its new address, and change PIXEL.", file=sys.stderr)
        return 1
    print(f"telemetry: removed from {changed} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
