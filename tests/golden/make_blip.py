#!/usr/bin/env python3
"""BLIP as ImageReward uses it, with seeded weights, in float64: writes blip.json beside this file.

    pip install --no-deps image-reward torchvision

Runs the package's own modules (models/BLIP/vit.py, med.py and ImageReward.py); what they import of timm, fairscale and older transformers
stands in `shims` below. Weights, pictures and ids are made from names, by seeded.py.
  runs   for two shapes: the configs, the states of picture and text (projections of all, some of the values), the MLP's output
  published  the number and the hash of names and shapes at ImageReward-v1.0's size
  score  end to end: what ImageReward.score gives for pictures and prompts by preprocessing, tokenizer (wordpiece/vocab.txt) and network
"""
import json
import pathlib
import sys
import tempfile
import types

import numpy as np
import torch
import transformers
from PIL import Image

import make_wordpiece
from seeded import fnv, normal_like, number, projections, uniform, weight

HERE = pathlib.Path(__file__).resolve().parent


def shims():
    def module(name, **content):
        m = types.ModuleType(name)
        m.__dict__.update(content)
        sys.modules[name] = m
        if "." in name:
            parent, child = name.rsplit(".", 1)
            setattr(sys.modules[parent], child, m)

    class PatchEmbed(torch.nn.Module):  # timm 0.6's, without a norm
        def __init__(self, img_size, patch_size, in_chans, embed_dim):
            super().__init__()
            self.num_patches = (img_size // patch_size) ** 2
            self.proj = torch.nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

        def forward(self, x):
            return self.proj(x).flatten(2).transpose(1, 2)

    nothing = lambda *a, **k: None
    module("timm"), module("timm.models"), module("timm.models.hub", download_cached_file=nothing)
    module("timm.models.vision_transformer", _cfg=nothing, PatchEmbed=PatchEmbed)
    module("timm.models.registry", register_model=lambda f: f)
    module("timm.models.layers", trunc_normal_=torch.nn.init.trunc_normal_, DropPath=torch.nn.Identity)
    module("timm.models.helpers", named_apply=nothing, adapt_input_conv=nothing)
    module("fairscale"), module("fairscale.nn"), module("fairscale.nn.checkpoint")
    module("fairscale.nn.checkpoint.checkpoint_activations", checkpoint_wrapper=lambda m: m)
    module("transformers.file_utils", ModelOutput=transformers.utils.ModelOutput)
    for package in ("ImageReward", "ImageReward.models", "ImageReward.models.BLIP"):  # without running their __init__, which import much else
        module(package)
        sys.modules[package].__path__ = [str(pathlib.Path(folder) / package.replace(".", "/")) for folder in sys.path if (pathlib.Path(folder) / "ImageReward").is_dir()]
    utils = transformers.modeling_utils
    utils.apply_chunking_to_forward = lambda f, size, dim, *x: f(*x)
    utils.find_pruneable_heads_and_indices = utils.prune_linear_layer = nothing
    base = transformers.PreTrainedModel
    base.init_weights = nothing
    base.get_head_mask = lambda self, mask, layers: [None] * layers
    base.invert_attention_mask = lambda self, m: (1.0 - m[:, None, None, :].to(self.dtype)) * torch.finfo(self.dtype).min  # transformers 4.27


shims()
from ImageReward import ImageReward as package  # noqa: E402
from ImageReward.models.BLIP import blip_pretrain  # noqa: E402
from ImageReward.models.BLIP.vit import VisionTransformer  # noqa: E402


def parameters(net):
    """How many, and the hash of their names and shapes; without BLIP's projections, which a reward does not need."""
    listing = sorted(f"{k} {list(p.shape)}\n" for k, p in net.named_parameters() if not k.startswith(("blip.vision_proj", "blip.text_proj")))
    return [len(listing), f"{fnv(''.join(listing)):016x}"]


def reward(vision, text):
    """The package's ImageReward with other shapes."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "med_config.json").write_text(json.dumps(text))
    blip_pretrain.init_tokenizer = lambda: make_wordpiece.tokenizer(HERE / "wordpiece" / "vocab.txt")
    blip_pretrain.create_vit = lambda *_: (VisionTransformer(img_size=vision["image_size"], patch_size=vision["patch_size"], embed_dim=vision["hidden_size"], mlp_ratio=vision["mlp_ratio"],
                                                             depth=vision["num_hidden_layers"], num_heads=vision["num_attention_heads"]), vision["hidden_size"])
    mlp = package.MLP
    package.MLP = lambda width: mlp(text["hidden_size"])
    net = package.ImageReward(str(folder / "med_config.json")).eval()
    package.MLP = mlp
    net.preprocess = package._transform(vision["image_size"])
    with torch.no_grad():
        for name, p in net.named_parameters():
            if not p.is_meta:
                p.copy_(weight(name, tuple(p.shape)))
    return net


def published():
    """ImageReward-v1.0's own size: names and shapes alone."""
    linspace = torch.linspace
    torch.linspace = lambda *a: linspace(*a, device="cpu")  # of drop paths, which are read
    with torch.device("meta"):
        return {"parameters": parameters(reward({"image_size": 224, "patch_size": 16, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "mlp_ratio": 4.0},
                                                {**TEXT, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30524,
                                                 "max_position_embeddings": 512}))}


TEXT = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 60,
        "max_position_embeddings": 48, "layer_norm_eps": 1e-12, "pad_token_id": 0, "type_vocab_size": 2, "encoder_width": 768, "add_cross_attention": True,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
SHAPES = [
    ({"image_size": 12, "patch_size": 4, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 4.0}, TEXT, [7, 3, 35]),
    ({"image_size": 10, "patch_size": 5, "hidden_size": 30, "num_hidden_layers": 3, "num_attention_heads": 5, "mlp_ratio": 2.0},
     {**TEXT, "hidden_size": 20, "num_attention_heads": 2, "num_hidden_layers": 3, "layer_norm_eps": 1e-5, "intermediate_size": 33}, [1, 35]),
]
TINY = ({"image_size": 32, "patch_size": 16, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "mlp_ratio": 2.0}, {**TEXT, "vocab_size": 870})
PROMPTS = ["a photograph of a red fox in the snow", "", "une peinture à l'huile [MASK] 日本", "the lighthouse keeper's daughter isn't afraid of the storm; " * 4]
PICTURES = [(40, 32), (33, 61), (20, 20), (32, 32)]  # width, height


def run(vision, text, lengths):
    net = reward(vision, text).double()
    n, side = len(lengths), vision["image_size"]
    x = normal_like("pictures", (n, 3, side, side))
    ids = torch.zeros(n, 35, dtype=torch.long)
    mask = torch.zeros(n, 35, dtype=torch.long)
    for i, length in enumerate(lengths):
        ids[i, :length] = torch.from_numpy((uniform(f"ids {i}", length) * 30 + 30).astype(np.int64))
        mask[i, :length] = 1
    with torch.no_grad():
        picture = net.blip.visual_encoder(x)
        states = net.blip.text_encoder(ids, attention_mask=mask, encoder_hidden_states=picture, encoder_attention_mask=torch.ones(picture.shape[:2], dtype=torch.long), return_dict=True).last_hidden_state
        raw = net.mlp(states[:, 0])
        scored = net.score_gard(ids, mask, x)
    assert torch.equal((raw - net.mean) / net.std, scored)
    rms = lambda y: float(y.square().mean().sqrt())
    print("rms", rms(picture), rms(states), raw.reshape(-1).tolist(), file=sys.stderr)
    return {"vision": vision, "text": text, "ids": [ids[i, :l].tolist() for i, l in enumerate(lengths)], "parameters": parameters(net),
            "picture": {"projections": projections("picture", picture), "rms": number(rms(picture)), "first": [number(v) for v in picture[:, 1, :4].reshape(-1)]},
            "states": {"projections": projections("states", states), "rms": number(rms(states)), "first": [number(v) for v in states[:, 0, :4].reshape(-1)]},
            "raw": [number(v) for v in raw.reshape(-1)]}


def picture(i, width, height):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return Image.fromarray(((x * x * (i + 1) + y * 11 + x * y * (c + 1) + 60 * c) % 256).astype(np.uint8))


def end_to_end():
    vision, text = TINY
    net = reward(vision, text).double()
    tensor = net.preprocess
    net.preprocess = lambda image: tensor(image).double()
    raws = []
    net.mlp.register_forward_hook(lambda m, i, o: raws.append(float(o)))
    net.mlp.register_forward_pre_hook(lambda m, x: x[0].double())  # score() makes float32 of the text's state
    values = [net.score(p, picture(i, *size)) for i, (p, size) in enumerate(zip(PROMPTS, PICTURES))]
    print("scores", values, raws, file=sys.stderr)
    return {"vision": vision, "text": text, "prompts": PROMPTS, "pictures": PICTURES, "raw": raws, "value": values}


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    golden = {"runs": [run(*s) for s in SHAPES], "score": end_to_end(), "published": published()}
    path = HERE / "blip.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path.stat().st_size, "bytes", file=sys.stderr)
