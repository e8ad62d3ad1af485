// The demo's report: one HTML file that needs nothing else.
#pragma once
#include <string>

#include "cli/demo.hpp"

namespace sspo::cli {

std::string report_html(const DemoResult& result);

}  // namespace sspo::cli
