import numpy as np

from vitquant.data.sources.noise import NoiseSource


def test_distribution():
    source = NoiseSource(4, (64, 48), seed=0)
    values = np.stack([np.asarray(source.image(i)) for i in range(4)])
    assert values.shape == (4, 64, 48, 3)
    assert values.dtype == np.uint8
    assert abs(values.mean() - 127.5) < 1
    assert abs(values.std() - 62) < 2


def test_images_depend_on_seed_and_number_alone():
    def pixels(source: NoiseSource, i: int) -> bytes:
        return source.image(i).tobytes()

    few, many, other = (NoiseSource(n, (8, 8), seed) for n, seed in ((3, 0), (9, 0), (3, 1)))
    assert pixels(few, 2) == pixels(many, 2) == pixels(few, 2)
    assert len({pixels(few, 0), pixels(few, 1), pixels(other, 0)}) == 3
    assert (len(few), few.labels) == (3, None)
