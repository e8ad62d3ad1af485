// Random checkpoint replay (spec §3): the policies of earlier phases on disk, and which of them is a phase's reference.
//   ReplayPool pool("run/pool");
//   pool.push(k, [&](const std::string& dir) { io::save_component(dir + "/unet", config, "diffusion_pytorch_model", to_checkpoint(params)); });
//   const Index ref = draw_reference(ReferencePolicy::uniform, rng / "replay", phase);
//   Params reference = load_params<UNet>(config, pool.open(ref) + "/unet");
#pragma once
#include <string>
#include <vector>

#include "sspo/io/manifest.hpp"
#include "sspo/train/objective.hpp"

namespace sspo {

// The reference of phase k = 1, 2, ...: uniform over 0 ... k - 1; always 0; always k - 1     spec §3.1
// A function of the path (the seed) and the phase alone: a resumed run draws what the first one drew.
Index draw_reference(ReferencePolicy policy, const Rng& rng, Index phase, Site at = Site::current());

enum class DrawEvery { phase, batch, sample };  // the method draws once a phase; the others are options
// The references of a batch's samples: `samples` of them, all equal unless drawn for each.
std::vector<Index> draw_references(ReferencePolicy policy, DrawEvery every, const Rng& rng, Index phase, Index batch, Index samples,
                                   Site at = Site::current());

// Whether checkpoint i can be the reference of `phase` or of a later one.
bool may_be_drawn(ReferencePolicy policy, Index i, Index phase);

// FOLDER/0, FOLDER/1, ...: each a model in the diffusers layout and a MANIFEST.json with the size and SHA-256 of every file.
// A checkpoint appears whole or not at all, and is never changed.
class ReplayPool {
 public:
  explicit ReplayPool(std::string folder);  // made if need be; Error{io}
  Index size() const;                       // one more than the last checkpoint's number; looks at the disk
  // Checkpoint i, of the files that save(folder) writes. A run that resumes may push again what is there, if the files are the
  // same; else Error{file}. i beyond size(): Error.
  void push(Index i, const Function<void(const std::string& folder)>& save, io::Manifest::About about = {}, Site at = Site::current());
  // Its folder, every file of it verified. Error{file} naming the checkpoint or the file: missing, damaged.
  std::string open(Index i, Site at = Site::current()) const;
  // Removes the checkpoints that cannot be drawn in `phase` or later, but for the last: none for uniform.
  void prune(ReferencePolicy policy, Index phase);
  const std::string& folder() const { return folder_; }

 private:
  std::string path_of(Index i) const { return folder_ + "/" + std::to_string(i); }
  std::string folder_;
};

}  // namespace sspo
