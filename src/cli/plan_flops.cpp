#include "cli/plan_flops.hpp"

#include <cstdlib>
#include <string>
#include <vector>

namespace sspo::cli {

double flops_of(const Trace& trace) {
  double flops = 0;
  for (const Trace::Event& e : trace.events()) {
    std::vector<std::vector<double>> shapes;  // of inputs, then of the result
    for (std::size_t at = e.shapes.find('['); at != e.shapes.npos; at = e.shapes.find('[', at + 1)) {
      std::vector<double> extents;
      const char* text = e.shapes.c_str() + at + 1;
      for (char* end = nullptr; *text && *text != ']'; text = *end == ',' ? end + 1 : end) extents.push_back(std::strtod(text, &end));
      shapes.push_back(extents);
    }
    if (shapes.size() < 3) continue;
    const auto numel = [](const std::vector<double>& s) { double n = 1; for (const double v : s) n *= v; return n; };
    const std::vector<double>&a = shapes[0], &b = shapes[1], &y = shapes.back();
    if (e.op == "conv2d" && b.size() == 4) flops += 2 * numel(y) * b[1] * b[2] * b[3];
    else if (e.op == "linear" && b.size() == 2) flops += 2 * numel(y) * b[1];
    else if (e.op == "matmul" && !a.empty()) flops += 2 * numel(y) * a.back();
    else if (e.op == "attention" && a.size() == 4 && b.size() == 4) flops += 4 * numel(a) * b[1];
  }
  return flops;
}

}  // namespace sspo::cli
