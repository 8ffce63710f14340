"""What a prompt costs at the size of SD-Turbo: memory, time and FLOPs of one image.

    python tests/benchmarks/sd_turbo_size.py --out docs/results/sd_turbo_size.csv

One prompt becomes one image of 512 pixels, DeiT-Tiny classifies it, and the gradient returns to the
prompt's embeddings: what ``learn-prompts`` does in a step. The networks have SD-Turbo's published
configuration and random weights, as neither memory nor time depends on them. Each case is a process
of its own, so that its peak memory is its own; it is ended where it asks for more than
``--memory``, and the row then says so.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import timm
import torch
from rows import append, provenance
from torch import Tensor, nn
from torch.nn import functional as F

from vitquant.core.matmul_rate import matmul_rate
from vitquant.models.sources.from_timm_module import from_timm_module
from vitquant.synthesis.diffusion.cost import count_flops
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.pipeline import GeneratorIdentity, generator_path
from vitquant.synthesis.quality import Classifier

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DECODERS, SWITCH = ("full", "tiny"), ("on", "off")


def main() -> None:
    options = _parse()
    if options.case:
        print(json.dumps(_measure(*options.case, threads=options.threads)))
        return
    about = provenance()
    for dtype, decoder, checkpointing in product(
        options.dtypes, options.decoders, options.checkpointing
    ):
        row = about | {"dtype": dtype, "decoder": decoder, "checkpointing": checkpointing}
        row |= {"threads": str(options.threads)}
        found = _in_process(options, dtype, decoder, checkpointing)
        print(row | found, flush=True)
        append(options.out, row | found)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("sd_turbo_size.csv"))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--decoders", nargs="+", choices=DECODERS, default=DECODERS)
    parser.add_argument("--checkpointing", nargs="+", choices=SWITCH, default=SWITCH)
    parser.add_argument("--memory", type=float, default=12, help="GB of a process, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_process(options: argparse.Namespace, *case: str) -> dict[str, Any]:
    limit = int(options.memory * 1e9)
    ended = subprocess.run(
        [sys.executable, __file__, "--threads", str(options.threads), "--case", *case],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    empty = dict.fromkeys(_FOUND, "")
    if ended.returncode == 0:
        return empty | json.loads(ended.stdout) | {"remark": ""}
    last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
    if "alloc" in last or "memory" in last.lower():
        return empty | {"remark": f"more than {options.memory:g} GB"}
    sys.exit(ended.stderr)


_FOUND = (
    "forward_flops", "step_flops", "forward_seconds", "step_seconds", "forward_cpu_seconds",
    "step_cpu_seconds", "weight_bytes", "peak_memory_bytes", "matmul_flops_per_second",
)  # fmt: skip


def _measure(dtype: str, decoder: str, checkpointing: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    pipeline = sd_turbo(DTYPES[dtype], decoder)
    generator = Generator(pipeline, GeneratorIdentity("random", ""), "cpu")
    if checkpointing == "off":
        for part in (pipeline.unet, pipeline.vae):
            part.disable_gradient_checkpointing()
    torch.manual_seed(0)
    model = from_timm_module(timm.create_model("deit_tiny_patch16_224"))
    classifier = Classifier(model, "cpu")
    rate = matmul_rate("cpu", DTYPES[dtype])
    ids = torch.randint(49000, (1, 77), generator=torch.Generator().manual_seed(0))
    ids[:, 8:] = 49407
    noise = torch.randn(1, *generator.noise_shape)
    cost = count_flops(generator, model)
    start, cpu = time.perf_counter(), time.process_time()
    loss = _loss(generator, classifier, ids, noise)
    forward, forward_cpu = time.perf_counter() - start, time.process_time() - cpu
    loss.backward()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    networks = (pipeline.text_encoder, pipeline.unet, pipeline.vae)
    values = (
        cost.forward,
        cost.step,
        *(round(value, 1) for value in (forward, seconds, forward_cpu, cpu)),
        sum(p.numel() * p.itemsize for network in networks for p in network.parameters()),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        round(rate),
    )
    return dict(zip(_FOUND, values, strict=True))


def _loss(generator: Generator, classifier: Classifier, ids: Tensor, noise: Tensor) -> Tensor:
    learned = generator.embeddings(ids).requires_grad_()
    images = generator.generate(generator.encode(ids, learned), noise)
    return F.cross_entropy(classifier(images)[0], torch.tensor([207]))


def sd_turbo(dtype: torch.dtype, decoder: str) -> Any:
    """The parts of SD-Turbo's pipeline as its configuration files describe them.

    decoder: ``"tiny"`` has AutoencoderTiny (TAESD) in place of the decoder.
    """
    import diffusers
    import transformers

    # In this dtype from the start: float32 weights would be the peak of the memory otherwise.
    torch.set_default_dtype(dtype)
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=23,
            num_attention_heads=16,
            projection_dim=512,
            vocab_size=49408,
            max_position_embeddings=77,
            hidden_act="gelu",
        )
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        attention_head_dim=(5, 10, 20, 20),
        cross_attention_dim=1024,
        use_linear_projection=True,
    )
    vae: nn.Module = (
        diffusers.AutoencoderTiny()
        if decoder == "tiny"
        else diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=768,
        )
    )
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="trailing",
        prediction_type="epsilon",
    )
    torch.set_default_dtype(torch.float32)
    parts = {"text_encoder": text, "unet": unet, "vae": vae}
    for part in parts.values():
        part.to(dtype).eval().requires_grad_(False)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(generator_path() / "tokenizer")
    return diffusers.StableDiffusionPipeline(
        **parts,
        scheduler=scheduler,
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


if __name__ == "__main__":
    main()
