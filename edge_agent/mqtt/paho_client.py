"""How a paho client is made for a plan, and how it connects."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module
from edge_agent.mqtt.credentials import password, tls_context

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt
    import paho.mqtt.enums as mqtt_enums
    import paho.mqtt.packettypes as mqtt_packets
    import paho.mqtt.properties as mqtt_properties

    from edge_agent.mqtt.broker_options import Plan
else:
    mqtt = lazy_module("paho.mqtt.client")
    mqtt_enums = lazy_module("paho.mqtt.enums")
    mqtt_packets = lazy_module("paho.mqtt.packettypes")
    mqtt_properties = lazy_module("paho.mqtt.properties")

RECEIVE_BUFFER_BYTES = 1 << 17


def new_client(plan: Plan) -> mqtt.Client:
    """Return a client that neither connects nor sends anything by itself."""
    speaks_5 = plan.options.protocol != "3.1.1"
    client = mqtt.Client(
        mqtt_enums.CallbackAPIVersion.VERSION2,
        client_id=plan.client_id,
        protocol=mqtt_enums.MQTTProtocolVersion.MQTTv5
        if speaks_5
        else mqtt_enums.MQTTProtocolVersion.MQTTv311,
        clean_session=None if speaks_5 else plan.session_expiry_s == 0,
        reconnect_on_failure=False,
    )
    # No limit of paho's own: it forgets the broker's, and searches all messages at each PUBACK.
    client.max_inflight_messages_set(0)
    client.connect_timeout = plan.options.connect_timeout_s
    client.on_socket_open = _tune_socket
    if will := plan.will:
        properties = None
        if speaks_5:
            properties = mqtt_properties.Properties(mqtt_packets.PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = will.delay_s
        client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
    return client


def connect(client: mqtt.Client, plan: Plan) -> None:
    """Open the socket and send CONNECT; raise OSError or NotConnected."""
    options = plan.options
    client.username_pw_set(options.username, password(options))
    if options.tls:
        client.tls_set_context(tls_context(options.tls))
    if options.protocol == "3.1.1":
        client.connect(options.host, options.port, options.keepalive_s)
        return
    properties = mqtt_properties.Properties(mqtt_packets.PacketTypes.CONNECT)
    properties.MaximumPacketSize = options.max_packet_bytes
    properties.SessionExpiryInterval = plan.session_expiry_s
    client.connect(
        options.host,
        options.port,
        options.keepalive_s,
        clean_start=plan.session_expiry_s == 0,
        properties=properties,
    )


def _tune_socket(_client: object, _userdata: object, sock: object) -> None:
    if not isinstance(sock, socket.socket):
        return
    # Without it a QoS 1 round trip took 44 ms instead of 0.23 (Nagle against delayed PUBACKs).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # paho reads up to a hundred buffers before the length of a message can be looked at.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
