# Freezes the firmware into a MicroPython of one's own: less heap, faster start, and the files cannot be spoilt.
#   cd micropython/ports/esp32
#   make BOARD=ESP32_GENERIC FROZEN_MANIFEST=<this file>
# The usual way needs none of this: copy the files, see README.md.
metadata(
    version="0.1.0", description="Counts visitors at a door: light barrier, flash spool, MQTT", license="MIT"
)
include("$(PORT_DIR)/boards/manifest.py")
package("footfall_core", base_path="lib")
package("board")
package("node")
module("app.py")
module("main.py")
