"""Sends the outbox to the broker, and the newest state of everything else beside it.

Theory of operation. One thread owns all that is decided here. Commits of the outbox, the broker's
answers, connects and losses reach it as events, in order, through one queue; after each batch of
events it fills the window: at most 100 publishes are unacknowledged, and a backlog may take 80 of
them, so that a live verdict never waits for more than the network. A row is done when the broker
has acknowledged all its publishes. A lost connection forgets what was in flight: it is still in the
outbox, and goes out again with `replay: true`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from edge_agent.broker import Connection, Will
from edge_agent.clock import utc_text
from edge_agent.lanes import Lanes
from edge_agent.messages import GapMessage, LastMessage, StatusMessage, encode
from edge_agent.metrics import Counters
from edge_agent.registry import plugin
from edge_agent.topics import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.broker_options import BrokerOptions, Subscription
    from edge_agent.codecs.base import Codec
    from edge_agent.config import Device
    from edge_agent.gaps import Gap
    from edge_agent.lanes import Next
    from edge_agent.outbox import Outbox
    from edge_agent.outbox_types import Row
