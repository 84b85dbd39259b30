"""Starts the firmware: MicroPython runs this file after every reset. What there is and who gets what: app.py."""

import app

app.run()
