// `sspo gate`: what the gate of a preference run is worth, phase by phase: theta = C[k], ref = the checkpoint of phase k, on some of the
// phase's pairs at many draws of (t, ε). Of a run that was stopped, over the phases that are finished.             spec §3.6, §4
#pragma once
#include <string>
#include <vector>

#include "cli/forward.hpp"
#include "io/json.hpp"

namespace sspo::cli {

struct GateOptions {
  std::string run;
  std::string judge = {};                 // a judge's model folder
  std::vector<std::string> scorers = {};  // names of published scorers, whose weights lie in WEIGHTS/NAME
  std::string weights = {};
  Index draws = 64, pairs = 12;  // of (t, ε) for each pair; pairs a phase. It costs about (phases + 1) pairs (draws + sampling steps) forwards
  std::string prefer = {};       // the judge's style; default: the winners'
  std::uint64_t seed = 0;
  DeviceOptions device = {};     // the arithmetic's type is the run's
  bool json = false;
};

// Writes RUN/gate.json and returns it:
//   "finished"   false: the run was stopped before its last phase
//   "phases"     [{"phase", "theta", "reference", "pairs", "plus", "zero", "minus", "agreement"}]: shares of s = sign(a_rw - a_tw) over pairs and draws
//   "bins"       the same by tenths of the timesteps, [{"from", "to", "n", "plus", "zero", "minus"}]
//   "cells"      the same by phase and tenth, [{"phase", "from", "to", "n", "plus", "zero", "minus"}]; shares of no draw are null
//   "agreement"  [{"n", "share", "low", "high"}]: of one draw's sign with that of the mean of n draws; over all pairs, and over each phase's
//   "verdicts"   [{"name", "better", "precision", "recall", "mean_precision", "mean_recall"}]: of the judge and each scorer, see gate_verdict.hpp.
//                Each {"value", "low", "high", "of", "pairs"}, value null if there is none; the intervals resample pairs
// "verdicts" only where a judge or scorers are given; Error if the second image is not self-sampled then.
io::Json gate(const GateOptions& options);
void gate_and_tell(const GateOptions& options);  // the verb: prints it

}  // namespace sspo::cli
