// What arithmetic costs, told before it is done.
#pragma once
#include "sspo/grad/trace.hpp"

namespace sspo::cli {

// Multiplications and additions of the products in a trace: what costs nearly all time.
double flops_of(const Trace& trace);

}  // namespace sspo::cli
