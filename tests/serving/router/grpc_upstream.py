"""A KServe server that answers with its name: `python -m tests.serving.router.grpc_upstream`."""

import asyncio
import sys

from kserve import InferOutput, InferResponse, Model, ModelServer


class Named(Model):
    def __init__(self, service, name):
        super().__init__(service)
        self.answer, self.ready, self.count = name, True, 0

    async def predict(self, payload, headers=None):
        self.count += 1
        asked = payload.inputs[0].as_numpy().ravel()[0].decode()
        if asked == "slow":
            await asyncio.sleep(1)
        if asked == "fail":
            raise RuntimeError("as asked")
        headers = headers or {}
        told = [f"{key}={value}" for key, value in sorted(headers.items()) if "intent" in key]
        outputs = []
        facts = {"name": self.answer, "unit": headers.get("x-member-id", ""), "count": self.count}
        for name, value in facts.items():
            output = InferOutput(name, [1], "BYTES")
            output.set_data_from_numpy(_bytes([str(value)]), binary_data=False)
            outputs.append(output)
        output = InferOutput("told", [len(told)], "BYTES")
        output.set_data_from_numpy(_bytes(told), binary_data=False)
        return InferResponse(payload.id or "1", self.name, [*outputs, output])


def _bytes(values):
    import numpy as np

    return np.array([value.encode() for value in values], dtype=object)


if __name__ == "__main__":
    name, http, grpc = sys.argv[1:]
    ModelServer(http_port=int(http), grpc_port=int(grpc), workers=1).start([Named("ranker", name)])
