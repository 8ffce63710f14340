"""What a library knows a model by: timm's ``pretrained_cfg``, and ``config.json`` on the Hub."""

from typing import Any

import timm

from vitquant.models.model import Model, ModelIdentity
from vitquant.models.timm_adapter import timm_cfg

# Where float weights lie, and how the float model was once tested: neither is true of ours.
_OF_THE_FLOAT_WEIGHTS = frozenset(
    {
        "url", "file", "state_dict", "source", "hf_hub_id", "hf_hub_filename", "custom_load",
        "label_offset", "label_names", "label_descriptions", "test_input_size", "test_crop_pct",
        "test_pool_size", "min_input_size", "notes",
    }
)  # fmt: skip


# Said of the weights of one tag, and not of others of the same architecture.
_OF_A_TAG = frozenset({"tag", "license", "origin_url", "paper_ids", "paper_name"})


def pretrained_cfg(model: Model) -> dict[str, Any]:
    """The ``pretrained_cfg`` of a quantized model, as plain values.

    It carries the preprocessing and class names that travel with the model, and names no place to
    load weights from: float weights do not fit.
    """
    inherited = timm_cfg(model.module)
    cfg = {
        name: _plain(value)
        for name, value in inherited.items()
        if value is not None and name not in _OF_THE_FLOAT_WEIGHTS
    }
    cfg |= {"architecture": model.identity.architecture, "num_classes": model.num_classes}
    cfg |= {name: _plain(value) for name, value in model.preprocessing.items()}
    return _tagged(cfg, model.identity) | _labels(model)


def hub_config(model: Model) -> dict[str, Any]:
    """The contents of ``config.json``, as the model's library writes it.

    For timm that is the form of ``timm.models.save_for_hf``.
    """
    own = model.adapter.hub_config(model.module)
    if own is not None:
        return own | _id2label(model)
    cfg = pretrained_cfg(model)
    labels = {name: cfg.pop(name) for name in ("label_names", "label_descriptions") if name in cfg}
    config: dict[str, Any] = {
        "architecture": cfg.pop("architecture"),
        "num_classes": model.num_classes,
        "num_features": getattr(model.module, "num_features", None),
    }
    pool = getattr(model.module, "global_pool", None)
    if isinstance(pool, str) and pool:
        config["global_pool"] = pool
    arguments = {name: _plain(value) for name, value in model.identity.arguments.items()}
    return (
        config | labels | ({"model_args": arguments} if arguments else {}) | {"pretrained_cfg": cfg}
    )


def known_weights(architecture: str, tag: str) -> Any:
    """What timm says of the weights with a tag, a ``PretrainedCfg``; None if it has none such."""
    name = f"{architecture}.{tag}"
    known = (
        tag and timm.is_model(architecture) and name in timm.list_pretrained(f"{architecture}.*")
    )
    return timm.get_pretrained_cfg(name) if known else None


def _tagged(cfg: dict[str, Any], identity: ModelIdentity) -> dict[str, Any]:
    """``cfg`` with what is said of the weights' own tag instead of the architecture's default."""
    if cfg.get("tag", "") == identity.tag:
        return cfg
    cfg = {name: value for name, value in cfg.items() if name not in _OF_A_TAG}
    if not identity.tag:
        return cfg
    own = known_weights(identity.architecture, identity.tag)
    own_license = {"license": own.license} if own is not None and own.license else {}
    return cfg | {"tag": identity.tag} | own_license


def _labels(model: Model) -> dict[str, Any]:
    if model.classes is None:
        return {}
    ids, names = model.classes.ids, model.classes.names
    if len(set(ids)) < len(ids):
        return {"label_names": list(ids)}
    return {
        "label_names": list(ids),
        "label_descriptions": dict(zip(ids, names, strict=True)),
    }


def _id2label(model: Model) -> dict[str, Any]:
    if model.classes is None:
        return {}
    return {"id2label": {str(i): name for i, name in enumerate(model.classes.names)}}


def _plain(value: Any) -> Any:
    """Tuples as lists: what JSON gives back."""
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
