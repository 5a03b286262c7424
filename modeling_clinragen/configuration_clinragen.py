"""Configuration of ClinRaGen: one sub-config per component, and the numbers that connect them."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PatchTSTConfig
from transformers.configuration_utils import PreTrainedConfig

from .custom_tasks_clinragen import CustomTasks
from .errors import SettingsError
from .hub_guard_clinragen import refuse_hub_writes

FUSIONS = ("attention", "gated", "tokens", "none")
ATTENDING = ("attention", "gated")
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
LISTS = ("decoder", "head")
STEP_FEATURES = {"patches": 4, "paper": 1}
"""Numbers that describe one variable at one step, by layout of the labs."""
LAB_DEFAULTS = {"norm_type": "layernorm", "scaling": None, "do_mask_input": False}
"""Differences to PatchTST's defaults: levels are kept, no statistics over a batch, and no input is masked."""


class ClinRaGenConfig(PreTrainedConfig):
    r"""Configuration of [`ClinRaGenForConditionalGeneration`].

    Args:
        text_config: The language model's config (or its dict with a `model_type`); it decides the backbone.
        lab_config: The lab encoder's `PatchTSTConfig` (or dict). `num_input_channels` is the number of variables,
            `patch_length` is `lab_patch_steps * lab_step_features`, `context_length` a multiple of it. Missing keys
            of a dict are taken from `LAB_DEFAULTS`, then from PatchTST.
        diseases: Names of the diseases that the model may diagnose, in label order.
        variables: Keys of the bedside variables, in the order of the last axis of the series.
        lab_layout: "patches", or "paper" for the authors' code: only values, on a fixed number of steps, with
            variables and times mixed in every patch (see `ClinRaGenLabFeatureExtractor`, `ClinRaGenLabEncoder`).
        lab_patch_steps: Time steps in one patch (the paper: 8).
        lab_step_features: Numbers that describe one variable at one step; by default those of the feature extractor
            in this layout: 4, in the layout "paper" 1.
        lab_summary: Whether a summary token of every variable follows the patches (see `ClinRaGenSummaryEncoder`). Not
            in the paper; needs the layout "patches".
        lab_summary_width: Width of the summary encoder's hidden layer.
        disease_head: Whether a head on the hidden states gives each disease a probability (see
            `ClinRaGenDiseaseHead`). Not in the paper.
        disease_heads: Attention heads of that head.
        disease_head_pooled: Whether a linear layer on the ranges of the hidden states adds to its logits.
        disease_loss_weight: Weight of its loss, a sum over the diseases, beside the mean loss of a target token.
        evidence_loss_weight: Weight of the loss of its attention (see `evidence_loss`), where batches have evidence.
        list_from: Whose diagnoses a target begins with: "decoder", as it writes them (the paper), or "head", those
            that the head finds probable.
        num_knowledge_tokens: Size of the knowledge vocabulary V_k; 0 where `knowledge_fusion` is "none".
        num_prototypes: Prototypes that the embeddings of V_k are mapped to (the authors' code: 24).
        knowledge_heads, knowledge_head_dim, knowledge_dropout: The cross-attention (the authors' code: 8, 32, 0.1).
        knowledge_fusion: "attention" (the paper: the attention output replaces the lab vector), "gated" (it is added
            to the lab vector through a learned gate), "tokens" (the lab vectors are unchanged, and the embeddings of
            all of V_k follow them) or "none" (no knowledge).
        lora: LoRA settings `{r, lora_alpha, lora_dropout, target_modules}` for the language model, or None.
        base_model_name_or_path: The pretrained language model that the model was built around, or None.
        base_model_digest: Digest of its weights (see `backbone_digest`).
        trainable: The last arguments of `set_trainable`, which are applied again on loading; None: everything learns.
        phase: The last training phase this checkpoint finished ("note", "lab", "multimodal"), or None.
        credentialed: Whether anything in the model was learned from data under a data use agreement; an unrecorded
            origin counts as such. Such a model cannot be pushed to the Hub.

    Raises:
        SettingsError: A component is missing, or numbers that must agree differ; the message has both.

    The architecture is section 3 of ACL 2025 long 540.
    """

    model_type = "clinragen"
    sub_configs = {"text_config": AutoConfig, "lab_config": PatchTSTConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(  # noqa: PLR0913 (configs of transformers' kind)
        self,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        lab_config: dict[str, Any] | PatchTSTConfig | None = None,
        diseases: list[str] | None = None,
        variables: list[str] | None = None,
        lab_layout: str = "patches",
        lab_patch_steps: int = 8,
        lab_step_features: int | None = None,
        lab_summary: bool = False,
        lab_summary_width: int = 64,
        disease_head: bool = False,
        disease_heads: int = 4,
        disease_head_pooled: bool = False,
        disease_loss_weight: float = 1.0,
        evidence_loss_weight: float = 0.0,
        list_from: str = "decoder",
        num_knowledge_tokens: int = 0,
        num_prototypes: int = 24,
        knowledge_heads: int = 8,
        knowledge_head_dim: int = 32,
        knowledge_dropout: float = 0.1,
        knowledge_fusion: str = "attention",
        lora: dict[str, Any] | None = None,
        base_model_name_or_path: str | None = None,
        base_model_digest: str | None = None,
        trainable: dict[str, bool] | None = None,
        phase: str | None = None,
        credentialed: bool = True,
        **kwargs: Any,
    ) -> None:
        if lab_layout not in STEP_FEATURES:
            raise SettingsError(f"unknown lab_layout '{lab_layout}'; choose one of {', '.join(STEP_FEATURES)}")
        if lab_step_features is None:
            lab_step_features = STEP_FEATURES[lab_layout]
        text: Any = text_config if text_config is not None else {"model_type": "t5"}
        if isinstance(text, dict):
            try:
                text = AutoConfig.for_model(**{"model_type": None, **text})
            except ValueError as error:
                raise SettingsError(
                    f"text_config.model_type is '{text.get('model_type')}', which is unknown to transformers; give "
                    "that of a language model, such as t5"
                ) from error
        lab: Any = lab_config
        if lab is None:
            lab = {
                "num_input_channels": 11,
                "patch_length": lab_patch_steps * lab_step_features,
                "patch_stride": lab_patch_steps * lab_step_features,
                "context_length": 125 * lab_patch_steps * lab_step_features,
            }
        if isinstance(lab, dict):
            lab = PatchTSTConfig(**{**LAB_DEFAULTS, **lab})
        self.text_config = text
        self.lab_config = lab
        self.diseases = list(diseases or [])
        self.variables = list(variables or [])
        self.lab_layout = lab_layout
        self.lab_patch_steps = lab_patch_steps
        self.lab_step_features = lab_step_features
        self.lab_summary = lab_summary
        self.lab_summary_width = lab_summary_width
        self.disease_head = disease_head
        self.disease_heads = disease_heads
        self.disease_head_pooled = disease_head_pooled
        self.disease_loss_weight = disease_loss_weight
        self.evidence_loss_weight = evidence_loss_weight
        self.list_from = list_from
        self.num_knowledge_tokens = num_knowledge_tokens
        self.num_prototypes = num_prototypes
        self.knowledge_heads = knowledge_heads
        self.knowledge_head_dim = knowledge_head_dim
        self.knowledge_dropout = knowledge_dropout
        self.knowledge_fusion = knowledge_fusion
        self.lora = lora
        self.base_model_name_or_path = base_model_name_or_path
        self.base_model_digest = base_model_digest
        self.trainable = trainable
        self.phase = phase
        self.credentialed = credentialed
        self._check()
        kwargs.setdefault("is_encoder_decoder", text.is_encoder_decoder)
        if "decoder" in text.sub_configs:
            # T5Gemma's targets begin with this token, whatever the decoder_start_token_id of its config.
            kwargs.setdefault("decoder_start_token_id", text.decoder.bos_token_id)
        for name in SPECIAL_TOKENS:
            kwargs.setdefault(name, getattr(text, name, None))
        kwargs.setdefault("tie_word_embeddings", text.tie_word_embeddings)
        if "custom_pipelines" in kwargs:
            kwargs["custom_pipelines"] = CustomTasks(kwargs["custom_pipelines"])
        super().__init__(**kwargs)

    def _check(self) -> None:
        if isinstance(self.text_config, ClinRaGenConfig):
            raise SettingsError(
                "text_config is that of a ClinRaGen model; give a language model's, or load that model"
            )
        patch = self.lab_patch_steps * self.lab_step_features
        lab = self.lab_config
        if lab.patch_length != patch or lab.patch_stride != patch:
            raise SettingsError(
                f"lab_config.patch_length is {lab.patch_length} and patch_stride {lab.patch_stride}, but "
                f"lab_patch_steps x lab_step_features is {patch}; make all three equal"
            )
        if lab.context_length % patch or lab.context_length == patch:
            raise SettingsError(
                f"lab_config.context_length is {lab.context_length}; it must be a multiple of the patch length "
                f"{patch}, at least {2 * patch}"
            )
        for name, needed in {**LAB_DEFAULTS, "use_cls_token": False}.items():
            if (given := getattr(lab, name)) != needed:
                raise SettingsError(
                    f"lab_config.{name} is '{given}', which the lab encoder does not support; set it to '{needed}'"
                )
        if self.lab_layout == "paper" and self.lab_step_features != STEP_FEATURES["paper"]:
            raise SettingsError(f"lab_step_features is {self.lab_step_features}; the lab layout 'paper' has 1")
        if self.lab_summary and self.lab_layout != "patches":
            raise SettingsError(f"lab_summary needs the lab layout 'patches', not '{self.lab_layout}'")
        self._check_head()
        if self.variables and len(self.variables) != lab.num_input_channels:
            raise SettingsError(
                f"there are {len(self.variables)} variables but lab_config.num_input_channels is "
                f"{lab.num_input_channels}; make them equal"
            )
        if self.knowledge_fusion not in FUSIONS:
            raise SettingsError(
                f"unknown knowledge_fusion '{self.knowledge_fusion}'; choose one of {', '.join(FUSIONS)}"
            )
        if self.num_knowledge_tokens < 0:
            raise SettingsError(f"num_knowledge_tokens is {self.num_knowledge_tokens}; give a number of at least 0")

    def _check_head(self) -> None:
        if self.list_from not in LISTS:
            raise SettingsError(f"unknown list_from '{self.list_from}'; choose one of {', '.join(LISTS)}")
        if self.list_from == "head" and not self.disease_head:
            raise SettingsError("list_from is 'head' but there is no disease_head; set one of them otherwise")
        if self.disease_head and not self.diseases:
            raise SettingsError("disease_head needs the names of the diseases; give diseases")
        if self.disease_head and self.text_width % self.disease_heads:
            raise SettingsError(
                f"disease_heads is {self.disease_heads}, which does not divide the language model's width "
                f"{self.text_width}"
            )

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in transformers, except that the configuration of another kind of model is refused, not warned of.

        That of a credentialed model keeps the process off the Hub (see `refuse_hub_writes`).

        Raises:
            SettingsError: The configuration is that of another kind of model.
        """
        kind = config_dict.get("model_type", cls.model_type)
        if kind != cls.model_type:
            raise SettingsError(
                f"this is the configuration of a '{kind}' model; ClinRaGenForConditionalGeneration.from_backbone "
                "builds a ClinRaGen model around a language model"
            )
        if config_dict.get("credentialed") is not False:
            refuse_hub_writes()
        return super().from_dict(config_dict, **kwargs)

    @property
    def text_reader(self) -> PreTrainedConfig:
        """Config of the part that reads: the language model, or its encoder where both halves have their own."""
        return self.text_config.encoder if "encoder" in self.text_config.sub_configs else self.text_config

    @property
    def text_width(self) -> int:
        """Width of the language model's input embeddings, which in some OPT models differs from that of its layers."""
        return getattr(self.text_reader, "word_embed_proj_dim", self.text_reader.hidden_size)

    @property
    def text_max_positions(self) -> int | None:
        """Maximum number of positions of the language model; None where it has no limit (T5)."""
        return getattr(self.text_reader, "max_position_embeddings", None)

    @property
    def lab_max_steps(self) -> int:
        """Maximum length of a series, in time steps."""
        return self.lab_config.context_length // self.lab_step_features

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """The language model's config, which generation and caches use."""
        return self.text_config


__all__ = ["ClinRaGenConfig"]

ClinRaGenConfig.register_for_auto_class()
