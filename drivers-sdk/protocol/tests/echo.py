#!/usr/bin/env python3
"""A Headend driver without an SDK: what docs/driver-protocol.md says, in Python's standard library.

Its modules send lines to their device and publish the lines that the device sends.
"""
import json
import socket
import struct
import sys

HELLO, WELCOME, PING, PONG, SHUTDOWN, GOODBYE = 1, 2, 3, 4, 5, 6
START, STOP, SETTINGS, MODULE_FAILED = 16, 17, 18, 19
LINK_UP, LINK_DOWN, RECEIVED, TRANSMIT = 32, 33, 34, 35
CALL, DONE, FAILED, STATUS, LOG = 48, 64, 65, 80, 81
LIMIT = 16 * 1024 * 1024

MANIFEST = {
    "manifest": 1,
    "name": "Line echo in Python",
    "module": "Echo",
    "kind": "device",
    "functions": [
        {"name": "say", "description": "Sends a line.",
         "params": [{"name": "line", "schema": {"type": "string"}}]},
    ],
}


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Module:
    def __init__(self, channel, handle, start):
        self.channel, self.handle, self.settings = channel, handle, start["settings"]
        self.link(start.get("link"))

    def link(self, up):
        self.connection, self.partial = (up or {}).get("connection"), b""

    def received(self, data):
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.status("last", line.decode(errors="replace"))

    def status(self, key, value):
        name = key.encode()
        self.channel.send(STATUS, self.handle, 0, struct.pack("<H", len(name)) + name + json.dumps(value).encode())

    def call(self, function, args):
        if function != "say":
            raise Failure("unknown_function", f"there is no function {function}")
        line = args["line"] if isinstance(args, dict) else args[0]
        if self.connection is None:
            raise Failure("offline", "the device is not connected")
        data = (self.settings.get("prefix", "") + line + "\n").encode()
        self.channel.send(TRANSMIT, self.handle, 0, struct.pack("<Q", self.connection) + data)
        return len(data)


class Channel:
    def __init__(self):
        self.stream = socket.socket(fileno=3).makefile("rwb")
        self.modules = {}

    def send(self, kind, module, correlation, payload=b""):
        self.stream.write(struct.pack("<IHHII", len(payload), kind, 0, module, correlation) + payload)
        self.stream.flush()

    def frames(self):
        while len(header := self.stream.read(16)) == 16:
            length, kind, zero, module, correlation = struct.unpack("<IHHII", header)
            if zero or length > LIMIT:
                return self.send(GOODBYE, 0, 0, b"malformed frame header")
            yield kind, module, correlation, self.stream.read(length)

    def serve(self):
        for kind, handle, correlation, payload in self.frames():
            if kind == SHUTDOWN:
                return
            try:
                result = self.handle(kind, handle, payload)
            except Failure as failure:
                result = FAILED, {"code": failure.code, "message": str(failure)}
            except Exception as error:  # a mistake in this program must not end the other modules
                result = FAILED, {"code": "driver", "message": repr(error)}
            if correlation and result:
                kind, value = result
                self.send(kind, handle, correlation, b"" if value is None else json.dumps(value).encode())

    def handle(self, kind, handle, payload):
        if kind == HELLO:
            oldest, newest = json.loads(payload)["versions"]
            if not oldest <= 1 <= newest:
                self.send(GOODBYE, 0, 0, b"this driver speaks version 1 only")
                sys.exit(1)
            return WELCOME, {"version": 1, "sdk": "echo.py"}
        if kind == PING:
            return PONG, None
        if kind == START:
            self.modules[handle] = Module(self, handle, json.loads(payload))
            return DONE, None
        if kind == STOP:
            self.modules.pop(handle, None)
            return DONE, None
        module = self.modules.get(handle)
        if kind in (CALL, SETTINGS, RECEIVED) and module is None:
            raise Failure("stopped", "the module has stopped")
        if kind == CALL:
            call = json.loads(payload)
            return DONE, module.call(call["function"], call["args"])
        if kind == SETTINGS:
            module.settings = json.loads(payload)["settings"]
            return DONE, None
        if kind == RECEIVED:
            module.received(payload)
            return DONE, None
        if kind == LINK_UP and module:
            module.link(json.loads(payload))
        if kind == LINK_DOWN and module:
            module.link(None)
        return None  # a kind from the future


if __name__ == "__main__":
    if "--manifest" in sys.argv:
        print(json.dumps(MANIFEST))
    else:
        Channel().serve()
