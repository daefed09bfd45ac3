"""A camera: a device of this machine, a network stream or a video file, through OpenCV."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, model_validator

import edge_agent.pictures.image  # noqa: F401  for its effect: it bounds and silences OpenCV
from edge_agent.errors import EndOfStream, NotConnected, no_such
from edge_agent.lazy import lazy_module
from edge_agent.line.pacing import Pace
from edge_agent.options import StrictOptions
from edge_agent.pictures import buffers
from edge_agent.sources.base import gives_pictures
from edge_agent.types import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    import cv2

    from edge_agent.pictures.image import Pixels
    from edge_agent.sources.base import Capture, SourceContext
else:
    cv2 = lazy_module("cv2")

# OpenCV waits this many seconds for a picture of a V4L2 device, 10 by default, and reads it once,
# when it is loaded.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
# FFmpeg would print several lines at each try to reach a camera that is away; that is a state here.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# A file that does not say how fast it was recorded.
DEFAULT_FPS = 25.0


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"rtsp", "rtsps", "http", "https"} or not parts.hostname:
        raise ValueError("url must begin with rtsp://, rtsps://, http:// or https:// and a host")
    if parts.username or parts.password:
        raise ValueError("url must not hold a user or password: use username and password_file")
    return url


Url = Annotated[str, Field(max_length=2048), AfterValidator(_without_credentials)]
TimeoutS = Annotated[float, Field(ge=0.1, le=60)]


class Options(StrictOptions):
    """A camera; exactly one of `device`, `url` and `file` must be given."""

    kind: Literal["camera"]
    device: Annotated[int, Field(ge=0, le=255)] | None = None
    """The number N of /dev/videoN."""
    url: Url | None = None
    """An RTSP or HTTP (MJPEG) stream."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """A video file, relative to the config file."""
    username: str | None = None
    password_file: str | None = None
    """Holds the password for `url`; read at each connect."""
    pacing: Literal["live", "file"] | None = None
    """live: the newest picture wins; file: every picture is inspected. By default as the source
    is: live for a device or url, file for a file."""
    realtime: bool = False
    """A file's pictures come no faster than they were recorded."""
    loop: bool = False
    """A file begins again at its end."""
    width: Annotated[int, Field(ge=1, le=16_384)] | None = None
    """Asked of a device, which may give another size."""
    height: Annotated[int, Field(ge=1, le=16_384)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Asked of a device; of a file: overrules the rate it was recorded at."""
    fourcc: Annotated[str, Field(pattern=r"^[ -~]{4}$")] | None = None
    """Pixel format asked of a device; MJPG lets many USB cameras be faster."""
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    """tcp loses no packets. One setting per process: OpenCV reads it from the environment."""
    open_timeout_s: TimeoutS = 3.0
    read_timeout_s: TimeoutS = 3.0
    """For a url; a device has 3 s, or OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT."""

    @model_validator(mode="after")
    def _one_origin(self) -> Options:
        given = [self.device is not None, self.url is not None, self.file is not None]
        if sum(given) != 1:
            raise ValueError("exactly one of device, url and file must be given")
        if self.url is None and (self.username or self.password_file):
            raise ValueError("username and password_file are for url")
        if self.file is None and (self.realtime or self.loop or self.pacing == "file"):
            raise ValueError("realtime, loop and pacing = 'file' are for file")
        return self


class CameraSource:
    """One `cv2.VideoCapture`, opened anew after each failure: a timed-out one never recovers."""

    def __init__(self, options: Options, context: SourceContext) -> None:
        self._options = options
        self._folder = context.folder
        self._is_file = options.file is not None
        self._live = (options.pacing or ("file" if self._is_file else "live")) == "live"
        self.capture: Capture = "newest" if self._live else "inline"
        self._name = _name(options)
        self._device: cv2.VideoCapture | None = None
        self._in_use = threading.Lock()
        self._closed = threading.Event()
        self._index = 0
        self._read_since_open = False
        self._shape: tuple[int, ...] | None = None
        self._pace = Pace(0.0, self._closed, context.counters)

    def connect(self) -> None:
        """Open the device, stream or file. Raises NotConnected."""
        with self._using():
            self._release()
            device = self._open()
            if not device.isOpened():
                device.release()
                raise NotConnected(f"{self._name}: {self._why_not()}")
            self._device = device
            self._read_since_open = False
            self._pace.period_s = self._file_period_s(device)
            self._pace.due_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture; blocks for up to the read timeout, whatever `timeout_s` is.

        Raises NotConnected when none came, EndOfStream at the end of a file and once closed.
        """
        if not self._closed.is_set() and not self._pace.wait(timeout_s):
            return None
        with self._using():
            if self._closed.is_set():
                raise EndOfStream(f"{self._name}: closed")
            if self._device is None:
                raise NotConnected(f"{self._name}: not open")
            good, pixels = self._device.read(self._array())
            wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
            if not good:
                self._release()
        if not good:
            self._missed()
            return None
        if not self._read_since_open:
            # What opening and the first picture took must not bring the second one earlier.
            self._pace.due_s = mono_ns / 1e9 + self._pace.period_s
        self._read_since_open = True
        self._shape = pixels.shape
        self._index += 1
        return Frame(pixels, wall_ns, mono_ns, self._index - 1, origin=self._name)  # type: ignore[arg-type]

    def close(self) -> None:
        """Read no more. A read that is under way ends by its own timeout, and then lets go."""
        self._closed.set()
        self._let_go_if_closed()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        try:
            with self._in_use:
                yield
        finally:
            self._let_go_if_closed()

    def _let_go_if_closed(self) -> None:
        # By whoever is the last to use it: a device may be opened by one at a time, and its next
        # user waits already.
        if self._closed.is_set() and self._in_use.acquire(blocking=False):
            self._release()
            self._in_use.release()

    def _array(self) -> Pixels | None:
        """Return what the next picture goes into; one of another size OpenCV puts elsewhere."""
        return None if self._shape is None else buffers.of_pictures.array(self._shape)

    def _missed(self) -> None:
        """Answer that no picture came: a file has ended, a camera is away."""
        if not self._is_file and not self._closed.is_set():
            raise NotConnected(f"{self._name}: no picture came in time")
        again = self._options.loop and self._read_since_open
        if self._closed.is_set() or not again:
            self._closed.set()
            raise EndOfStream(f"{self._name}: end of file")
        due_s = self._pace.due_s
        self.connect()
        self._pace.due_s = due_s

    def _release(self) -> None:
        if self._device is not None:
            self._device.release()
            self._device = None

    def _open(self) -> cv2.VideoCapture:
        options = self._options
        if options.device is not None:
            return _open_device(options.device, options)
        if options.file is not None:
            return cv2.VideoCapture(str(self._folder / options.file), cv2.CAP_FFMPEG)
        if self._name.startswith("rtsp"):
            os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{options.rtsp_transport}"
        timeouts = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(options.open_timeout_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(options.read_timeout_s * 1000)),
        ]
        url = _with_credentials(str(options.url), options.username, options.password_file)
        return cv2.VideoCapture(url, cv2.CAP_FFMPEG, timeouts)

    def _why_not(self) -> str:
        if self._options.file is not None and not (self._folder / self._options.file).is_file():
            return "no such file"
        if self._options.device is not None and not Path(self._name).exists():
            there = sorted(str(path) for path in Path("/dev").glob("video*"))
            return no_such("device", self._name, there)
        return "cannot be opened: away, refused, or nothing that OpenCV reads"

    def _file_period_s(self, device: cv2.VideoCapture) -> float:
        if not self._is_file or not (self._live or self._options.realtime):
            return 0.0
        recorded = device.get(cv2.CAP_PROP_FPS)
        return 1.0 / (self._options.fps or (recorded if recorded > 0 else DEFAULT_FPS))


