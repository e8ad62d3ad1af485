// Activations by the names configs give them.
#pragma once
#include "io/json.hpp"
#include "sspo/ops/activation.hpp"

namespace sspo {

inline Activation activation_named(io::Fields& fields, std::string_view field, const std::string& fallback) {
  const std::string name = fields.choice(field, {"silu", "swish", "relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu"}, fallback);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "quick_gelu") return Activation::quick_gelu;
  return Activation::gelu_tanh;
}

}  // namespace sspo
