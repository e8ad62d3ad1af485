// The folder of a training run: one writer at a time, one recipe, and metrics that hold each step once.
//   RunFolder run("out/run");  run.keep_recipe(text);
//   MetricsLog metrics(run / "metrics.jsonl", resumed_step);   metrics.add(step, {{"loss", 0.1}});
#pragma once
#include <string>
#include <vector>

#include "sspo/io/file.hpp"
#include "sspo/base/config.hpp"

namespace sspo {

class RunFolder {
 public:
  // Made if need be, and held until the end: Error{locked} names the process that has it.
  explicit RunFolder(std::string path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // recipe.toml, one `key = value` a line. Written once; a folder with another one: Error{file} naming the first key that differs.
  void keep_recipe(const std::string& text) const;
  // Error{io} if the disk has less room; by `what` the message says for what.
  void require_space(std::uint64_t bytes, const std::string& what) const;

 private:
  std::string path_;
  int lock_ = -1;
};

struct Metric {
  std::string name;  // those that begin with wall_ depend on the machine, all others on recipe and seed alone
  double value;
};

// A JSON object a line, "step" first: the step's number, counted from 1. A number that is not finite stands as null.
class MetricsLog {
 public:
  // Lines of later steps, of a run that is resumed from an older checkpoint, go; as does a torn last line.
  MetricsLog(std::string path, Index step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void add(Index step, const std::vector<Metric>& metrics);
  Index last() const { return last_; }  // the last step there is; less than the step it goes on from: lines were lost
  void sync();  // what was added survives a power loss: before a checkpoint is finished

 private:
  std::string path_;
  int descriptor_ = -1;
  Index last_ = 0;
};

}  // namespace sspo
