// The pool's checkpoints as models, for the loss and for self-sampling: each loaded when it is asked for.
//   ReferenceModels references(context, pool, 2);   Denoiser ref = references(3);
#pragma once
#include <algorithm>
#include <list>
#include <map>
#include <string>

#include "cli/train_optimizer.hpp"
#include "cli/train_policy.hpp"
#include "cli/train_tasks.hpp"
#include "sspo/train/replay.hpp"

namespace sspo::cli {

class ReferenceModels {
 public:
  // Of those asked for, the last `keep` stay in memory.
  ReferenceModels(const TrainContext& c, const ReplayPool& pool, Index keep) : c_(c), pool_(pool), keep_(keep) {}

  // Its folder, every file of it verified when it is asked for first.
  const std::string& folder(Index i) {
    const auto it = folders_.find(i);
    return it != folders_.end() ? it->second : folders_[i] = pool_.open(i);
  }

  Denoiser operator()(Index i) {
    const auto there = std::find_if(loaded_.begin(), loaded_.end(), [&](const auto& l) { return l.first == i; });
    if (there != loaded_.end()) {
      loaded_.splice(loaded_.begin(), loaded_, there);
    } else {
      while (Index(loaded_.size()) >= keep_) loaded_.pop_back();  // before the next one is read: never one more
      // as the policy computes; where masters are on disk the policy is in its own type alone, and so is this
      loaded_.emplace_front(i, load_policy(c_.model, folder(i), c_.device, masters_on_disk(c_.recipe)));
    }
    return [model = loaded_.front().second](const Tensor& x, const Tensor& t, const Tensor& text) { return (*model)(x, t, text); };
  }

 private:
  const TrainContext& c_;
  const ReplayPool& pool_;
  Index keep_;
  std::map<Index, std::string> folders_;
  std::list<std::pair<Index, std::shared_ptr<const UNet>>> loaded_;  // the last used first
};

}  // namespace sspo::cli
