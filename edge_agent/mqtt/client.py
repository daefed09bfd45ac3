"""One life of an MQTT connection, from CONNECT to the first thing that breaks; paho is used here.

What paho 2 does and does not is written where this module answers it. Nothing is ever sent twice:
the client is thrown away with everything it still held.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from edge_agent.errors import NotConnected
from edge_agent.lazy import lazy_module
from edge_agent.mqtt.packets import publish_packet
from edge_agent.mqtt.paho_client import connect, new_client
from edge_agent.mqtt.receiving import Receiving
from edge_agent.mqtt.routes import Routes
from edge_agent.mqtt.sending import SendingNow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import paho.mqtt.client as mqtt
    import paho.mqtt.enums as mqtt_enums
    import paho.mqtt.packettypes as mqtt_packets
    import paho.mqtt.properties as mqtt_properties
    import paho.mqtt.reasoncodes as mqtt_reasons

    from edge_agent.metrics import Counters
    from edge_agent.mqtt.broker_options import Plan, Subscription
else:
    mqtt = lazy_module("paho.mqtt.client")
    mqtt_enums = lazy_module("paho.mqtt.enums")
    mqtt_packets = lazy_module("paho.mqtt.packettypes")
    mqtt_reasons = lazy_module("paho.mqtt.reasoncodes")

# paho looks after its keepalive between two waits for the socket.
LOOP_S = 0.5
# How long a stop waits for the broker's word on what was published last.
GOODBYE_S = 1.0
# A broker answers each publish by itself. Read one by one, that is a wake-up of this thread for
# each, a third of what publishing costs; so they are left to gather where they come often, while
# they take so little of the broker's room that nobody waits for it.
GATHER_S = 0.02
GATHER_MOST = 50
GATHER_SHARE = 4
UNSUPPORTED = "Unsupported protocol version"
# MQTT 5.0, 2.4: the reason code of who does not say why. paho also has it for a broken connection.
UNSPECIFIED = 0x80
UNSAID = "no reason was given"
# MQTT 5.0, 3.2.2.3.3 and 3.2.2.3.6: what holds where the broker names no limit.
NO_RECEIVE_MAXIMUM = 65535
NO_PACKET_MAXIMUM = 1 << 28


class Life:
    """One paho client, from CONNECT to the first thing that breaks."""

    def __init__(
        self,
        plan: Plan,
        opened: Callable[[Life, str], None],
        acked: Callable[[Any, str | None], None],
        counters: Counters,
    ) -> None:
        options = plan.options
        self.speaks_5 = options.protocol != "3.1.1"
        self.receive_maximum = NO_RECEIVE_MAXIMUM
        self.most_bytes = options.max_packet_bytes
        # 0: the broker answered CONNECT; 1: it closed instead; 2: it kept silent.
        self.unanswered = 0
        self.refused_protocol = False
        self._plan = plan
        self._opened = opened
        self._acked = acked
        self._counters = counters
        self._answered = self._is_open = self._closed = False
        self._why = self._said = ""
        self._routes = Routes(plan.subscriptions)
        # What each SUBSCRIBE without an answer asked for.
        self._asked: deque[list[tuple[str, int]]] = deque()
        self._gathers = not any(subscription.urgent for subscription in plan.subscriptions)
        # Held while the client is used, so that its sockets are not freed meanwhile.
        self._usable = threading.Lock()
        # The tokens of messages at QoS 1 that the broker has yet to answer, by their number.
        self._tokens: dict[int, Any] = {}
        self._finish_by_s = 0.0
        self._client = new_client(plan)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._sending = SendingNow(self._client, tls=options.tls is not None)
        self._receiving = Receiving(
            self._client,
            self._routes,
            counters,
            self._answer,
            speaks_5=self.speaks_5,
            # Before MQTT 5 nothing tells the broker our limit, and paho has none.
            most_bytes=options.max_packet_bytes,
        )

    def run(self, stopping: threading.Event) -> str:
        """Connect and serve until the end; return why it ended. Raises OSError, NotConnected.

        No socket is left open, however it ends.
        """
        try:
            return self._serve(stopping)
        finally:
            self._free()

    def _serve(self, stopping: threading.Event) -> str:
        options = self._plan.options
        deadline_s = time.monotonic() + options.connect_timeout_s
        connect(self._client, self._plan)
        result = mqtt_enums.MQTTErrorCode.MQTT_ERR_SUCCESS
        while result == mqtt_enums.MQTTErrorCode.MQTT_ERR_SUCCESS:
            if stopping.is_set():
                self.finish()
            slept_s = time.monotonic()
            result = self._client.loop(LOOP_S)
            woken_soon = time.monotonic() - slept_s < GATHER_S
            most = min(GATHER_MOST, self.receive_maximum // GATHER_SHARE)
            if self._gathers and woken_soon and len(self._tokens) <= most:
                time.sleep(GATHER_S)
            if not self._is_open and time.monotonic() > deadline_s:
                self.unanswered = 0 if self._answered else 2
                raise NotConnected(f"no answer within {options.connect_timeout_s} s")
        if not self._answered and not stopping.is_set():
            self.unanswered = 1
            return "closed by the broker before it answered"
        return self._why or mqtt.error_string(result)

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,  # noqa: FBT001
        properties: bytes,
        token: Any,  # noqa: ANN401
    ) -> bool:
        """Send one message; False when the socket is lost or the broker has enough."""
        with self._usable:
            if self._closed or len(self._tokens) >= self.receive_maximum:
                return False
            mid = self._new_mid() if qos else 0
            packet = publish_packet(topic, payload, mid=mid, retain=retain, properties=properties)
            if mid:
                self._tokens[mid] = token  # before it is sent: the answer may come first
            if self._sending.publish(packet):
                return True
            self._tokens.pop(mid, None)
            return False

    def resubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Receive these from now on; before the broker's answer to CONNECT it only takes note."""
        with self._usable:
            gone, new = self._routes.replace(subscriptions)
            self._gathers = not any(subscription.urgent for subscription in subscriptions)
            if self._answered and not self._closed:
                if gone:
                    self._client.unsubscribe(gone)
                    if self._is_open:
                        self._open()
                self._subscribe(new)

    def finish(self) -> None:
        """Say goodbye once nothing is unacknowledged (or the broker loses it); `run` then ends."""
        self._finish_by_s = self._finish_by_s or time.monotonic() + GOODBYE_S
        if not self._tokens or time.monotonic() >= self._finish_by_s:
            with self._usable:
                if not self._closed:
                    # Whoever published after it would write it, and close the socket, in a thread
                    # of their own.
                    said = self._client.disconnect()
                    self._closed = said == mqtt_enums.MQTTErrorCode.MQTT_ERR_SUCCESS

    def _free(self) -> None:
        # By nobody but the thread that runs paho's loop: the loop makes a new pair to be woken by
        # where it finds none, which another thread that was just closing the old would lose.
        with self._usable:
            self._closed = True
            if sock := self._client.socket():
                sock.close()
            self._client._reset_sockets()  # noqa: SLF001  paho leaves its wake-up pair to __del__

    # ------------------------------------------------------------------ called by paho

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: mqtt_reasons.ReasonCode,
        properties: mqtt_properties.Properties | None,
    ) -> None:
        self._answered = True
        if reason.is_failure:
            self._why = f"refused: {_in_words(reason)}"
            self.refused_protocol = self.speaks_5 and reason.getName() == UNSUPPORTED
            return
        self.receive_maximum = getattr(properties, "ReceiveMaximum", NO_RECEIVE_MAXIMUM)
        packet_maximum = getattr(properties, "MaximumPacketSize", NO_PACKET_MAXIMUM)
        self.most_bytes = min(self.most_bytes, packet_maximum)
        self._subscribe(self._routes.patterns())
        if not self._asked:
            self._open()

    def _subscribe(self, patterns: list[tuple[str, int]]) -> None:
        if patterns:
            self._asked.append(patterns)
            self._client.subscribe(patterns)

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _mid: int,
        reasons: list[mqtt_reasons.ReasonCode],
        _properties: mqtt_properties.Properties | None,
    ) -> None:
        self._routes.answered(self._asked.popleft(), [not reason.is_failure for reason in reasons])
        self._open()

    def _open(self) -> None:
        """Say that it is open, and once more where other patterns are refused than before."""
        refused = self._routes.refused
        if not self._is_open or refused != self._said:
            self._is_open, self._said = True, refused
            self._opened(self, refused)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: mqtt_reasons.ReasonCode,
        _properties: mqtt_properties.Properties | None,
    ) -> None:
        ours = not flags.is_disconnect_packet_from_server
        if ours and reason.value == UNSPECIFIED:
            said = "connection lost: the broker or the network is gone"
        else:
            said = f"{'connection lost' if ours else 'closed by the broker'}: {_in_words(reason)}"
        self._why = self._why or said

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        self._receiving.pass_on(
            message._topic,  # noqa: SLF001  what `topic` decodes, and may raise over
            bytes(message.payload),
            message.retain,
            getattr(message.properties, "ResponseTopic", None),
            getattr(message.properties, "CorrelationData", None),
        )

    # ------------------------------------------------------------------ what is published

    def _new_mid(self) -> int:
        # Of paho's: what it subscribes to has numbers of the same row.
        while (mid := self._client._mid_generate()) in self._tokens:  # noqa: SLF001
            pass
        return mid

    def _answer(self, mid: int, code: int) -> None:
        if mid not in self._tokens:
            return
        token, reason = self._tokens.pop(mid), _refusal(code)
        if reason is not None:
            self._counters.add("publish_refused")
        if token is not None:
            self._acked(token, reason)


def _refusal(code: int) -> str | None:
    """Return why a message was refused, by the reason code of its PUBACK; None: it was not."""
    if code < UNSPECIFIED:
        return None
    try:
        return _in_words(mqtt_reasons.ReasonCode(mqtt_packets.PacketTypes.PUBACK, identifier=code))
    except KeyError:
        return f"reason code 0x{code:02x}"


def _in_words(reason: mqtt_reasons.ReasonCode) -> str:
    return UNSAID if reason.value == UNSPECIFIED else reason.getName().lower()
