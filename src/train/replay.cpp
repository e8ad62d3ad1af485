#include "sspo/train/replay.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "io/calls.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

void check_phase(Index phase, Site at) {
  if (phase < 1) fail({.op = "replay", .what = "no such phase", .expected = "1, 2, ...: checkpoint 0 is what training starts from", .got = std::to_string(phase)}, at);
}

// "12", as std::to_string writes it, or -1.
Index number_of(const std::string& name) {
  Index i = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), i);
  return error == std::errc{} && i >= 0 && std::to_string(i) == name ? i : -1;
}

}  // namespace

Index draw_reference(ReferencePolicy policy, const Rng& rng, Index phase, Site at) {
  check_phase(phase, at);
  switch (policy) {
    case ReferencePolicy::uniform: return (rng / phase).below(phase);
    case ReferencePolicy::initial: return 0;
    case ReferencePolicy::latest: return phase - 1;
  }
  fail({.op = "replay", .what = "unknown policy", .kind = ErrorKind::internal}, at);
}

std::vector<Index> draw_references(ReferencePolicy policy, DrawEvery every, const Rng& rng, Index phase, Index batch, Index samples, Site at) {
  check_phase(phase, at);
  std::vector<Index> drawn(static_cast<std::size_t>(samples), draw_reference(policy, rng, phase, at));
  if (policy != ReferencePolicy::uniform || every == DrawEvery::phase) return drawn;
  const Rng path = rng / phase / "batch" / batch;
  for (std::size_t i = 0; i < drawn.size(); ++i) drawn[i] = path.below(phase, every == DrawEvery::sample ? i : 0);
  return drawn;
}

bool may_be_drawn(ReferencePolicy policy, Index i, Index phase) {
  switch (policy) {
    case ReferencePolicy::uniform: return true;
    case ReferencePolicy::initial: return i == 0;
    case ReferencePolicy::latest: return i >= phase - 1;
  }
  return true;
}

ReplayPool::ReplayPool(std::string folder) : folder_(std::move(folder)) {
  std::error_code error;
  error = io::make_folders(folder_);
  if (error) fail({.op = io::printable(folder_, 4096), .what = "the folder cannot be made: " + error.message(), .kind = ErrorKind::io}, Site{});
}

Index ReplayPool::size() const {
  Index last = -1;
  std::error_code error;
  fs::directory_iterator it(folder_, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) last = std::max(last, number_of(it->path().filename().string()));
  if (error) fail({.op = io::printable(folder_, 4096), .what = "cannot be listed: " + error.message(), .kind = ErrorKind::io}, Site{});
  return last + 1;
}

void ReplayPool::push(Index i, const Function<void(const std::string&)>& save, io::Manifest::About about, Site at) {
  const Index n = size();
  if (i < 0 || i > n)
    fail({.op = "replay", .what = "checkpoints are pushed in order", .expected = "checkpoint " + std::to_string(n) + " of " + folder_, .got = std::to_string(i)}, at);
  if (i == n) {
    io::FolderWriter out(path_of(i));
    save(out.folder());
    out.finish(std::move(about));
    return;
  }
  const io::Manifest own = io::verify_folder(path_of(i));
  io::FolderWriter again(path_of(i) + ".again");  // never finished: compared, then gone
  save(again.folder());
  if (io::manifest_of(again.folder()).files != own.files)
    io::bad_file({.path = path_of(i)}, "the checkpoint is there already and holds other files", "the same bits", {}, "another run wrote this pool: use a folder of its own");
}

std::string ReplayPool::open(Index i, Site at) const {
  if (i < 0) fail({.op = "replay", .what = "no such checkpoint", .expected = "0, 1, ...", .got = std::to_string(i)}, at);
  std::error_code ignored;
  if (!fs::exists(path_of(i), ignored))
    io::bad_file({.path = path_of(i)}, "the replay checkpoint is missing", {}, std::to_string(size()) + " in " + folder_,
                 "it was drawn as a reference: restore it, or start the run anew");
  io::verify_folder(path_of(i));
  return path_of(i);
}

void ReplayPool::prune(ReferencePolicy policy, Index phase) {
  const Index n = size();
  for (Index i = 0; i + 1 < n; ++i) {  // the last one stays: it is where the count stands
    if (may_be_drawn(policy, i, phase)) continue;
    const std::string path = path_of(i), part = path + ".tmp";
    std::error_code error;
    fs::remove_all(part, error);  // of a pruning that did not get to its end
    if (!fs::exists(path, error)) continue;
    error = io::move_path(path, part);  // it goes whole: no reader sees half of it
    if (!error) error = io::remove_tree(part);
    if (error) fail({.op = io::printable(path, 4096), .what = "cannot be removed: " + error.message(), .kind = ErrorKind::io}, Site{});
  }
}

}  // namespace sspo
