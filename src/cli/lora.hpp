// `sspo lora`: what a LoRA file holds; a model with its changes merged.
#pragma once
#include <string>

#include "cli/inspection.hpp"
#include "sspo/models/lora.hpp"
#include "sspo/models/unet.hpp"

namespace sspo::cli {

struct LoraMergeOptions {
  std::string model, lora, out, variant;
  double scale = 1;
  bool force = false, json = false;
};
void lora_merge(const LoraMergeOptions& options);

struct LoraInspectOptions {
  std::string lora;
  bool json = false;
};
void lora_inspect(const LoraInspectOptions& options);

struct LoraArgument {
  std::string path;
  double scale = 1;
};
LoraArgument lora_argument(const std::string& text);  // "FILE" or "FILE:0.8"
// "style.safetensors: 192 tensors changed by 0.8 of it, norm 3.21 (kohya)", and what was not understood.
std::string lora_text(const Lora& lora, double scale, const LoraChange& change);

}  // namespace sspo::cli