def create(options: Options, context: SourceContext) -> CameraSource:
    """Build the source; opens nothing yet. Raises ConfigError."""
    gives_pictures(context)
    return CameraSource(options, context)


def video_backends() -> set[str]:
    """Return the names of what this OpenCV takes pictures with: V4L2, FFMPEG, GSTREAMER, ..."""
    known = cv2.videoio_registry
    return {known.getBackendName(one) for one in (*known.getBackends(),)}


def _name(options: Options) -> str:
    if options.device is not None:
        return f"/dev/video{options.device}"
    return options.url or Path(str(options.file)).name


def _open_device(number: int, options: Options) -> cv2.VideoCapture:
    device = cv2.VideoCapture(number)
    # The format first: it decides which sizes and rates there are.
    if options.fourcc is not None:
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*options.fourcc))
    for setting, value in (
        (cv2.CAP_PROP_FRAME_WIDTH, options.width),
        (cv2.CAP_PROP_FRAME_HEIGHT, options.height),
        (cv2.CAP_PROP_FPS, options.fps),
    ):
        if value is not None:
            device.set(setting, value)
    return device


def _with_credentials(url: str, username: str | None, password_file: str | None) -> str:
    if username is None:
        return url
    password = ""
    if password_file is not None:
        try:
            password = ":" + quote(Path(password_file).read_text().rstrip("\r\n"), safe="")
        except (OSError, UnicodeDecodeError) as error:
            raise NotConnected(f"password_file: {error}") from None
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{quote(username, safe='')}{password}@{parts.netloc}"))
