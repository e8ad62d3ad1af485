#!/usr/bin/env python3
"""CLIP's two towers by transformers, and OpenCLIP's own program, run in float64: writes clip.json and clip/openclip.pt beside this file.

"vision" and "text" are runs as make_models.py makes and explains them: no weight is stored, both sides make them from names.
"openclip": a model of the package open_clip, under its names; the projections and the largest value of each gradient of
sum(embeds cotangent), by its parameters' names, embeds of both towers before normalisation. openclip.pt: the same weights as
torch.save({"state_dict": ...}) writes them, each name behind "module.", as files of training runs are.
"""
import json
import pathlib
import sys

import torch
import transformers

from make_models import gradient, lines, run
from seeded import normal_like, number, projections, weight

HERE = pathlib.Path(__file__).resolve().parent


def vision(name, batch, **changes):
    config = dict(hidden_size=16, intermediate_size=36, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4, projection_dim=12, hidden_act="quick_gelu")
    config.update(changes)
    model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**config))
    side = config["image_size"]

    def function(m, x):
        y = m(pixel_values=x["pixel_values"])
        return {"embeds": y.image_embeds, "last_hidden_state": y.last_hidden_state}

    return run(name, model, "", {"pixel_values": normal_like("input.pixel_values", (batch, config.get("num_channels", 3), side, side))}, function)


def text(name, ids, **changes):
    config = dict(vocab_size=60, hidden_size=16, intermediate_size=36, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=12, projection_dim=12,
                  hidden_act="quick_gelu", bos_token_id=58, eos_token_id=59, pad_token_id=59)
    model = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**{**config, **changes}))

    def function(m, x):
        y = m(input_ids=x["input_ids"])
        return {"embeds": y.text_embeds, "last_hidden_state": y.last_hidden_state}

    return run(name, model, "", {"input_ids": torch.tensor(ids)}, function)


def visions():
    return [
        vision("quick_gelu, 4 patches", 2),
        vision("gelu, 9 patches and a border that none covers, heads of 5", 1, image_size=20, patch_size=6, hidden_size=15, num_attention_heads=3, hidden_act="gelu", num_hidden_layers=1),
        vision("one patch, one channel, large eps, one head", 3, image_size=5, patch_size=5, num_channels=1, num_attention_heads=1, layer_norm_eps=1e-3, num_hidden_layers=1),
        vision("25 patches of one width, gelu", 1, image_size=15, patch_size=3, hidden_act="gelu", num_hidden_layers=1, intermediate_size=20, projection_dim=7),
    ]


def texts():
    return [
        text("quick_gelu, end token repeated", [[58, 5, 6, 7, 59, 59, 59], [58, 0, 1, 2, 3, 4, 59]], num_hidden_layers=1),
        text("gelu, eos id 2: the largest id, 3 layers", [[58, 30, 59, 4, 5], [58, 57, 1, 59, 59]], hidden_act="gelu", eos_token_id=2, num_hidden_layers=3, hidden_size=12, num_attention_heads=3, projection_dim=20),
    ]


OPENCLIP = dict(embed_dim=6, vision_cfg=dict(image_size=6, layers=2, width=8, head_width=4, patch_size=2, mlp_ratio=2.5),
                text_cfg=dict(context_length=5, vocab_size=20, width=12, heads=3, layers=1), quick_gelu=False)


def openclip():
    import open_clip.model as oc

    model = oc.CLIP(**OPENCLIP)
    state = {n: torch.tensor(1.5) if n == "logit_scale" else weight(n, tuple(p.shape)) for n, p in model.state_dict().items()}
    model.load_state_dict(state)
    (HERE / "clip").mkdir(exist_ok=True)
    torch.save({"epoch": 3, "state_dict": {"module." + k: v for k, v in state.items()}}, HERE / "clip" / "openclip.pt")
    model.double().eval()
    pixels, ids = normal_like("input.pixel_values", (2, 3, 6, 6)).requires_grad_(), torch.tensor([[18, 3, 4, 19, 0], [18, 19, 0, 0, 0]])
    outputs = {"image": model.encode_image(pixels), "text": model.encode_text(ids)}
    sum((y * normal_like(f"cotangent.{k}", tuple(y.shape))).sum() for k, y in outputs.items()).backward()
    gradients = {n: gradient(n, p.grad) for n, p in model.named_parameters() if n != "logit_scale"}
    return {
        "config": {"model_cfg": OPENCLIP},
        "shapes": {n: list(v.shape) for n, v in state.items()},
        "input_ids": ids.tolist(),
        "embeds": {k: [number(v) for v in y.detach().reshape(-1)] for k, y in outputs.items()},
        "logit_scale": 1.5,
        "gradients": {"input.pixel_values": gradient("input.pixel_values", pixels.grad), **gradients},
    }


if __name__ == "__main__":
    path = HERE / "clip.json"
    path.write_text("{\n" + ",\n".join([lines("vision", visions()), lines("text", texts()), '"openclip": ' + json.dumps(openclip(), separators=(",", ":"))]) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes", file=sys.stderr)
