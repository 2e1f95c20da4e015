"""Presses keys and buttons through the X server, from a process of its own, and says when: nothing of Blender's is waited for.

Lines on stdin: ``DELAY key NAME``, ``DELAY button NUMBER`` (``down``, ``up``: half of it), ``DELAY move X Y``. A line with the moment (time.monotonic, read
just before the event is sent) answers each.
"""

import ctypes
import sys
import time

x11, xtst = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
x11.XOpenDisplay.restype = ctypes.c_void_p
x11.XStringToKeysym.restype = ctypes.c_ulong
x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
x11.XFlush.argtypes = [ctypes.c_void_p]
for function in ("XTestFakeKeyEvent", "XTestFakeButtonEvent"):
    getattr(xtst, function).argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_ulong]
xtst.XTestFakeMotionEvent.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong]
display = x11.XOpenDisplay(None)
MODIFIERS = {"ctrl": b"Control_L", "shift": b"Shift_L"}


def code(name: bytes) -> int:
    return x11.XKeysymToKeycode(display, x11.XStringToKeysym(name))


for line in sys.stdin:
    delay, kind, *words = line.split()
    time.sleep(float(delay))
    moment = time.monotonic()
    if kind == "move":
        xtst.XTestFakeMotionEvent(display, -1, int(words[0]), int(words[1]), 0)
    elif kind in ("down", "up"):
        xtst.XTestFakeButtonEvent(display, int(words[0]), kind == "down", 0)
    elif kind == "button":
        for down in (1, 0):
            xtst.XTestFakeButtonEvent(display, int(words[0]), down, 0)
            x11.XFlush(display)
            time.sleep(0.02)
    else:
        *held, name = words[0].split("+")
        presses = [code(MODIFIERS[one]) for one in held] + [code(name.encode())]
        for key in presses:
            xtst.XTestFakeKeyEvent(display, key, 1, 0)
        x11.XFlush(display)
        time.sleep(0.02)
        for key in reversed(presses):
            xtst.XTestFakeKeyEvent(display, key, 0, 0)
    x11.XFlush(display)
    print(moment, flush=True)
