"""A stock KServe model: what its documentation shows, with a Hugging Face encoder inside."""

import sys
from typing import Any

import torch
from kserve import Model, ModelServer
from transformers import AutoTokenizer, BertModel


class Stock(Model):
    """Mean of the tokens of the last four layers, one text after another."""

    def __init__(self, weights: str):
        super().__init__("stock")
        self.tokenizer = AutoTokenizer.from_pretrained(weights)
        self.model = BertModel.from_pretrained(weights).eval()
        self.ready = True

    def predict(self, payload: Any, headers: Any = None) -> dict:
        """Return a vector per instance."""
        vectors = []
        for instance in payload["instances"]:
            text = f"[CLS] {instance['text']} [SEP]"
            ids = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
            with torch.inference_mode():
                states = self.model(
                    input_ids=ids["input_ids"], output_hidden_states=True
                ).hidden_states
            vectors.append(torch.cat(states[-4:], dim=2).mean(dim=1)[0].tolist())
        return {"predictions": vectors}


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False).start([Stock(sys.argv[1])])
