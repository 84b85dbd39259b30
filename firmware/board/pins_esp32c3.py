"""The pins of XIAO ESP32C3. Written by hardware/pins.py from hardware/pins.toml: change it there."""

INPUTS = (0, 1, 3, 4, 5, 6, 7, 10)
OUTPUTS = (0, 1, 3, 4, 5, 6, 7, 10)
WITHOUT_PULL_UP = ()

OUTER = 3
INNER = 4
BUTTONS = ()
LAMPS = ()
STATUS = 10
CARRIERS = (5, 6)
BOOT_BUTTON = 9
