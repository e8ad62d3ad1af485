// Ema: an exponential moving average of parameters, as parameters.
//   Ema ema(params, 0.995);   after each step: ema.update(params);   UNet smooth{ema.params()};
#pragma once
#include "sspo/nn/params.hpp"

namespace sspo {

class Ema {
 public:
  Ema(const Params& params, double decay) : decay_(decay), average_(params.snapshot()) { average_.frozen(); }
  void update(const Params& params, Site at = Site::current());  // average = decay average + (1 - decay) params
  Params& params() { return average_; }
  double decay() const { return decay_; }

 private:
  double decay_;
  Params average_;
};

}  // namespace sspo
