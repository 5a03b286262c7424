"""Floating-point operations of T5, counted from its shape, and the peak rates of devices."""

from __future__ import annotations

from transformers import T5Config

# Dense bfloat16, in TFLOP/s, by torch's name of the device; from the vendor's data sheets.
PEAKS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "RTX 4090": 165.0,
}
TRAINING = 3
"""Operations of a training step relative to its forward pass: the backward pass has one product for the gradient of a
layer's input and one for that of its weights."""


def peak_flops(device_name: str) -> float | None:
    """The device's peak rate in FLOP/s, or None where it is not in the table."""
    return next((1e12 * peak for name, peak in PEAKS.items() if name in device_name), None)


def forward_flops(config: T5Config, batch: int, source: int, target: int) -> int:
    """Matrix products of one forward pass, a multiplication and an addition being two operations.

    Args:
        config: The shape; with a gated feed-forward layer.
        batch: Examples.
        source: Positions of the encoder, padding included.
        target: Positions of the decoder and of the head.
    """
    inner = config.num_heads * config.d_kv
    projection = config.d_model * inner
    feed_forward = 3 * config.d_model * config.d_ff
    encoder_layer = source * (4 * projection + feed_forward) + 2 * source * source * inner
    own = target * 4 * projection + 2 * target * target * inner
    # Queries and outputs are at the decoder's positions, keys and values at the encoder's.
    across = 2 * target * projection + 2 * source * projection + 2 * target * source * inner
    decoder_layer = own + across + target * feed_forward
    head = target * config.d_model * config.vocab_size
    return 2 * batch * (config.num_layers * encoder_layer + config.num_decoder_layers * decoder_layer + head)
