// Whether the gate's sign means what it is taken for: what `sspo gate` left in RUN/gate.json.
#pragma once
#include <filesystem>

#include "report/html.hpp"

namespace sspo::report {

Html gate_section(const std::filesystem::path& run);  // empty without a gate.json

}  // namespace sspo::report
