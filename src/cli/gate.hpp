// `sspo gate`: what the gate of a finished preference run is worth, phase by phase: theta = C[k], ref = the checkpoint of phase k, on some
// of the phase's pairs at many draws of (t, ε).                                                                      spec §3.6, §4
#pragma once
#include <string>

#include "io/json.hpp"

namespace sspo::cli {

struct GateOptions {
  std::string run, judge;
  Index draws = 64, pairs = 12;  // of (t, ε) for each pair; pairs a phase. It costs about (phases + 1) pairs (draws + sampling steps) forwards
  std::string prefer = {};       // a style; default: the winners'
  std::uint64_t seed = 0;
  int threads = 0;
  std::string isa = {};
  bool json = false;
};

// Writes RUN/gate.json and returns it:
//   "phases"     [{"phase", "theta", "reference", "pairs", "plus", "zero", "minus"}]: shares of s = sign(a_rw - a_tw) over pairs and draws
//   "bins"       the same by tenths of the timesteps, [{"from", "to", "n", "plus", "zero", "minus"}]
//   "agreement"  [{"n", "share", "low", "high"}]: of one draw's sign with that of the mean of n draws
//   "better"     how often the self-sample x_0^r beats a fresh sample of theta for the same prompt: style probability + caption cosine
//   "precision", "recall" of s = -1 as a forecast of that, one draw; "mean_precision", "mean_recall": by the sign of the mean of all draws.
//                Each {"value", "low", "high", "of", "pairs"}, value null if there is none; the intervals resample pairs
// The last four only where the second image is self-sampled.
io::Json gate(const GateOptions& options);
void gate_and_tell(const GateOptions& options);  // the verb: prints it

}  // namespace sspo::cli
