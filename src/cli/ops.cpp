#include "cli/ops.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sspo/sspo.hpp"

namespace sspo::cli {
namespace {

struct Row {
  std::string name, formula, no_gradient;  // no_gradient: why there is none; empty where there is one
  std::size_t samples;
};

std::vector<Row> all_ops() {
  std::vector<Row> rows;
  for_each_op([&]<Op O>() {
    Row row{std::string(O::info.name), std::string(O::info.formula), {}, O::samples().size()};
    if constexpr (!Differentiable<O>) row.no_gradient = O::no_vjp;
    rows.push_back(std::move(row));
  });
  return rows;
}

// fmt counts code points, but a combining or wide character would need a table: formulas have none.
void print_row(std::string_view name, std::string_view formula, std::string_view gradient, std::string_view samples) {
  fmt::print("{:<18} {:>7}  {:<68}  {}\n", name, samples, formula, gradient);
}

}  // namespace

void list_ops(bool json) {
  const std::vector<Row> rows = all_ops();
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Row& r : rows) {
      nlohmann::ordered_json op = {{"name", r.name}, {"formula", r.formula}, {"samples", r.samples}, {"differentiable", r.no_gradient.empty()}};
      if (!r.no_gradient.empty()) op["no_gradient"] = r.no_gradient;
      list.push_back(std::move(op));
    }
    fmt::print("{}\n", list.dump(2));
    return;
  }
  print_row("op", "formula", "gradient", "samples");
  for (const Row& r : rows) print_row(r.name, r.formula, r.no_gradient.empty() ? "yes" : "no: " + r.no_gradient, std::to_string(r.samples));
}

}  // namespace sspo::cli
