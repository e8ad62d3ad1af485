#include "cli/ops.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sspo/sspo.hpp"
#include "sspo/testing.hpp"

namespace sspo::cli {
namespace {

struct Row {
  std::string name, formula, no_gradient;  // no_gradient: why there is none; empty where there is one
  std::size_t samples;
};

std::vector<Row> all_ops() {
  std::vector<Row> rows;
  for_each_op([&]<Op O>() {
    Row row{std::string(O::info.name), std::string(O::info.formula), {}, testing::detail::samples_of<O>().size()};
    if constexpr (!Differentiable<O>) row.no_gradient = O::no_vjp;
    rows.push_back(std::move(row));
  });
  return rows;
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
  fmt::print("{:<18} {:>7}  gradient  formula\n", "op", "samples");
  for (const Row& r : rows) {
    const bool has = r.no_gradient.empty();
    fmt::print("{:<18} {:>7}  {:<8}  {}{}\n", r.name, r.samples, has ? "yes" : "no", r.formula, has ? "" : "   (no gradient: " + r.no_gradient + ")");
  }
}

}  // namespace sspo::cli
