"""The pins of ESP32-DevKitC (WROOM-32E). Written by hardware/pins.py from hardware/pins.toml: change it there."""

INPUTS = (4, 13, 14, 18, 19, 21, 22, 23, 25, 26, 27, 32, 33, 34, 35)
OUTPUTS = (4, 13, 14, 18, 19, 21, 22, 23, 25, 26, 27, 32, 33)
WITHOUT_PULL_UP = (34, 35)

OUTER = 32
INNER = 33
BUTTONS = (25, 26, 27, 13, 14)
LAMPS = (18, 19, 21, 22, 23)
STATUS = 4
CARRIERS = (23, 22)
BOOT_BUTTON = 0
