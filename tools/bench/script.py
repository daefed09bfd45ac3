"""What one writes in an afternoon: pictures in, verdicts out, everything in paho's on_message.

    python -m tools.bench.script HOST PORT MODEL TOPIC ANSWERS

It is here to be measured: no outbox, no restart, no bounds, and OpenCV as it comes.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as mqtt
from ai_edge_litert.interpreter import Interpreter


class Inspector:
    """A model and how to ask it."""

    def __init__(self, model: str) -> None:
        self._interpreter = Interpreter(model, num_threads=1)
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._output = self._interpreter.get_output_details()[0]

    def inspect(self, payload: bytes) -> tuple[int, float]:
        """Return the best class and its probability."""
        picture = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        height, width = self._input["shape"][1:3]
        picture = cv2.resize(picture, (int(width), int(height)))  # type: ignore[arg-type]
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        tensor: Any = picture[None]
        if self._input["dtype"] == np.int8:
            tensor = (tensor.astype(np.int16) - 128).astype(np.int8)
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        likely = self._interpreter.get_tensor(self._output["index"])[0].astype(np.float32)
        scale, zero_point = self._output["quantization"]
        best = int(likely.argmax())
        return best, float((likely[best] - zero_point) * scale)


def main() -> None:
    """Serve until killed."""
    host, port, model, topic, answers = sys.argv[1:]
    inspector = Inspector(model)

    def on_message(client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        label, score = inspector.inspect(bytes(message.payload))
        verdict = {
            "ts": time.time(),
            "part_id": message.topic.rpartition("/")[2],
            "verdict": "pass" if score <= 1 else "fail",
            "label": label,
            "score": score,
        }
        client.publish(answers, json.dumps(verdict), qos=1)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)  # type: ignore[attr-defined]
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(topic)
    client.connect(host, int(port))
    client.loop_forever()


if __name__ == "__main__":
    main()
