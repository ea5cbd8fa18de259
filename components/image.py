"""The container image in which every pipeline step runs on a cluster."""

TRAIN_IMAGE = "intent-store/train:0.1.0"
