"""The float model that a checkpoint was made from: where it is, and its license."""

from dataclasses import dataclass

from vitquant.config.values import HUB, MINIATURES
from vitquant.core.errors import UserError
from vitquant.hub.repository import Repository, read_config
from vitquant.models.hub_config import known_weights
from vitquant.models.model import ModelIdentity

# The identifiers of the Hub among the licenses that timm names; it takes others only as "other".
_KNOWN = frozenset(
    {
        "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0",
        "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "apple-amlr", "apple-ascl",
        "fair-noncommercial-research-license", "other", "unknown",
    }
)  # fmt: skip


@dataclass(frozen=True)
class BaseModel:
    """A float model as a model card names it.

    repository: on the Hub, or None. name: for people. license: None where nobody has said.
    """

    repository: str | None
    name: str
    license: str | None

    def front_matter(self) -> dict[str, str]:
        """``license`` and ``base_model`` as the Hub accepts them."""
        license = self.license or "unknown"
        fields = {"license": license if license in _KNOWN else "other"}
        if fields["license"] != license:
            fields["license_name"] = license
        if self.repository:
            fields |= {"base_model": self.repository, "base_model_relation": "quantized"}
        return fields


def base_model(identity: ModelIdentity) -> BaseModel:
    """What is known of a float model without asking a network."""
    if identity.name.startswith(HUB):
        repository = Repository.of(identity.name)
        return BaseModel(repository.id, identity.name, _license_on_the_hub(repository))
    if identity.architecture in MINIATURES and identity.tag:
        return BaseModel(None, f"{identity.architecture}, bundled with vitquant", "apache-2.0")
    if not identity.tag:
        return BaseModel(None, f"{identity.architecture} with weights from a file", None)
    name = f"{identity.architecture}.{identity.tag}"
    known = known_weights(identity.architecture, identity.tag)
    if known is None:
        return BaseModel(None, name, None)
    return BaseModel(known.hf_hub_id, name, known.license)


def _license_on_the_hub(repository: Repository) -> str | None:
    """As its ``config.json`` says, which is in the cache of the machine that quantized it."""
    try:
        cfg = read_config(repository, local_files_only=True).get("pretrained_cfg")
    except UserError:
        return None
    license = cfg.get("license") if isinstance(cfg, dict) else None
    return license if isinstance(license, str) else None
