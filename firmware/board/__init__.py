"""The only code that touches machine, network and esp32. app.py builds these and hands them to the node's modules."""
