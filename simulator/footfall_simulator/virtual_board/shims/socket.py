# The built-in sockets; only the way to an address is closed while there is no WiFi.
import network
from _board import real_socket

for _name in dir(real_socket):
    if _name[0] != "_":
        globals()[_name] = getattr(real_socket, _name)


def getaddrinfo(*args):
    if not network.reachable():
        raise OSError(-202)  # what lwIP's resolver answers without a network
    return real_socket.getaddrinfo(*args)
