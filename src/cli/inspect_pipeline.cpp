// A pipeline's folder: the components that model_index.json names, and what of them is there.
#include <fmt/format.h>

#include <filesystem>

#include "cli/inspection.hpp"
#include "sspo/diffusion/schedule.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo::cli {
namespace {

struct Row {
  io::Json json;
  std::string note;  // the rest of the line
  std::uint64_t parameters = 0, bytes = 0;
};

std::string variants_text(const ComponentWeights& w) {
  std::string text;
  for (const std::string& v : w.variants)
    if (v != w.variant) text += (text.empty() ? "; also: " : ", ") + (v.empty() ? "plain" : io::printable(v));
  return (w.variant.empty() ? "" : ", variant " + io::printable(w.variant)) + text;
}

void add_weights(Row& row, const std::string& class_name, const std::string& folder, const std::string& variant) {
  const ComponentWeights found = component_weights(folder, variant);
  row.json["variants"] = variants_json(found);
  if (!found.weights) {
    row.note = "no safetensors";
    return;
  }
  const bool fits = check_against_config(class_name, folder, *found.weights);
  const Totals totals(*found.weights);
  row.parameters = totals.all.elements, row.bytes = totals.all.bytes;
  row.json["variant"] = io::printable(found.variant);
  row.json["fits_config"] = fits ? io::Json(true) : io::Json();
  row.json["totals"] = totals.json();
  row.note = totals.text() + variants_text(found);
}

Row inspect_part(const std::string& pipeline, const std::string& name, const io::ModelIndex::Component& c, const std::string& variant) {
  const std::string folder = pipeline + "/" + name;
  std::error_code ignored;
  const bool present = std::filesystem::is_directory(folder, ignored);
  Row row{{{"name", name}, {"library", c.library}, {"class", c.class_name}, {"present", present}}, "NOT THERE"};
  if (!present) return row;
  row.json["files"] = io::Json::array();
  for (const std::string& file : files_in(folder)) row.json["files"].push_back({{"file", io::printable(file, 255)}, {"bytes", io::File(folder + "/" + file).size()}});
  if (exists(folder + "/config.json")) {
    add_weights(row, c.class_name, folder, variant);
  } else if (const std::string config = folder + "/scheduler_config.json"; exists(config)) {
    const io::Json fields = io::read_json(config);
    row.note = fields.is_object() && fields.contains("prediction_type") ? "predicts " + io::printable(fields["prediction_type"].dump()) : "";
  } else if (c.class_name.starts_with("CLIPTokenizer")) {
    const ClipTokenizer tokenizer = ClipTokenizer::open(folder);
    row.json["tokens"] = tokenizer.size();
    row.note = fmt::format("{} tokens", tokenizer.size());
  }
  return row;
}

}  // namespace

Inspection inspect_pipeline(const std::string& folder, const std::string& variant) {
  const io::ModelIndex index = io::read_model_index(folder);
  Inspection r;
  io::Json components = io::Json::array();
  std::string table;
  std::uint64_t parameters = 0, bytes = 0;
  for (const auto& [name, component] : index.components) {
    Row row = inspect_part(folder, name, component, variant);
    parameters += row.parameters, bytes += row.bytes;
    table += fmt::format("{:<18} {:<30} {}\n", io::printable(name), io::printable(component.class_name), row.note);
    components.push_back(std::move(row.json));
  }
  r.json = {{"kind", "pipeline"}, {"path", io::printable(folder, 4096)}, {"class", index.class_name}, {"parameters", parameters}, {"bytes", bytes}, {"components", std::move(components)}};
  r.text = fmt::format("{}: {}, {} components, {} parameters, {}\n{}", io::printable(folder, 4096), io::printable(index.class_name), index.components.size(), parameters,
                       size_text(bytes), table);
  return r;
}

}  // namespace sspo::cli
