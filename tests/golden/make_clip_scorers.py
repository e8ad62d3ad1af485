#!/usr/bin/env python3
"""Scorers end to end on small models of random weights: writes clip_scorers.json beside this file.

Weights and pictures are made from names, as seeded.py and tests/eval/scorers_clip_test.cpp make them; the vocabulary is
tokenizer/{vocab.json,merges.txt}. What the scores are computed by:
  pickscore  the lines that PickScore's page gives: transformers' CLIPModel, CLIPProcessor with the Pillow image processor
  hpsv2      the package hpsv2's own transform (to floats, antialiased bicubic, padded) and tokenizer, open_clip's model in its place
  clipscore  torchmetrics' clip_score, by the same processor
  aesthetic  torchvision's transforms in the order of OpenAI's clip, transformers' vision tower, the head as published
  pixels     what each of these preprocessings makes of the pictures, as projections
  head       the published head (SSPO_TEST_DATA or --data) on given embeddings of length 1
The towers run in float64 on float32 pixels, so that an error is ours.
"""
import argparse
import importlib.util
import io
import json
import os
import pathlib
import sys
import types
import unittest.mock

import numpy as np
import open_clip.model
import torch
import torchmetrics.functional.multimodal as tm
import torchvision.transforms as tv
import transformers
from PIL import Image

from seeded import number, normal_like, projections, uniform, weight

HERE = pathlib.Path(__file__).resolve().parent
PICTURES = {"wide": (37, 25), "tall": (20, 41), "square": (16, 16), "large": (90, 51)}  # columns, rows
PROMPTS = ["a Red fox &amp; the quick hound's  house", "the red house in the snow, " * 14, "a", "Лиса (красная) 1234"]
TEXT = dict(vocab_size=704, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77, projection_dim=12,
            bos_token_id=702, eos_token_id=703, pad_token_id=703)
VISION = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, image_size=16, patch_size=4, projection_dim=12)
OPENCLIP = dict(embed_dim=12, vision_cfg=dict(image_size=16, layers=2, width=24, head_width=8, patch_size=4, mlp_ratio=2.0),
                text_cfg=dict(context_length=77, vocab_size=704, width=16, heads=2, layers=2), quick_gelu=False)
HEAD = (12, 9, 7, 5, 3, 1)


def picture(name):
    width, height = PICTURES[name]
    noise = np.floor((uniform(f"picture.{name}", width * height * 3) + 1) * 128).astype(np.uint8)
    return Image.fromarray(noise.reshape(height, width, 3))


def seeded(model):
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(torch.tensor(2.0) if n == "logit_scale" else weight(n, tuple(p.shape)))
    return model.double().eval()


def clip(act, **text):
    config = transformers.CLIPConfig(text_config={**TEXT, "hidden_act": act, **text}, vision_config={**VISION, "hidden_act": act}, projection_dim=12)
    return seeded(transformers.CLIPModel(config))


def processor():
    tokenizer = transformers.CLIPTokenizer(vocab=str(HERE / "tokenizer/vocab.json"), merges=str(HERE / "tokenizer/merges.txt"))
    side = VISION["image_size"]
    images = transformers.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer)


def features(y):
    return y if torch.is_tensor(y) else y.pooler_output


def pickscore():
    model, process = clip("gelu", eos_token_id=2), processor()
    scores = []
    for name, prompt in zip(PICTURES, PROMPTS):
        pixels = process(images=picture(name), return_tensors="pt")["pixel_values"].double()
        text = process(text=prompt, padding=True, truncation=True, max_length=77, return_tensors="pt")
        with torch.no_grad():
            image_embs = features(model.get_image_features(pixel_values=pixels))
            image_embs = image_embs / torch.norm(image_embs, dim=-1, keepdim=True)
            text_embs = features(model.get_text_features(**text))
            text_embs = text_embs / torch.norm(text_embs, dim=-1, keepdim=True)
            scores.append([number(s) for s in ((text_embs @ image_embs.T)[0, 0], (model.logit_scale.exp() * (text_embs @ image_embs.T))[0, 0])])
    return scores


