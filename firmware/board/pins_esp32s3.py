"""The pins of ESP32-S3-DevKitC-1 (N8). Written by hardware/pins.py from hardware/pins.toml: change it there."""

INPUTS = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 38, 39, 40, 41, 42, 47, 48)
OUTPUTS = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 38, 39, 40, 41, 42, 47, 48)
WITHOUT_PULL_UP = ()

OUTER = 5
INNER = 6
BUTTONS = (7, 15, 16, 17, 8)
LAMPS = (9, 10, 11, 12, 13)
STATUS = 14
CARRIERS = (1, 2)
BOOT_BUTTON = 0
