#!/usr/bin/env python3
"""A small Stable Diffusion as diffusers saves it, and what diffusers' StableDiffusionPipeline draws with it: fills pipeline/.

pipeline/model/     the pipeline, saved by diffusers; weights uniform by name (make_models.py), stored as float16
pipeline/runs.json  the runs: arguments of a call, the latents it ends with; float32 on the CPU
pipeline/NAME.png   the pictures of some of them
"""
import json
import pathlib
import shutil

import diffusers
import numpy as np
import torch
import transformers

from make_models import weight

torch.set_num_threads(1)
diffusers.logging.set_verbosity_error()
transformers.logging.set_verbosity_error()

GOLDEN = pathlib.Path(__file__).resolve().parent
HERE = GOLDEN / "pipeline"
SCHEDULER = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
SAMPLERS = {
    "ddpm": diffusers.DDPMScheduler,
    "ddim": diffusers.DDIMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
}
CAT, HOUSE = "a photograph of the cat", "A lighthouse in the night, watercolour!"


def filled(model, prefix=""):
    """Weights by name, such as float16 holds exactly."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weight(prefix + name, tuple(p.shape)).half())
    return model.eval()


def make_pipeline():
    vocab, merges = (str(GOLDEN / "tokenizer" / f) for f in ("vocab.json", "merges.txt"))
    tokenizer = transformers.CLIPTokenizer(vocab, merges, model_max_length=24)
    end = tokenizer.eos_token_id
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=24,
        bos_token_id=end - 1, eos_token_id=end, pad_token_id=end, projection_dim=16))
    unet = diffusers.UNet2DConditionModel(
        sample_size=6, block_out_channels=(8, 12), layers_per_block=1, cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8, 8), norm_num_groups=2, latent_channels=4, sample_size=48,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    scheduler = diffusers.PNDMScheduler(**SCHEDULER, skip_prk_steps=True, steps_offset=1)
    return diffusers.StableDiffusionPipeline(
        vae=filled(vae), text_encoder=filled(text, "text_model."), tokenizer=tokenizer, unet=filled(unet), scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False)


def draw(pipe, name, sampler="ddim", prompts=(CAT,), negative="", steps=20, guidance=7.5, seed=0, eta=0.0, size=(6, 6), rescale=0.0, picture=False):
    pipe.scheduler = SAMPLERS[sampler].from_pretrained(HERE / "model", subfolder="scheduler")

    def latents():
        return pipe(list(prompts), negative_prompt=[negative] * len(prompts), num_inference_steps=steps, guidance_scale=guidance, guidance_rescale=rescale,
                    eta=eta, height=8 * size[0], width=8 * size[1], generator=torch.Generator("cpu").manual_seed(seed), output_type="latent").images

    z = latents()
    images = pipe.image_processor.postprocess(pipe.vae.decode(z / pipe.vae.config.scaling_factor, return_dict=False)[0].detach(), output_type="pil")
    if picture:
        for i, image in enumerate(images):
            image.save(HERE / f"{name.replace(' ', '_')}-{i}.png", optimize=True)
    pixels = np.asarray(images[0])
    print(f"{name}: latents rms {float(z.square().mean().sqrt()):.3g}, pixels at the ends of the scale {np.mean((pixels == 0) | (pixels == 255)):.1%}")
    return dict(name=name, sampler=sampler, prompts=list(prompts), negative=negative, steps=steps, guidance=guidance, seed=seed, eta=eta, size=list(size),
                guidance_rescale=rescale, pictures=len(images) if picture else 0, latents=[float("%.9g" % v) for v in z.flatten().tolist()])


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    pipe = make_pipeline()
    pipe.to(torch.float16).save_pretrained(HERE / "model")
    scheduler = HERE / "model" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("{\n", "{\n" + '  "clip_sample": false,\n', 1))  # as SD-1.5's: for DDIM and DDPM
    for file in HERE.rglob("*.safetensors"):
        file.chmod(0o644)
    pipe.to(torch.float32).set_progress_bar_config(disable=True)
    runs = [draw(pipe, name, name, picture=name in ("ddim", "euler_ancestral")) for name in SAMPLERS]
    runs += [
        draw(pipe, "negative prompt", negative="cats, blurry", guidance=4.0, seed=1),
        draw(pipe, "two prompts", prompts=(CAT, HOUSE), seed=2, picture=True),
        draw(pipe, "two prompts, drawing", sampler="ddpm", prompts=(CAT, HOUSE), steps=7, seed=2**32 + 3),
        draw(pipe, "without guidance", prompts=(HOUSE,), guidance=1.0),
        draw(pipe, "eta one half", eta=0.5, seed=4),
        draw(pipe, "odd sizes", prompts=(HOUSE,), size=(5, 9), seed=5, picture=True),
        draw(pipe, "odd sizes, fewest steps", sampler="pndm", size=(7, 3), steps=1, seed=6),
        draw(pipe, "rescaled guidance", rescale=0.7, seed=7),
        draw(pipe, "a prompt too long, fifty steps", sampler="pndm", prompts=((CAT + " ") * 12,), steps=50, seed=8),
    ]
    rows = ",\n".join(json.dumps(r, separators=(",", ":")) for r in runs)
    made_by = f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    (HERE / "runs.json").write_text(f'{{"made_by":"{made_by}",\n"runs":[\n{rows}\n]}}\n')
    size = sum(f.stat().st_size for f in HERE.rglob("*") if f.is_file())
    print(f"{len(runs)} runs, {size} bytes")


if __name__ == "__main__":
    main()
