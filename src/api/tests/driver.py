"""A driver for the tests of the control API: it does as it is told. It speaks docs/driver-protocol.md."""
import json
import socket
import struct

WELCOME, PONG, STATUS, LOG, DONE, FAILED, SEND, ONLINE = 2, 4, 80, 81, 64, 65, 37, 47
HELLO, PING, SHUTDOWN, START, STOP, CALL = 1, 3, 5, 16, 17, 48

stream = socket.socket(fileno=3).makefile("rwb")


def send(kind, module, correlation, payload=b""):
    stream.write(struct.pack("<IHHII", len(payload), kind, 0, module, correlation) + payload)
    stream.flush()


def status(module, key, value):
    name = key.encode()
    send(STATUS, module, 0, struct.pack("<H", len(name)) + name + json.dumps(value).encode())


def call(module, function, args, correlation):
    if function == "set":
        status(module, args[0], args[1])
        return DONE, args[1]
    if function == "echo":
        return DONE, args
    if function == "burst":
        for number in range(1, args[1] + 1):
            status(module, args[0], number)
        return DONE, args[1]
    if function == "log":
        for number in range(args[0]):
            send(LOG, module, 0, bytes([2]) + f"line {number}".encode())
        return DONE, None
    if function == "online":
        send(ONLINE, module, 0, json.dumps({"connected": args[0], "reason": args[1]}).encode())
        return DONE, None
    if function == "send":
        send(SEND, module, 0, struct.pack("<QIB", 0, correlation, 0) + args[0].encode())
        return DONE, None
    if function == "fail":
        return FAILED, {"code": "driver", "message": "failed, as asked", "status": 418}
    if function == "hook":
        if args[0]["body"] == "fail":
            return FAILED, {"code": "device", "message": "the password is hunter2"}
        return DONE, {"status": 202, "content_type": "application/json", "body": json.dumps(args[0])}
    if function == "reset":
        return DONE, True
    if function == "never":
        return None
    return FAILED, {"code": "unknown_function", "message": f"there is no function {function}"}


while len(header := stream.read(16)) == 16:
    length, kind, _, module, correlation = struct.unpack("<IHHII", header)
    payload = stream.read(length)
    answer = None
    if kind == SHUTDOWN:
        break
    if kind == HELLO:
        answer = WELCOME, {"version": 1, "sdk": "driver.py", "features": ["send", "online"]}
    elif kind == PING:
        answer = PONG, None
    elif kind in (START, STOP):
        answer = DONE, None
    elif kind == CALL:
        request = json.loads(payload)
        answer = call(module, request["function"], request["args"], correlation)
    if answer and correlation:
        send(answer[0], module, correlation, b"" if answer[1] is None else json.dumps(answer[1]).encode())
