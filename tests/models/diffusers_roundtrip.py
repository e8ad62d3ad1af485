#!/usr/bin/env python3
"""Do diffusers and transformers read what sspo writes, and compute the same?   diffusers_roundtrip.py FOLDER...

Without arguments: says whether the packages are there (exit 77 if not: ctest's SKIP_RETURN_CODE). Each FOLDER is a component that
weights_test.cpp saved, with inputs.safetensors and outputs.safetensors beside its files. It must load without missing or unexpected
names and give these outputs within 1e-5. Then it is saved again, by the library: as one file (FOLDER/again), in shards
(FOLDER/again_sharded) and in half precision as a variant (FOLDER/again_fp16), for sspo to read.
"""
import json
import pathlib
import sys

try:
    import diffusers
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError:
    sys.exit(77)

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def outputs_of(model, x):
    if isinstance(model, transformers.CLIPTextModel):
        y = model(input_ids=x["input_ids"])
        return {"last_hidden_state": y.last_hidden_state, "pooled": y.pooler_output}
    if isinstance(model, transformers.CLIPTextModelWithProjection):
        y = model(input_ids=x["input_ids"])
        return {"embeds": y.text_embeds, "last_hidden_state": y.last_hidden_state}
    if isinstance(model, transformers.CLIPVisionModelWithProjection):
        y = model(pixel_values=x["pixel_values"])
        return {"embeds": y.image_embeds, "last_hidden_state": y.last_hidden_state}
    if isinstance(model, diffusers.UNet2DConditionModel):
        return {"sample": model(x["sample"], x["timestep"], x["encoder_hidden_states"]).sample}
    if "latent" in x:
        return {"image": model.decode(x["latent"]).sample}
    moments = model.encode(x["image"]).latent_dist
    return {"mean": moments.mean, "logvar": moments.logvar}


def check(folder):
    config = json.loads((folder / "config.json").read_text())
    kind = getattr(transformers, config["architectures"][0]) if "model_type" in config else getattr(diffusers, config["_class_name"])
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(problem):
            sys.exit(f"{folder}: {problem}: {info[problem]}")
    inputs, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    with torch.no_grad():
        outputs = outputs_of(model.eval(), inputs)
    if outputs.keys() != expected.keys():
        sys.exit(f"{folder}: outputs {sorted(expected)} where {sorted(outputs)} were expected")
    worst = max(float((y - expected[k]).abs().max() / max(1, y.square().mean().sqrt())) for k, y in outputs.items())
    if not worst <= 1e-5:
        sys.exit(f"{folder}: outputs differ by {worst}")
    model.save_pretrained(folder / "again")
    model.save_pretrained(folder / "again_sharded", max_shard_size="20KB")
    model.half().save_pretrained(folder / "again_fp16", variant="fp16")
    print(f"{folder}: {kind.__name__}, {sum(1 for _ in model.parameters())} tensors, outputs within {worst:.1e}")


for path in sys.argv[1:]:
    check(pathlib.Path(path))
