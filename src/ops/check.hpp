// Checks that several ops make of their operands. Undefined operands (absent options) are passed over.
#pragma once
#include <initializer_list>

#include "sspo/tensor/tensor.hpp"

namespace sspo {

// " 'down.0.conv.weight'" for a parameter, else nothing.
std::string label_of(const Tensor& x);
// All operands have the first one's dtype, a floating-point one.
void check_same_floating(const char* op, std::initializer_list<const Tensor*> operands, Site at);
// x [channels] or undefined: γ, β, a bias.
void check_vector(const char* op, const char* name, const Tensor& x, Index extent, Site at);

}  // namespace sspo
