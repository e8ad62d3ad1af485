// `sspo demo`: trains a small diffusion model on generated shapes, from nothing, and shows what it learned.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "cli/files.hpp"

namespace sspo::cli {

struct DemoOptions {
  std::filesystem::path out;
  Index steps = 2500, batch = 16, channels = 32;
  std::uint64_t seed = 42;
  int threads = 0;   // 0: all cores
  std::string isa;   // empty: the best
  int columns = 6;   // pictures a class in the sample sheets
  bool force = false, json = false;
};

inline constexpr double ema_decay = 0.995;
inline constexpr double guidance = 2;     // 1: none
inline constexpr int sampler_steps = 25;
inline constexpr int sheet_zoom = 3;      // screen pixels a pixel

struct StepRecord {
  double loss, gradient_norm, lr;
};
struct Sheet {
  Index step;       // after how many steps
  io::Image picture;  // one row a class; the same starting noises on every sheet
};
// Everything that was measured: what the report shows.
struct DemoResult {
  DemoOptions options;
  std::string device = {};
  Index parameters = 0;
  std::vector<StepRecord> steps = {};
  std::vector<Sheet> sheets = {};  // untrained, midway, trained
  io::Image data = {};        // training pictures
  double first_loss = 0, last_loss = 0;  // means over the first and the last twentieth of the steps
  double train_seconds = 0;   // sampling and drawing the sheets not included
  double sample_seconds = 0;  // of the last sheet
  Index sampled = 0;          // pictures on it
  std::size_t peak_tensor_bytes = 0, peak_resident_bytes = 0;
  double steps_per_second() const { return double(steps.size()) / train_seconds; }
  double pictures_per_second() const { return steps_per_second() * double(options.batch); }
};

// Writes DIR/{data.png, samples.png, loss.csv, report.html}; prints a summary, or JSON, on stdout.
void demo(const DemoOptions& options);

}  // namespace sspo::cli
