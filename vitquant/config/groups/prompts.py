"""How prompts are learned, and when it ends."""

from vitquant.config.declare import setting
from vitquant.config.groups.generator import Basics
from vitquant.config.values import AT_LEAST_1, NOT_NEGATIVE, Check

_TARGET = Check(lambda x: 0 < x <= 1, "above 0 and at most 1")
_COSINE = Check(lambda x: -1 <= x <= 1, "from -1 to 1")


class PromptSettings(Basics):
    """Learning"""

    prompts_per_class: int = setting(20, "Prompts of each class.", AT_LEAST_1)
    steps: int = setting(
        40,
        "Most steps of Adam for each prompt; twice as many where others of its class need fewer.",
        AT_LEAST_1,
    )
    target_confidence: float = setting(
        0.9,
        "A prompt is good enough if the model gives its class this probability, on the mean over "
        "its images; with 1, all take --steps.",
        _TARGET,
    )
    max_similarity: float = setting(
        0.99,
        "And if features of its images have this cosine at most to those of the class's others.",
        _COSINE,
    )
    images_per_prompt: int = setting(
        2, "Images of each prompt that decide whether its text is good enough.", AT_LEAST_1
    )
    patience: int = setting(
        8, "Last images that decide whether a prompt has been learned long enough.", AT_LEAST_1
    )
    lr: float = setting(
        0.3,
        "Learning rate, in standard deviations of the embeddings that a prompt starts from.",
        NOT_NEGATIVE,
    )
    batch_size: int = setting(
        20, "Images generated at once, of as many classes as it takes.", AT_LEAST_1
    )
    ce_weight: float = setting(
        1.0, "Weight of the cross-entropy of the generated images.", NOT_NEGATIVE
    )
    prompt_diversity: float = setting(
        0.1, "Weight of the mean cosine between the prompts of a class.", NOT_NEGATIVE
    )
    image_diversity: float = setting(
        0.1, "Weight of the mean cosine between the features of a class's images.", NOT_NEGATIVE
    )
    text_weight: float = setting(
        0.1, "Weight of the distance from the embeddings of the text.", NOT_NEGATIVE
    )
