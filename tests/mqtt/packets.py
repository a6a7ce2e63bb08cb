"""MQTT packets, just enough to be a client or a broker that does odd things. Standard library only.

A packet is (type, flags, body); the helpers make and take the bodies of MQTT 3.1.1 (version 4)
and 5. Nothing is checked on the way out: sending broken packets is the point.
"""
import socket
import struct

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14

# The type of each property's value.
PROPERTY_TYPES = {
    0x01: 'byte', 0x02: 'u32', 0x03: 'text', 0x08: 'text', 0x09: 'text', 0x0b: 'varint',
    0x11: 'u32', 0x13: 'u16', 0x21: 'u16', 0x22: 'u16', 0x23: 'u16', 0x24: 'byte', 0x25: 'byte',
    0x26: 'pair', 0x27: 'u32', 0x1f: 'text', 0x12: 'text', 0x28: 'byte', 0x29: 'byte',
    0x2a: 'byte', 0x17: 'byte', 0x19: 'byte'}


def varint(value):
    out = bytearray()
    while True:
        byte = value & 0x7f
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack('>H', len(value)) + value


def properties(items=()):
    """From [(code, value)] to bytes, with their length before them."""
    out = b''
    for code, value in items:
        kind = PROPERTY_TYPES[code]
        out += bytes([code])
        if kind == 'pair':
            out += text(value[0]) + text(value[1])
        elif kind == 'text':
            out += text(value)
        elif kind == 'varint':
            out += varint(value)
        else:
            out += struct.pack({'byte': '>B', 'u16': '>H', 'u32': '>I'}[kind], value)
    return varint(len(out)) + out


class Body:
    """A cursor over a packet's body."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        piece = self.data[self.at:self.at + size]
        assert len(piece) == size, 'packet too short'
        self.at += size
        return piece

    def number(self, size):
        return int.from_bytes(self.take(size), 'big')

    def text(self):
        return self.take(self.number(2))

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7f) << shift
            shift += 7
            if not byte & 0x80:
                return value

    def properties(self):
        end = self.varint() + self.at
        found = []
        while self.at < end:
            code = self.number(1)
            kind = PROPERTY_TYPES[code]
            if kind == 'pair':
                found.append((code, (self.text(), self.text())))
            elif kind == 'text':
                found.append((code, self.text()))
            elif kind == 'varint':
                found.append((code, self.varint()))
            else:
                found.append((code, self.number({'byte': 1, 'u16': 2, 'u32': 4}[kind])))
        return found

    def rest(self):
        return self.take(len(self.data) - self.at)


class Wire:
    """Packets over a socket."""

    def __init__(self, connection):
        self.socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, kind, body=b'', flags=0):
        self.socket.sendall(bytes([kind << 4 | flags]) + varint(len(body)) + body)

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def receive(self):
        """(type, flags, Body), or EOFError."""
        first = self.exactly(1)[0]
        size = shift = 0
        while True:
            byte = self.exactly(1)[0]
            size |= (byte & 0x7f) << shift
            shift += 7
            if not byte & 0x80:
                return first >> 4, first & 15, Body(self.exactly(size))

    def publish(self, topic, payload, version=5, packet_id=1, qos=1, flags=0, items=()):
        body = text(topic) + (struct.pack('>H', packet_id) if qos else b'')
        body += properties(items) if version == 5 else b''
        self.send(PUBLISH, body + payload, flags | qos << 1)

    def close(self):
        """Also for a thread that is receiving."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was first
        self.socket.close()


def take_publish(flags, body, version):
    """(topic, packet id or None, properties, payload)"""
    topic = body.text()
    packet_id = body.number(2) if flags & 6 else None
    return topic, packet_id, body.properties() if version == 5 else [], body.rest()


class Client(Wire):
    """A connected client."""

    def __init__(self, port, client_id='odd', version=5):
        super().__init__(socket.create_connection(('127.0.0.1', port), 10))
        self.version = version
        body = text('MQTT') + bytes([version, 2]) + struct.pack('>H', 60)
        body += properties() if version == 5 else b''
        self.send(CONNECT, body + text(client_id))
        kind, _, body = self.receive()
        assert kind == CONNACK and body.take(2)[1] == 0

    def subscribe(self, topic_filter, qos=1):
        body = struct.pack('>H', 7) + (properties() if self.version == 5 else b'')
        self.send(SUBSCRIBE, body + text(topic_filter) + bytes([qos]), 2)
        assert self.receive()[0] == SUBACK

    def next_message(self):
        """(topic, properties, payload, retained); acknowledges it."""
        while True:
            kind, flags, body = self.receive()
            if kind == PUBLISH:
                topic, packet_id, items, payload = take_publish(flags, body, self.version)
                if packet_id is not None:
                    self.send(PUBACK, struct.pack('>H', packet_id))
                return topic, items, payload, bool(flags & 1)
