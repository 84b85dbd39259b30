# esp32: the few chip functions that make sense here.
WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True
HEAP_DATA, HEAP_EXEC = 4, 1


def raw_temperature():
    return 107  # degrees Fahrenheit, as the chip says


def mcu_temperature():
    return 42
