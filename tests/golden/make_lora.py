#!/usr/bin/env python3
"""LoRAs in each layout, added to the small pipeline of make_pipeline.py by diffusers and peft: writes lora.json beside this file.

tensors    name -> shape of the LoRA file; the numbers are made from the names (seeded.py), alphas are given
metadata   of the safetensors file, as diffusers writes it
config     adapter_config.json beside the file, as peft writes it
scale      of the changes
changed    parameter -> one projection of what was added to it
norm       of all that was added
order      names of the UNet's modules as cloneofsimo/lora counts them, classes Attention and GEGLU, in this diffusers
"""
import json
import pathlib
import tempfile

import diffusers
import peft
import torch
import transformers
from safetensors.torch import save_file

from seeded import projections, weight

HERE = pathlib.Path(__file__).resolve().parent
RANK = 2
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def pipeline():
    transformers.logging.set_verbosity_error()
    return diffusers.StableDiffusionPipeline.from_pretrained(HERE / "pipeline" / "model", torch_dtype=torch.float32)


def modules(pipe):
    """A few of each kind: attention, GEGLU, 1x1 and 3x3 convolutions, the time's projection, CLIP's attention and MLP."""
    unet = [n for n, _ in pipe.unet.named_modules() if n.endswith(ATTENTION) and ("down_blocks.0" in n or "up_blocks.1.attentions.0" in n)]
    unet += ["mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj", "mid_block.attentions.0.proj_in", "down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv",
             "up_blocks.0.resnets.0.time_emb_proj", "up_blocks.0.resnets.0.conv_shortcut"]
    text = [n for n, _ in pipe.text_encoder.named_modules() if n.endswith(("q_proj", "out_proj", "fc1"))]
    return unet, [n if n.startswith("text_model.") else "text_model." + n for n in text]


def shapes(module, convolution=True):
    w = module.weight
    if w.ndim == 4:
        return (w.shape[0], RANK, 1, 1), (RANK, *w.shape[1:])
    return (w.shape[0], RANK), (RANK, w.shape[1])


def weights_of(pipe):
    text = {("" if n.startswith("text_model.") else "text_model.") + n: p for n, p in pipe.text_encoder.named_parameters()}
    return {**{"unet." + n: p.detach().clone() for n, p in pipe.unet.named_parameters()}, **{"text_encoder." + n: p.detach().clone() for n, p in text.items()}}


def case(name, tensors, scale, change, alphas=None, metadata=None, config=None):
    pipe = pipeline()
    before = weights_of(pipe)
    state = {k: weight(k, s) for k, s in tensors.items()} | {k: torch.tensor(float(v)) for k, v in (alphas or {}).items()}
    change(pipe, state)
    after = weights_of(pipe)
    deltas = {k: after[k].double() - before[k].double() for k in before if not torch.equal(after[k], before[k])}
    print(f"{name}: {len(tensors)} tensors change {len(deltas)} weights")
    return dict(name=name, tensors=tensors, alphas=alphas or {}, metadata=metadata or {}, config=config, scale=scale,
                changed={k: projections(k, d)[0] for k, d in sorted(deltas.items())}, norm=float(sum(d.square().sum() for d in deltas.values()).sqrt()))


def by_diffusers(scale, metadata=None):
    def change(pipe, state):
        with tempfile.TemporaryDirectory() as folder:
            save_file({k: v.contiguous() for k, v in state.items()}, pathlib.Path(folder) / "pytorch_lora_weights.safetensors", metadata=metadata)
            pipe.load_lora_weights(folder, weight_name="pytorch_lora_weights.safetensors")
        pipe.fuse_lora(lora_scale=scale)
        pipe.unload_lora_weights()
    return change


def by_peft(config, scale):
    def change(pipe, state):
        with tempfile.TemporaryDirectory() as folder:
            save_file({k: v.contiguous() for k, v in state.items()}, pathlib.Path(folder) / "adapter_model.safetensors")
            (pathlib.Path(folder) / "adapter_config.json").write_text(json.dumps(config))
            model = peft.PeftModel.from_pretrained(pipe.unet, folder)
            pipe.unet = model.merge_and_unload()
    return change


