// What the golden file tests/golden/schedulers.json and its script share.
#pragma once
#include <bit>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "sspo/diffusion/scheduler.hpp"

namespace sspo::testing {

using GoldenJson = nlohmann::ordered_json;

inline const GoldenJson& golden() {
  static const GoldenJson json = [] {
    std::ifstream in(SSPO_SOURCE_DIR "/tests/golden/schedulers.json");
    return GoldenJson::parse(in);
  }();
  return json;
}

// The text of an entry's scheduler_config.json.
inline std::string config_text(const GoldenJson& entry) { return golden().at("configs").at(entry.at("config").get<std::size_t>()).dump(); }
inline SchedulerConfig config_of(const GoldenJson& entry, SchedulerKind kind) {
  return read_scheduler_config(config_text(entry), {.path = "golden"}, kind);
}
inline SchedulerConfig config_of(const GoldenJson& entry) { return config_of(entry, scheduler_kind(entry.at("kind").get<std::string>())); }

inline std::uint64_t fnv(const std::vector<float>& values) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const float v : values)
    for (int shift = 0; shift < 32; shift += 8) h = (h ^ (std::bit_cast<std::uint32_t>(v) >> shift & 0xff)) * 0x100000001b3ull;
  return h;
}

// n numbers in [-1, 1), a multiplicative hash of first, first + 1, ...
inline std::vector<float> numbers_from(std::uint32_t first, int n) {
  std::vector<float> y;
  for (int j = 0; j < n; ++j) y.push_back(float((first + std::uint32_t(j)) * 2654435761u >> 8) * 0x1p-23f - 1.0f);
  return y;
}

}  // namespace sspo::testing
