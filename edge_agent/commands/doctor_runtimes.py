"""What pictures are decoded with and models run on."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.backends.onnx import runtime_version
from edge_agent.backends.tflite import runtime_module
from edge_agent.commands.doctor_findings import Finding
from edge_agent.errors import BadInput, ModelError
from edge_agent.lazy import lazy_module
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.pictures import image
from edge_agent.sources.camera import video_backends

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from edge_agent.commands.doctor_findings import Gateway
else:
    np = lazy_module("numpy")

# Where kernels offer GPUs, NPUs and USB accelerators; models run on the CPU without them.
ACCELERATORS = ("dri/renderD*", "accel/accel*", "apex_*", "nvidia[0-9]*", "hailo*", "ethosu*")


def check_codecs(gateway: Gateway) -> Iterator[Finding]:
    """Decode a JPEG; see whether OpenCV was built with what devices and streams need."""
    picture = np.full((16, 16, 3), 128, dtype=np.uint8)
    try:
        image.decode(image.encode_jpeg(picture))
    except (BadInput, ImportError, OSError) as error:
        advice = "install the package again: simplejpeg or OpenCV is damaged"
        yield Finding("fail", "codecs", f"a JPEG cannot be decoded: {error}", advice)
        return
    yield Finding("ok", "codecs", "JPEG")
    there = video_backends()
    for backend, field, purpose in (
        ("V4L2", "device", "cameras of this machine"),
        ("FFMPEG", "url", "RTSP and HTTP cameras and video files"),
    ):
        if backend in there:
            yield Finding("ok", "codecs", f"OpenCV's {backend}, for {purpose}")
        else:
            needed = _has_camera_with(gateway, field)
            text = f"this OpenCV has no {backend}: no {purpose}"
            advice = "install opencv-python-headless from the lock file"
            yield Finding("fail" if needed else "warn", "codecs", text, advice)


def check_runtimes(gateway: Gateway) -> Iterator[Finding]:
    """Import the runtimes; list the accelerators that the kernel offers."""
    needed = _backends_of_models(gateway)
    try:
        name = runtime_module().__name__.partition(".")[0].replace("_", "-")
        yield Finding("ok", "runtimes", f"{name} {metadata.version(name)}, XNNPACK on the CPU")
    except ModelError as error:
        yield _absent("tflite" in needed, str(error), "ai-edge-litert")
    try:
        yield Finding("ok", "runtimes", f"onnxruntime {runtime_version()} on the CPU")
    except ModelError as error:
        yield _absent("onnx" in needed, str(error), "onnxruntime")
    found = sorted(str(path) for each in ACCELERATORS for path in Path("/dev").glob(each))
    yield Finding("ok", "runtimes", f"accelerators: {', '.join(found) or 'none'}")


def _absent(needed: bool, text: str, package: str) -> Finding:  # noqa: FBT001
    return Finding("fail" if needed else "warn", "runtimes", text, f"install {package}")


def _has_camera_with(gateway: Gateway, field: str) -> bool:
    pipelines = gateway.config.pipelines.values() if gateway.config else ()
    return any(
        pipeline.source.kind == "camera" and getattr(pipeline.source, field) is not None
        for pipeline in pipelines
    )


def _backends_of_models(gateway: Gateway) -> set[str]:
    found = set()
    for model in gateway.config.models if gateway.config else ():
        try:
            found.add(str(load_bundle(gateway.folder / model).variant.runtime))
        except ModelError:
            continue  # check_models says it
    return found
