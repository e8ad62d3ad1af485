// ScratchFile: what of a run's state need not be in memory between steps, f32 masters and an optimizer's states, in a file of the run's
// folder that has no name and ends with the process, however that ends: checkpoints alone are what a run goes on from.
//   ScratchFile scratch("run");
//   params.keep_masters(DType::bf16, scratch.keep());   AdamW adamw(params, {}, scratch.keep());
#pragma once
#include <string>

#include "sspo/nn/state_tensor.hpp"

namespace sspo {

class ScratchFile {
 public:
  explicit ScratchFile(const std::string& folder);  // Error{io}: it cannot be made there
  // Takes a tensor: room is reserved for it (Error{io}: there is none), its numbers written. Each load() reads the whole tensor, each
  // store() writes it: Error{io} as the disk has it. The file lives as long as anything kept in it.
  StateTensor keep(const Tensor& x) const;
  Keep keep() const {
    return [self = *this](const Tensor& x) { return self.keep(x); };
  }
  std::uint64_t bytes() const;  // reserved so far

 private:
  struct File;
  Shared<File> file_;
};

}  // namespace sspo
