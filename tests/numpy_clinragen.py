"""The whole forward pass a second time, in NumPy, from a state dict alone: one patient, no padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import erf, log, pi, sqrt

import numpy as np

Array = np.ndarray


def softmax(scores: Array) -> Array:
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def attend(query: Array, key: Array, value: Array, heads: int, scale: float, bias: Array | float = 0.0) -> Array:
    """Multi-head attention of `(positions, heads * width)` arrays; `bias` is `(heads, queries, keys)`."""
    width = query.shape[1]
    query, key, value = (x.reshape(len(x), heads, width // heads).swapaxes(0, 1) for x in (query, key, value))
    shares = softmax(query @ key.swapaxes(1, 2) * scale + bias)
    return (shares @ value).swapaxes(0, 1).reshape(-1, width)


class NumpyClinRaGen:
    """A T5-based ClinRaGen of the tests' `make_model`, without dropout.

    Args:
        weights: State dict as float64 arrays.
        text: Shape of the T5: `heads`, `lora_scale`, and `scaled`, whether its output is scaled before the head.
        lab: Shape of the lab side: `heads`, `patch_steps`, `layout`.
        knowledge: `heads` and `fusion`.
    """

    def __init__(self, weights: Mapping[str, Array], text: dict, lab: dict, knowledge: dict) -> None:
        self.weights, self.text, self.lab, self.knowledge = weights, text, lab, knowledge

    def __getitem__(self, name: str) -> Array:
        return self.weights[name]

    def linear(self, name: str, x: Array) -> Array:
        plain = f"{name}.weight" in self.weights
        y = x @ self[f"{name}.weight" if plain else f"{name}.base_layer.weight"].T
        if f"{name}.bias" in self.weights:
            y = y + self[f"{name}.bias"]
        if not plain:
            lora_a, lora_b = (self[f"{name}.lora_{matrix}.default.weight"] for matrix in "AB")
            y = y + self.text["lora_scale"] * x @ lora_a.T @ lora_b.T
        return y

    # The lab side

    def lab_vectors(self, features: Array) -> Array:
        """`(steps, variables, features)` to `(patches, width)`."""
        size, (steps, variables, _) = self.lab["patch_steps"], features.shape
        rows = np.concatenate([features, np.zeros((-steps % size, *features.shape[1:]))])
        patches = []
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            if self.lab["layout"] == "paper":
                patches.append(block.ravel().reshape(variables, -1))
            else:
                patches.append(np.stack([block[:, variable].ravel() for variable in range(variables)]))
        if not patches:
            return self._fuse(np.zeros((0, self["lab_encoder.projection.bias"].size)))
        read = np.stack([self._patchtst(np.stack([patch[at] for patch in patches])) for at in range(variables)])
        joined = np.stack([read[:, patch].ravel() for patch in range(len(patches))])
        return self._fuse(self.linear("lab_encoder.projection", joined))

    def _patchtst(self, patches: Array) -> Array:
        # One variable: (patches, patch length) to (patches, lab width).
        name = "lab_encoder.patchtst.encoder"
        x = self.linear(f"{name}.embedder.input_embedding", patches)
        width = x.shape[1]
        # Sine positions: standardised and divided by ten.
        angles = np.arange(self["lab_encoder.patchtst.encoder.positional_encoder.position_enc"].shape[0])[:, None]
        angles = angles * np.exp(np.arange(0, width, 2) * -(log(10000.0) / width))
        positions = np.stack((np.sin(angles), np.cos(angles)), axis=-1).reshape(len(angles), width)
        positions = (positions - positions.mean()) / (positions.std(ddof=1) * 10)
        x = x + positions[: len(x)]
        layer = 0
        while f"{name}.layers.{layer}.norm_sublayer1.weight" in self.weights:
            inner = f"{name}.layers.{layer}"
            normed = self._layer_norm(f"{inner}.norm_sublayer1", x)
            query, key, value = (self.linear(f"{inner}.self_attn.{part}_proj", normed) for part in "qkv")
            scale = (width / self.lab["heads"]) ** -0.5
            x = x + self.linear(f"{inner}.self_attn.out_proj", attend(query, key, value, self.lab["heads"], scale))
            opened = self.linear(f"{inner}.ff.0", self._layer_norm(f"{inner}.norm_sublayer3", x))
            gelu = 0.5 * opened * (1 + np.vectorize(erf)(opened / sqrt(2)))
            x = x + self.linear(f"{inner}.ff.3", gelu)
            layer += 1
        return x

    def _layer_norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * self[f"{name}.weight"] + self[f"{name}.bias"]

    def _fuse(self, labs: Array) -> Array:
        fusion, name = self.knowledge["fusion"], "knowledge_attention"
        vocabulary = self["language_model.shared.weight"][self["knowledge_token_ids"].astype(int)]
        if fusion == "none":
            return labs
        if fusion == "tokens":
            return np.concatenate([labs, vocabulary])
        prototypes = self[f"{name}.prototype_map.weight"] @ vocabulary
        query, key, value = (
            self.linear(f"{name}.{part}_proj", x)
            for part, x in zip("qkv", (labs, prototypes, prototypes), strict=True)
        )
        heads = self.knowledge["heads"]
        fused = self.linear(f"{name}.out_proj", attend(query, key, value, heads, (query.shape[1] / heads) ** -0.5))
        if fusion == "gated":
            gate = 1 / (1 + np.exp(-self.linear(f"{name}.gate", np.concatenate([labs, fused], axis=1))))
            return labs + gate * fused
        return fused

    # The language model

    def loss_per_token(self, tokens: Sequence[int], features: Array, labels: Sequence[int]) -> Array:
        """Negative log-likelihood of every label."""
        embedding = self["language_model.shared.weight"]
        read = self._stack("encoder", np.concatenate([embedding[list(tokens)], self.lab_vectors(features)]), None)
        written = self._stack("decoder", embedding[[0, *labels[:-1]]], read)
        if self.text["scaled"]:
            written = written * embedding.shape[1] ** -0.5
        logits = written @ self["language_model.lm_head.weight"].T
        chances = softmax(logits)
        return -np.log(chances[np.arange(len(labels)), list(labels)])

    def _stack(self, half: str, x: Array, read: Array | None) -> Array:
        name, heads = f"language_model.{half}", self.text["heads"]
        bias = self._positions(half, len(x))
        block = 0
        while f"{name}.block.{block}.layer.0.layer_norm.weight" in self.weights:
            inner = f"{name}.block.{block}.layer"
            normed = self._rms_norm(f"{inner}.0.layer_norm", x)
            x = x + self._t5_attention(f"{inner}.0.SelfAttention", normed, normed, heads, bias)
            if read is not None:
                normed = self._rms_norm(f"{inner}.1.layer_norm", x)
                x = x + self._t5_attention(f"{inner}.1.EncDecAttention", normed, read, heads, 0.0)
            last = 1 if read is None else 2
            normed = self._rms_norm(f"{inner}.{last}.layer_norm", x)
            feed = f"{inner}.{last}.DenseReluDense"
            gate = self.linear(f"{feed}.wi_0", normed)
            gate = 0.5 * gate * (1 + np.tanh(sqrt(2 / pi) * (gate + 0.044715 * gate**3)))
            x = x + self.linear(f"{feed}.wo", gate * self.linear(f"{feed}.wi_1", normed))
            block += 1
        return self._rms_norm(f"{name}.final_layer_norm", x)

    def _t5_attention(self, name: str, x: Array, seen: Array, heads: int, bias: Array | float) -> Array:
        query, key, value = (
            self.linear(f"{name}.{part}", source) for part, source in zip("qkv", (x, seen, seen), strict=True)
        )
        return self.linear(f"{name}.o", attend(query, key, value, heads, 1.0, bias))

    def _rms_norm(self, name: str, x: Array) -> Array:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * self[f"{name}.weight"]

    def _positions(self, half: str, length: int) -> Array:
        # T5's relative positions: exact up to some distance, logarithmic up to 128, in 32 buckets.
        table = self[f"language_model.{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        bias = np.zeros((table.shape[1], length, length))
        for query in range(length):
            for key in range(length):
                if half == "decoder" and key > query:
                    bias[:, query, key] = -np.inf
                    continue
                buckets = 16 if half == "encoder" else 32
                distance, exact = abs(key - query), buckets // 2
                if distance >= exact:
                    distance = exact + int(log(distance / exact) / log(128 / exact) * (buckets - exact))
                bucket = min(distance, buckets - 1) + (16 if half == "encoder" and key > query else 0)
                bias[:, query, key] = table[bucket]
        return bias