def by_formula(scale):
    """kohya's own: W + scale alpha / rank up down. diffusers, too, reads the alphas, but where they differ loses those of attention."""
    def change(pipe, state):
        for prefix, model in (("lora_unet_", pipe.unet), ("lora_te_", pipe.text_encoder)):
            for name, m in model.named_modules():
                clip = "text_model." if prefix == "lora_te_" and not name.startswith("text_model.") else ""
                at = prefix + (clip + name).replace(".", "_")
                if at + ".alpha" in state:
                    up, down = state[at + ".lora_up.weight"].double(), state[at + ".lora_down.weight"].double()
                    delta = (up.flatten(1) @ down.flatten(1)).reshape(m.weight.shape) * (scale * float(state[at + ".alpha"]) / RANK)
                    m.weight.data = (m.weight.data.double() + delta).float()
    return change


def main():
    diffusers.logging.set_verbosity_error()
    pipe = pipeline()
    unet, text = modules(pipe)
    find = {**{("unet", n): m for n, m in pipe.unet.named_modules()}, **{("text_encoder", n if n.startswith("text_model.") else "text_model." + n): m for n, m in pipe.text_encoder.named_modules()}}
    both = [("unet", n) for n in unet] + [("text_encoder", n) for n in text]
    cases = []

    tensors = {}
    for part, n in both:
        up, down = shapes(find[part, n])
        tensors[f"{part}.{n}.lora_B.weight"], tensors[f"{part}.{n}.lora_A.weight"] = up, down
    cases.append(case("diffusers", tensors, 0.75, by_diffusers(0.75)))
    adapter = {f"{p}.{k}": v for p in ("unet", "text_encoder") for k, v in dict(r=RANK, lora_alpha=3, target_modules=sorted(n.removeprefix("text_model.") for q, n in both if q == p), use_rslora=False, use_dora=False, alpha_pattern={}, rank_pattern={}).items()}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(adapter)}
    cases.append(case("diffusers, metadata", tensors, 1.0, by_diffusers(1.0, metadata), metadata=metadata))

    tensors, alphas = {}, {}
    for i, (part, n) in enumerate(both):
        up, down = shapes(find[part, n])
        at = ("lora_unet_" if part == "unet" else "lora_te_") + n.replace(".", "_")
        tensors[at + ".lora_up.weight"], tensors[at + ".lora_down.weight"] = up, down
        alphas[at + ".alpha"] = 0.5 + i % 3
    cases.append(case("kohya", tensors, 0.5, by_diffusers(0.5), alphas=dict.fromkeys(alphas, 1.5)))
    cases.append(case("kohya, alphas that differ", tensors, 0.5, by_formula(0.5), alphas=alphas))

    tensors = {}
    for part, n in both:
        if part == "unet" and n.endswith(ATTENTION):
            up, down = shapes(find[part, n])
            at = "unet." + n.replace("to_out.0", "to_out").replace(".to_", ".processor.to_")
            tensors[at + "_lora.up.weight"], tensors[at + "_lora.down.weight"] = up, down
    cases.append(case("diffusers, older", tensors, 1.0, by_diffusers(1.0)))

    tensors = {}
    names = [n for n in unet if n.endswith(("to_q", "to_v", "conv1"))]
    for n in names:
        up, down = shapes(find["unet", n])
        tensors[f"base_model.model.{n}.lora_B.weight"], tensors[f"base_model.model.{n}.lora_A.weight"] = up, down
    config = dict(peft_type="LORA", r=RANK, lora_alpha=5, target_modules=names, use_rslora=True, use_dora=False, fan_in_fan_out=False, lora_dropout=0.0, bias="none", alpha_pattern={}, rank_pattern={})
    cases.append(case("peft", tensors, 1.0, by_peft(config, 1.0), config=config))

    order = []
    for _, ancestor in pipe.unet.named_modules():  # as _find_modules of lora_diffusion/lora.py goes
        if type(ancestor).__name__ in ("CrossAttention", "Attention", "GEGLU"):
            order += [next(n for n, m in pipe.unet.named_modules() if m is child) for _, child in ancestor.named_modules() if isinstance(child, torch.nn.Linear)]
    made_by = f"diffusers {diffusers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    (HERE / "lora.json").write_text(f'{{"made_by":"{made_by}",\n"cases":[\n{rows}\n],\n"order":{json.dumps(order)}}}\n')
    print(f"{(HERE / 'lora.json').stat().st_size} bytes")


if __name__ == "__main__":
    main()