def hpsv2_part(name):
    """A module of hpsv2's open_clip without the rest of the package."""
    root = pathlib.Path(importlib.util.find_spec("hpsv2").origin).parent / "src" / "open_clip"
    package = sys.modules.setdefault("hpsv2_open_clip", types.ModuleType("hpsv2_open_clip"))
    package.__path__ = [str(root)]
    spec = importlib.util.spec_from_file_location(f"hpsv2_open_clip.{name}", root / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def hps_transform():
    return hpsv2_part("transform").image_transform(VISION["image_size"], is_train=False, resize_longest_max=True)


def hps_tokenizer():
    merges = (HERE / "tokenizer/merges.txt").read_bytes().rstrip(b"\n")
    with unittest.mock.patch("gzip.open", lambda _: io.BytesIO(merges)):  # its own vocabulary is not in the wheel
        tokens = hpsv2_part("tokenizer")
    assert tokens._tokenizer.vocab_size == 704
    return tokens


def hpsv2():
    transform, tokens = hps_transform(), hps_tokenizer()
    model = seeded(open_clip.model.CLIP(**OPENCLIP, output_dict=True))
    scores = []
    for name, prompt in zip(PICTURES, PROMPTS):
        image = transform(picture(name))[None].double()
        with torch.no_grad():
            outputs = model(image, tokens.tokenize([prompt]))
            score = torch.diagonal(outputs["image_features"] @ outputs["text_features"].T)[0]
        scores.append([number(score), number(100 * score)])
    return scores


def clipscore():
    model, process = clip("quick_gelu", eos_token_id=2), processor()

    class Model:
        """As transformers 4 had it, which torchmetrics knows: features are tensors."""

        config = model.config
        to = eval = lambda self, *_: self
        get_image_features = staticmethod(lambda x: features(model.get_image_features(x)))
        get_text_features = staticmethod(lambda *x: features(model.get_text_features(*x)))

    class Wide:
        """The processor, its pixels in float64."""

        def __call__(self, **arguments):
            y = process(**arguments)
            return {k: v.double() if v.is_floating_point() else v for k, v in y.items()}

    scores = []
    for name, prompt in zip(PICTURES, PROMPTS):
        image = torch.from_numpy(np.array(picture(name))).permute(2, 0, 1)
        update, _ = tm.clip_score.__globals__["_clip_score_update"](image, prompt, Model(), Wide())
        value = tm.clip_score(image, prompt, model_name_or_path=lambda: (Model(), Wide()))
        scores.append([number(update[0] / 100), number(value)])
    return scores


def openai_transform():
    transforms = hpsv2_part("constants")
    side = VISION["image_size"]
    return tv.Compose([tv.Resize(side, interpolation=tv.InterpolationMode.BICUBIC), tv.CenterCrop(side), lambda x: x.convert("RGB"), tv.ToTensor(),
                       tv.Normalize(transforms.OPENAI_DATASET_MEAN, transforms.OPENAI_DATASET_STD)])


def mlp(widths):
    linear = [torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:])]
    layers = [linear[0], torch.nn.Dropout(0.2), linear[1], torch.nn.Dropout(0.2), linear[2], torch.nn.Dropout(0.1), linear[3], linear[4]]
    model = torch.nn.Module()
    model.layers = torch.nn.Sequential(*layers)
    return model


def aesthetic():
    model, transform, head = clip("quick_gelu"), openai_transform(), seeded(mlp(HEAD))
    scores = []
    for name in PICTURES:
        with torch.no_grad():
            embeds = features(model.get_image_features(pixel_values=transform(picture(name))[None].double())).numpy()
            length = np.atleast_1d(np.linalg.norm(embeds, 2, -1))
            length[length == 0] = 1
            scores.append([number(head.layers(torch.from_numpy(embeds / length[:, None]))[0, 0])] * 2)
    return scores


def pixels():
    process, hps, openai = processor(), hps_transform(), openai_transform()
    ways = {"shorter_floor": lambda p: process(images=p, return_tensors="pt")["pixel_values"][0], "shorter_half_even": openai, "longer_padded": hps}
    return {way: {name: projections(f"pixels.{name}", f(picture(name)).permute(1, 2, 0)) for name in PICTURES if way != "longer_padded" or name != "square"} for way, f in ways.items()}


def published_head(data):
    head = mlp((768, 1024, 128, 64, 16, 1))
    state = torch.load(pathlib.Path(data) / "aesthetic-head" / "sac+logos+ava1-l14-linearMSE.pth", weights_only=True, map_location="cpu")
    head.load_state_dict(state)
    x = normal_like("embedding", (5, 768))
    return [number(v) for v in head.double().eval().layers(x / x.norm(dim=1, keepdim=True))[:, 0].detach()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.environ.get("SSPO_TEST_DATA", str(HERE.parents[2] / "shared" / "data")))
    options = parser.parse_args()
    result = {"pictures": {k: list(v) for k, v in PICTURES.items()}, "prompts": PROMPTS,
              "configs": {"text": TEXT, "vision": VISION, "openclip": {"model_cfg": OPENCLIP}, "head": HEAD},
              "pixels": pixels(), "pickscore": pickscore(), "hpsv2": hpsv2(), "clipscore": clipscore(), "aesthetic": aesthetic(), "head": published_head(options.data)}
    path = HERE / "clip_scorers.json"
    path.write_text("{\n" + ",\n".join(f'"{k}": ' + json.dumps(v, separators=(",", ":")) for k, v in result.items()) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes", file=sys.stderr)
