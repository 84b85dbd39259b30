"""What the node does, with files and sockets but without pins: main.py wires these modules together.

config    settings from config.json and the config topic        spool     records in flash, numbered for good
door      beam edges -> passages and faults                      uplink    spool -> gateway, until acknowledged
terminal  buttons -> presses, lamps                              clock     time since boot, and the time of day
mqtt      the broker, over asyncio streams                       status    the state topic, commands
"""
