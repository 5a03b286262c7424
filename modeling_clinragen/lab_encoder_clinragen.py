"""The lab encoder: transformers' PatchTST over any number of patches, with padding masked out."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PatchTSTModel

from .configuration_clinragen import ClinRaGenConfig
from .errors import ModelInputError
from .export_clinragen import checks_values


class ClinRaGenLabEncoder(nn.Module):
    """Turns a stay's series into one language-model-width vector per patch (the paper's T_e, section 3.2).

    PatchTST encodes each variable separately. The features of a variable at a step (its value, whether it was
    measured, the age of the value, ...) lie side by side in time, so that a patch of `lab_patch_steps` steps is one
    PatchTST patch of `lab_patch_steps * lab_step_features` numbers. The variables' vectors of a patch are then
    concatenated and projected to the language model's width.

    In the layout "paper" the `(steps, variables)` numbers of a patch are reshaped to `(variables, steps)` without a
    transposition, as in the authors' code: each row of a patch has several variables at several times.
    """

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__()
        self.patch_steps = config.lab_patch_steps
        self.max_steps = config.lab_max_steps
        self.layout = config.lab_layout
        self.shape = (config.lab_config.num_input_channels, config.lab_step_features)
        self.channel_attention = config.lab_config.channel_attention
        self.patchtst = PatchTSTModel(config.lab_config)
        width = config.lab_config.num_input_channels * config.lab_config.d_model
        self.projection = nn.Linear(width, config.text_width)

    def forward(self, lab_features: torch.Tensor, lab_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a batch of series.

        Args:
            lab_features: `(batch, steps, variables, step_features)`.
            lab_mask: `(batch, steps)`, true where the step belongs to the stay. Steps after the last true one are
                padding and have no effect.

        Returns:
            Lab vectors `(batch, patches, width)` and their mask `(batch, patches)`; a patch counts when any of its
            steps does.

        Raises:
            ModelInputError: Shapes disagree, a value is not finite, the series is longer than the configuration
                allows, or in the layout "paper" of another length.
        """
        if lab_features.ndim != 4 or tuple(lab_features.shape[2:]) != self.shape:
            raise ModelInputError(
                f"lab_features has the shape {tuple(lab_features.shape)}; expected (batch, steps, {self.shape[0]}, "
                f"{self.shape[1]})"
            )
        if lab_mask.shape != lab_features.shape[:2]:
            raise ModelInputError(
                f"lab_mask has the shape {tuple(lab_mask.shape)} but lab_features covers "
                f"{tuple(lab_features.shape[:2])} (batch, steps)"
            )
        batch, steps, variables, features = lab_features.shape
        if steps > self.max_steps:
            raise ModelInputError(f"the series has {steps} steps but the lab encoder reads at most {self.max_steps}")
        if self.layout == "paper" and steps != self.max_steps:
            raise ModelInputError(f"the series has {steps} steps but the lab layout 'paper' needs {self.max_steps}")
        missing = -steps % self.patch_steps
        lab_mask = nn.functional.pad(lab_mask.bool(), (0, missing))
        # Zeroed by the mask, so that the content of padded steps in a half-filled patch has no effect.
        # A layer that dynamic quantization has replaced says nothing of its precision; these positions stay.
        precision = self.patchtst.encoder.positional_encoder.position_enc.dtype
        lab_features = nn.functional.pad(lab_features.to(precision), (0, 0, 0, 0, 0, missing))
        lab_features = lab_features.masked_fill(~lab_mask[:, :, None, None], 0.0)
        finite = torch.isfinite(lab_features)
        if checks_values() and not finite.all():
            raise ModelInputError(
                f"{int((~finite).sum())} of {finite.numel()} lab_features are NaN or infinite; make them with "
                "ClinRaGenLabFeatureExtractor, which marks what was not measured"
            )
        patches = (steps + missing) // self.patch_steps
        patch_mask = lab_mask.view(batch, patches, self.patch_steps).any(-1)
        if patches == 0:
            return lab_features.new_zeros(batch, 0, self.projection.out_features), patch_mask
        # (batch, steps, variables, features) -> (batch, variables, patches, patch_steps * features)
        if self.layout == "paper":
            patched = lab_features.view(batch, patches, variables, self.patch_steps).transpose(1, 2)
        else:
            patched = lab_features.view(batch, patches, self.patch_steps, variables, features)
            patched = patched.permute(0, 3, 1, 2, 4).reshape(batch, variables, patches, self.patch_steps * features)
        hidden = self._encode(patched, patch_mask)
        # (batch, variables, patches, lab_width) -> (batch, patches, variables * lab_width)
        joined = hidden.transpose(1, 2).reshape(batch, patches, -1)
        return self.projection(joined), patch_mask

    def _encode(self, patched: torch.Tensor, patch_mask: torch.Tensor) -> torch.Tensor:
        # PatchTSTEncoder.forward, except that attention over time ignores padded patches and that fewer patches than
        # configured are allowed: transformers' own forward supports neither. A test checks that they agree otherwise.
        encoder = self.patchtst.encoder
        batch, variables, patches, _ = patched.shape
        positions = encoder.positional_encoder
        hidden = encoder.embedder(patched) + positions.position_enc[:patches]
        hidden = positions.positional_dropout(hidden)
        # A stay without any step would have a softmax over nothing; it attends to its (unused) padding instead.
        visible = patch_mask | ~patch_mask.any(-1, keepdim=True)
        bias = torch.zeros_like(visible, dtype=hidden.dtype).masked_fill(~visible, torch.finfo(hidden.dtype).min)
        bias = bias.repeat_interleave(variables, dim=0)[:, None, None, :].expand(-1, 1, patches, -1)
        for layer in encoder.layers:
            hidden = hidden.reshape(batch * variables, patches, -1)
            hidden = self._sublayer(layer, layer.norm_sublayer1, layer.dropout_path1, hidden, layer.self_attn, bias)
            hidden = hidden.view(batch, variables, patches, -1)
            if self.channel_attention:
                hidden = hidden.transpose(1, 2).reshape(batch * patches, variables, -1)
                hidden = self._sublayer(
                    layer, layer.norm_sublayer2, layer.dropout_path2, hidden, layer.self_attn, None
                )
                hidden = hidden.view(batch, patches, variables, -1).transpose(1, 2)
            hidden = self._sublayer(layer, layer.norm_sublayer3, layer.dropout_path3, hidden, layer.ff, None)
        return hidden

    @staticmethod
    def _sublayer(
        layer: nn.Module,
        norm: nn.Module,
        dropout: nn.Module,
        hidden: torch.Tensor,
        block: nn.Module,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        inputs = norm(hidden) if layer.pre_norm else hidden
        output = block(inputs) if block is layer.ff else block(hidden_states=inputs, attention_mask=bias)[0]
        hidden = hidden + dropout(output)
        return hidden if layer.pre_norm else norm(hidden)


__all__ = ["ClinRaGenLabEncoder"]
