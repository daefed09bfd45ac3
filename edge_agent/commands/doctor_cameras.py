"""Cameras: devices of this machine and the agent's rights to them; streams that must answer."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent import registry
from edge_agent.commands.doctor_findings import Finding
from edge_agent.errors import ConfigError, EdgeAgentError, NotConnected
from edge_agent.metrics import Counters
from edge_agent.sources.base import SourceContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway, Level
    from edge_agent.sources.base import Source

DEV = Path("/dev")
# Linux, include/uapi/linux/videodev2.h: struct v4l2_capability.
VIDIOC_QUERYCAP = 0x80685600
CAPABILITY = struct.Struct("16s32s32sIII3I")
CAPTURES = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE
# A camera may need some seconds from its first word to its first picture.
PICTURE_S = 8.0


def check_cameras(gateway: Gateway, dev: Path = DEV) -> Iterator[Finding]:
    """Look at every video device below `dev`, and at every camera of the config."""
    wanted = _wanted(gateway)
    there = sorted(dev.glob("video*"), key=lambda path: (len(path.name), path.name))
    for node in there:
        yield from _device(node, gateway.user, needed=node.name in wanted)
    for name, pipeline in wanted.items():
        if dev / name not in there:
            found = ", ".join(node.name for node in there) or "none"
            text = f"{dev / name} of pipeline {pipeline} is not there; there are: {found}"
            advice = "is it plugged in? `dmesg | tail`; a stable name: `ls -l /dev/v4l/by-id`"
            yield Finding("fail", "cameras", text, advice)
    if not there and not wanted:
        yield Finding("ok", "cameras", "no video devices, and none in the config")
    yield from _streams(gateway)


def _wanted(gateway: Gateway) -> dict[str, str]:
    """Return the devices of the config by name, with the pipeline that reads each."""
    pipelines = gateway.config.pipelines if gateway.config else {}
    return {
        f"video{pipeline.source.device}": name
        for name, pipeline in pipelines.items()
        if pipeline.source.kind == "camera" and pipeline.source.device is not None
    }


def _device(node: Path, user: str, *, needed: bool) -> Iterator[Finding]:
    wrong: Level = "fail" if needed else "warn"
    if refused := _why_no_right(node, user):
        group = _group_name(node.stat().st_gid)
        advice = f"`usermod --append --groups {group} {user}`, then restart the agent"
        yield Finding(wrong, "cameras", f"{user} may not use {node}: {refused}", advice)
        return
    try:
        card, captures = _query(node)
    except OSError as error:
        advice = "no camera behind it, or the unit's DeviceAllow= does not have it"
        yield Finding(wrong, "cameras", f"{node} does not open: {error.strerror}", advice)
        return
    if captures:
        yield Finding("ok", "cameras", f"{node}: {card}")
    elif needed:
        advice = "cameras have several devices; take the one that captures"
        yield Finding("fail", "cameras", f"{node}: {card} gives no pictures", advice)


def _query(node: Path) -> tuple[str, bool]:
    """Return the name of a video device and whether it captures. Raises OSError."""
    descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, bytes(CAPABILITY.size))
    finally:
        os.close(descriptor)
    _, card, _, _, all_nodes, this_node, *_ = CAPABILITY.unpack(answer)
    return card.rstrip(b"\0").decode("utf-8", "replace"), bool((this_node or all_nodes) & CAPTURES)


def _why_no_right(node: Path, user: str) -> str:
    """Return why `user` may not read and write `node`, by its owner, group and mode; "" if so."""
    found = node.stat()
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return f"there is no user {user}"
    groups = os.getgrouplist(user, account.pw_gid)
    bits = found.st_mode
    if account.pw_uid == found.st_uid:
        bits >>= 6
    elif found.st_gid in groups:
        bits >>= 3
    if account.pw_uid == 0 or bits & 0o6 == 0o6:  # noqa: PLR2004  rw
        return ""
    mode = stat.filemode(found.st_mode)
    return f"it is {mode} and of group {_group_name(found.st_gid)}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _streams(gateway: Gateway) -> Iterator[Finding]:
    """Take one picture from each camera that is reached by network or is a file."""
    config = gateway.config
    for name, pipeline in config.pipelines.items() if config else ():
        if config is None or pipeline.source.kind != "camera" or pipeline.source.device is not None:
            continue
        context = SourceContext(
            pipeline=name,
            device=config.device.name,
            broker=config.broker,
            counters=Counters(),
            window=None,
            folder=gateway.folder,
        )
        what = f"{pipeline.source.url or pipeline.source.file} of pipeline {name}"
        try:
            size = _one_picture(registry.create("sources", pipeline.source, context))
        except ConfigError:
            continue  # check_models says it
        except EdgeAgentError as error:
            advice = "reachable from here (ping, firewall)? user and password_file right?"
            yield Finding("fail", "cameras", f"{what}: {error}", advice)
        else:
            yield Finding("ok", "cameras", f"{what}: {size}")


def _one_picture(source: Source) -> str:
    """Return the size of the first picture. Raises NotConnected, EndOfStream, BadInput."""
    try:
        source.connect()
        deadline_s = time.monotonic() + PICTURE_S
        while time.monotonic() < deadline_s:
            if (frame := source.read(0.5)) is not None:
                height, width = frame.pixels.shape[:2]  # type: ignore[union-attr]
                return f"{width}x{height}"
    finally:
        source.close()
    raise NotConnected(f"no picture within {PICTURE_S:g} s")
