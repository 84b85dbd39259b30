# The built-in sockets, with two differences: without WiFi no address is found, and the board goes on the air before
# it sends, so that virtual time does not run away while it waits for the answer.
import network
from _board import on_air, real_socket

for _name in dir(real_socket):
    if _name[0] != "_":
        globals()[_name] = getattr(real_socket, _name)


class socket:
    # around a built-in socket (or TLS socket), which select's shim finds as `inside`
    def __init__(self, *args, inside=None):
        self.inside = inside or real_socket.socket(*args)
        if inside is None and (len(args) < 2 or args[1] == real_socket.SOCK_STREAM):
            # TCP_NODELAY: the kernel would hold small packets for up to 40 real ms, which may be 40 virtual seconds
            self.inside.setsockopt(6, 1, 1)

    def __getattr__(self, name):
        return getattr(self.inside, name)

    def connect(self, address):
        on_air()
        return self.inside.connect(address)

    def write(self, *args):
        on_air(args[0])
        return self.inside.write(*args)

    def send(self, *args):
        on_air(args[0])
        return self.inside.send(*args)

    def sendall(self, *args):
        on_air(args[0])
        return self.inside.sendall(*args)

    def accept(self):
        inside, address = self.inside.accept()
        return socket(inside=inside), address


def getaddrinfo(*args):
    if not network.reachable():
        raise OSError(-202)  # what lwIP's resolver answers without a network
    return real_socket.getaddrinfo(*args)
