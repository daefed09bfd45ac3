"""A network camera on loopback: MJPEG over HTTP that can stall, drip, freeze, die and come back."""

from __future__ import annotations

import base64
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

Mood = Literal["good", "stalled", "dripping", "frozen", "black", "white", "garbage"]

PICTURE_S = 0.02
GREY_STEP = 12  # codecs stray by a few grey values


def picture(number: int) -> Pixels:
    """Return picture `number`: 160x120, its grey value says which it is (modulo 20)."""
    return np.full((120, 160, 3), GREY_STEP * (number % 20), np.uint8)


def number_of(pixels: Pixels) -> int:
    """Return the number of a picture that went through a lossy codec."""
    return round(float(pixels.mean()) / GREY_STEP)


class MjpegCamera:
    """Serves pictures until stopped; `mood` may change at any time."""

    def __init__(self, scene: Callable[[int], Pixels] = picture) -> None:
        self._scene = scene
        self.mood: Mood = "good"
        self.credentials = ""
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.viewers = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream"

    def start(self) -> None:
        self._stopping.clear()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.viewers += 1
                try:
                    camera.serve(self)
                finally:
                    camera.viewers -= 1

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                """Say nothing: viewers that hang up are what these tests are about."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        given = handler.headers.get("Authorization", "").removeprefix("Basic ")
        if self.credentials and base64.b64decode(given).decode() != self.credentials:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        number = 0
        while not self._stopping.wait(PICTURE_S):
            if self.mood == "stalled":
                continue
            jpeg = self._jpeg(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            part = head.encode() + jpeg + b"\r\n"
            step = 1 if self.mood == "dripping" else len(part)
            for start in range(0, len(part), step):
                handler.wfile.write(part[start : start + step])
                if step == 1 and self._stopping.wait(0.05):
                    return
            number += self.mood != "frozen"

    def _jpeg(self, number: int) -> bytes:
        if self.mood == "garbage":
            return random.Random(number).randbytes(3000)
        pixels = self._scene(number)
        if self.mood in {"black", "white"}:
            pixels = np.full_like(pixels, 0 if self.mood == "black" else 255)
            pixels[number % 100 :: 100, ::7] ^= 3  # a sensor is never quite still
        return cv2.imencode(".jpg", pixels)[1].tobytes()
