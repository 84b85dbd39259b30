"""The rules of counting, without pins, sockets, files or clocks.

MicroPython on the board runs these modules as they are, the simulator and the gateway import them, and
`beam` is compiled for the gateway from this same source. So nothing here imports more than `json`, and
nothing uses syntax that MicroPython lacks.

    beam      beam edges -> passages, faults        button    contact edges -> presses, suppressed presses
    record    what a record may say                 payload   batches and acknowledgements on the wire
    spool     records as bytes in flash             topic     the MQTT topics
"""
